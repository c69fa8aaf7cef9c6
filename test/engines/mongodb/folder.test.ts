import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Document, type Outcome, runDguard } from '../../cli/support.ts';
import { mongoTools } from '../../services/mongodb.mjs';
import { type Bench, describeWithMongodb, makeBench, ownNames, picture } from './support.ts';

describeWithMongodb('mongodb: what mongodump wrote is restored', (server) => {
  let bench: Bench;
  let folder: string;
  const tools = mongoTools();
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });
  const restore = (...args: string[]) => run('restore', ...args, '--to', 'app');
  const document = (outcome: Outcome) => JSON.parse(outcome.stdout) as Document & { restored: object[] };
  const refused = async (...args: string[]) => {
    const outcome = await run('restore', ...args, '--json');
    return { ...document(outcome).errors[0]!, exit: outcome.code };
  };
  const dump = (...args: string[]) => {
    const { host, port, user, password } = server();
    const config = join(folder, 'tools.yaml');
    writeFileSync(config, `password: ${JSON.stringify(password)}\n`, { mode: 0o600 });
    const access = [`--host=${host}`, `--port=${port}`, `--username=${user}`, `--config=${config}`];
    execFileSync(tools!.mongodump, [...access, '--authenticationDatabase=admin', '--quiet', ...args]);
    rmSync(config);
  };

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgf_');
    folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-folder-'));
    const shop = bench.db('dgf_shop');
    const rows = Array.from({ length: 5000 }, (_, i) => ({ _id: i as never, text: `é ${i}`, n: -0 }));
    await shop.collection('Many Things').insertMany(rows);
    await shop.collection('Many Things').createIndex({ text: 1 }, { name: 'by_text', unique: true });
    await shop.collection('empty').createIndex({ a: 1, b: -1 });
    await shop.collection('few').insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
    const { host, port, user, password } = server();
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    const base = `type: mongodb, host: ${host}, port: ${port}, username: ${user}, password_file: ${folder}/password`;
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
datasources:
  app: { ${base}, database: dgf_app }
  all: { ${base}, database: [dgf_app, dgf_shop] }
  file: { type: sqlite, file_path: ${folder}/x.db }
destinations: { nas: { type: local, path: ${folder}/nas } }
jobs: { app: { datasources: [app], destinations: [nas] } }
`,
      { mode: 0o600 },
    );
    mkdirSync(join(folder, 'nas'));
    if (tools === undefined) return;
    dump('--db=dgf_shop', `--out=${folder}/plain`);
    dump('--db=dgf_shop', '--gzip', `--out=${folder}/packed`);
    dump('--db=dgf_shop', `--archive=${folder}/archive`);
    dump('--db=dgf_shop', '--gzip', `--archive=${folder}/archive.gz`);
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it.skipIf(tools === undefined).each(['plain', 'packed', 'packed/dgf_shop'])(
    'out of ./%s, beside what the database has, and is taken back',
    async (from) => {
      const app = bench.db('dgf_app');
      await app.dropDatabase();
      await app.collection('few').insertOne({ _id: 9 as never });
      await app.collection('other').insertOne({ _id: 9 as never });
      const before = await picture(app);
      expect(await restore('--from', `./${from}`)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/not verified: mongodump.*--overwrite/s),
      });
      expect(await picture(app)).toEqual(before);
      const planned = await restore('--from', `./${from}`, '--overwrite', '--dry-run');
      expect(planned.stdout).toContain(`app: ./${from}, a folder of mongodump\nwould: load`);
      expect(await picture(app)).toEqual(before);

      const restored = await restore('--from', `./${from}`, '--overwrite');
      expect(restored, restored.stderr).toMatchObject({ code: 0 });
      expect(restored.stderr).toContain('not verified: mongodump records neither counts nor hashes');
      expect(restored.stdout).toContain(`app: restored ./${from} to dgf_app`);
      // It may be of chosen collections: what it does not hold stays.
      const shop = await picture(bench.db('dgf_shop'));
      expect(await picture(app)).toEqual({ ...shop, other: before['other'] });

      expect(restored.stdout).toContain('to take it back: dguard restore --undo --to app\n');
      expect(await run('restore', '--undo', '--to', 'app')).toMatchObject({ code: 0 });
      expect(await picture(app)).toEqual(before);
      expect(await run('restore', '--drop-undo', '--to', 'app', '--yes')).toMatchObject({ code: 0 });
      expect(await ownNames(app)).toEqual([]);
    },
  );

  it.skipIf(tools === undefined)(
    'chosen collections to another database; --json says what it was',
    async () => {
      const outcome = await run(
        ...['restore', '--from', './packed', '--to', 'all', '--to-database', 'dgf_copy'],
        ...['--only', 'dgf_shop.few', '--json'],
      );
      expect(document(outcome).restored).toEqual([
        expect.objectContaining({
          id: null,
          datasource: 'all',
          dump: { tool: 'mongodump', path: join(folder, 'packed/dgf_shop'), database: 'dgf_shop' },
          target: 'dgf_copy',
          tables: [{ name: 'few', rows: 2 }],
          warnings: [expect.objectContaining({ message: expect.stringContaining('not verified') })],
        }),
      ]);
      expect(Object.keys(await picture(bench.db('dgf_copy')))).toEqual(['few']);
    },
  );

  it.skipIf(tools === undefined)('what is damaged leaves the target as it was, and is named', async () => {
    await bench.db('dgf_app').dropDatabase();
    const at = (name: string) => join(folder, name, 'dgf_shop');
    const cut = (name: string, file: string) => {
      const bytes = readFileSync(join(at(name), file));
      writeFileSync(join(at(name), file), bytes.subarray(0, bytes.length >> 1));
    };
    for (const name of ['plain', 'packed'])
      cpSync(join(folder, name), join(folder, `cut-${name}`), { recursive: true });
    cut('cut-packed', 'Many+Things.bson.gz');
    cut('cut-plain', 'Many+Things.bson');
    expect(await refused('--from', './cut-packed', '--to', 'app')).toMatchObject({
      exit: 4,
      code: 'corrupt',
      subject: join(at('cut-packed'), 'Many+Things.bson.gz'),
    });
    expect(await refused('--from', './cut-plain', '--to', 'app')).toMatchObject({ exit: 4, code: 'corrupt' });
    writeFileSync(join(at('cut-plain'), 'few.bson.gz'), gzipSync(''));
    expect(await refused('--from', './cut-plain', '--to', 'app')).toMatchObject({
      exit: 4,
      message: expect.stringContaining('few.bson is there twice'),
    });
    rmSync(join(at('cut-packed'), 'few.bson.gz'));
    expect(await refused('--from', './cut-packed', '--to', 'app')).toMatchObject({
      exit: 4,
      message: expect.stringContaining('no documents of few'),
    });
    expect(await picture(bench.db('dgf_app'))).toEqual({});
    expect((await ownNames(bench.db('dgf_app'))).filter((name) => name !== '__dguard')).toEqual([]);
  });

  it.skipIf(tools === undefined)(
    'documents that stand against a unique index come by --allow-duplicates',
    async () => {
      await bench.db('dgf_app').dropDatabase();
      cpSync(join(folder, 'plain'), join(folder, 'shared'), { recursive: true });
      const path = join(folder, 'shared/dgf_shop/few.metadata.json');
      const index = '{"v":{"$numberInt":"2"},"key":{"q":{"$numberInt":"1"}},"name":"q_1","unique":true}';
      writeFileSync(path, readFileSync(path, 'utf8').replace('"indexes":[', `"indexes":[${index},`));
      expect(await refused('--from', './shared', '--to', 'app')).toMatchObject({
        exit: 1,
        message: expect.stringMatching(/unique index q_1 of few cannot be built: .* have the same q = null/),
        hint: expect.stringContaining('--allow-duplicates'),
      });
      expect(await picture(bench.db('dgf_app'))).toEqual({});
      const outcome = await restore('--from', './shared', '--allow-duplicates');
      expect(outcome, outcome.stderr).toMatchObject({ code: 3 });
      expect(outcome.stderr).toContain('the index q_1 of few is NOT unique now');
      expect(await bench.db('dgf_app').collection('few').countDocuments()).toBe(2);
    },
  );

  it.skipIf(tools === undefined)(
    'a dump of all with an oplog, and the server’s own, is no whole restore',
    async () => {
      await bench.db('dgf_app').dropDatabase();
      const full = join(folder, 'full');
      cpSync(join(folder, 'plain'), full, { recursive: true });
      cpSync(join(folder, 'plain/dgf_shop'), join(full, 'admin'), { recursive: true });
      writeFileSync(join(full, 'oplog.bson'), '');
      writeFileSync(join(full, 'dgf_shop/$admin.system.users.bson'), '');
      const outcome = await restore('--from', './full');
      expect(outcome, outcome.stderr).toMatchObject({ code: 3 });
      expect(outcome.stderr).toContain('oplog.bson is not replayed');
      expect(outcome.stderr).toContain('$admin.system.users');
      expect(await picture(bench.db('dgf_app'))).toEqual(await picture(bench.db('dgf_shop')));
    },
  );

  it.skipIf(tools === undefined).each(['archive', 'archive.gz'])(
    '%s is said not to be read',
    async (name) => {
      expect(existsSync(join(folder, name))).toBe(true);
      expect(await refused('--from', `./${name}`, '--to', 'app')).toMatchObject({
        exit: 2,
        code: 'unsupported',
        message: expect.stringContaining('--archive'),
      });
    },
  );

  it('everything else is told what it is, and what to do', async () => {
    const two = join(folder, 'two');
    for (const name of ['a', 'b']) {
      mkdirSync(join(two, name), { recursive: true });
      writeFileSync(join(two, name, 'x.bson'), '');
    }
    for (const [args, code, said] of [
      [[], 'usage', /what is to be restored/],
      [['--from', './two'], 'usage', /where to/],
      [['--from', 'nas', '--to', 'app'], 'usage', /which backup of nas/],
      [['--from', './two', '--to', 'app'], 'usage', /2 databases: a, b/],
      [['--from', './two/a', '--to', 'app', '--at', '7d'], 'usage', /--at chooses among backups/],
      [['--from', './nas', '--to', 'app'], 'nothing_there', /nothing that mongodump wrote/],
      [['--from', './missing', '--to', 'app'], 'unknown_name', /no folder/],
      [['--from', './password', '--to', 'app'], 'unsupported', /no folder/],
      [['--from', './two/a', '--to', 'other'], 'unknown_name', /not configured/],
      [['--from', './two/a', '--to', 'file'], 'unsupported', /sqlite datasource/],
      [['--from', './two/a', '--to', 'all'], 'usage', /exactly one database/],
      [['x', '--from', './two', '--to', 'app'], 'unknown_name', /no backup of dguard/],
      [['--undo'], 'usage', /which target/],
    ] as const)
      expect(await refused(...args), args.join(' ')).toMatchObject({
        code,
        message: expect.stringMatching(said),
        hint: expect.any(String),
      });
  });
});
