import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { noise } from '../../archive/support.ts';
import { type Outcome, runDguard, startDguard } from '../../cli/support.ts';
import { mongoTools } from '../../services/mongodb.mjs';
import { type Bench, describeWithMongodb, makeBench, ownNames, picture } from './support.ts';

const ROWS = 60_000;

describeWithMongodb('mongodb: through the whole program', (server) => {
  let bench: Bench;
  let folder: string;
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });
  const rows = (database = 'dgp_app') => bench.db(database).collection('t').countDocuments();

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgp_');
    folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-program-'));
    const app = bench.db('dgp_app');
    for (let from = 0; from < ROWS; from += 10_000) {
      await app.collection('t').insertMany(
        Array.from({ length: 10_000 }, (_, i) => ({
          _id: (from + i) as never,
          f: noise(120, from + i).toString('hex'),
        })),
      );
    }
    await app.collection('t').createIndex({ f: 1 }, { name: 'by_f' });
    await app.collection('Other Things').insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
    await bench.db('dgp_second').collection('x').insertOne({ a: 1 });
    const { host, port, user, password } = server();
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    writeFileSync(join(folder, 'wrong'), 'not the password\n', { mode: 0o600 });
    const login = `${user}:${encodeURIComponent(password)}`;
    writeFileSync(join(folder, 'uri'), `mongodb://${login}@${host}:${port}/?authSource=admin`, {
      mode: 0o600,
    });
    const base = `type: mongodb, host: ${host}, port: ${port}, username: ${user}`;
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
defaults: { temp_dir: ${folder}/temp }
datasources:
  app: { ${base}, password_file: ${folder}/password, database: dgp_app }
  two: { ${base}, password_file: ${folder}/password, database: [dgp_second, dgp_none] }
  wrong: { ${base}, password_file: ${folder}/wrong, database: dgp_app }
  server: { type: mongodb, uri_file: ${folder}/uri }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  app: { datasources: [app], destinations: [nas], options: { parallel_jobs: 2 } }
  rows: { datasources: [app], destinations: [nas], options: { format: jsonl } }
  two: { datasources: [two], destinations: [nas] }
  wrong: { datasources: [wrong], destinations: [nas] }
  server: { datasources: [server], destinations: [nas] }
`,
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it('backs up, proves it by a test restore, restores in place, takes it back, restores to another name', async () => {
    const before = await picture(bench.db('dgp_app'));
    const backup = await run('backup', 'app');
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
    const verified = await run('verify', 'app', '--level', 'restore');
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    expect(await run('restore', 'app')).toMatchObject({ code: 1 });
    await bench
      .db('dgp_app')
      .collection('t')
      .deleteMany({ _id: { $gt: 10 as never } });
    await bench.db('dgp_app').collection('added').insertOne({ a: 1 });
    const restored = await run('restore', 'app', '--overwrite');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await picture(bench.db('dgp_app'))).toEqual(before);
    expect(await run('restore', 'app', '--undo')).toMatchObject({ code: 0 });
    expect(await rows()).toBe(11);
    expect(await run('restore', 'app', '--to-database', 'dgp_copy')).toMatchObject({ code: 0 });
    expect(await picture(bench.db('dgp_copy'))).toEqual(before);
    expect(await run('restore', 'app', '--only', 't', '--overwrite')).toMatchObject({ code: 0 });
    expect(await rows()).toBe(ROWS);
    expect(await bench.db('dgp_app').collection('added').countDocuments()).toBe(1);
    expect(await run('restore', 'app', '--drop-undo', '--yes')).toMatchObject({ code: 0 });
    expect(await ownNames(bench.db('dgp_app'))).toEqual([]);
    await bench.db('dgp_app').collection('added').drop();
  });

  it('a uri that names no database means all of them, each a history of its own', async () => {
    await bench.db('dgp_third').collection('x').insertOne({ a: 3 });
    const backup = await run('backup', 'server', '--only', 'x');
    // Of what else is on the server, a database may have no such collection.
    expect([0, 3], backup.stderr).toContain(backup.code);
    expect(backup.stdout).toMatch(/^server\.dgp_second: completed/m);
    expect(backup.stdout).toMatch(/^server\.dgp_third: completed/m);
    expect(backup.stderr).not.toContain('holds the lock');
    await bench.db('dgp_third').dropDatabase();
  });

  it('its artifacts, unpacked by ordinary tools as the manifest says, are what mongorestore loads', async ({
    skip,
  }) => {
    const tools = mongoTools();
    if (tools === undefined) return skip('needs mongorestore: npm run services');
    expect(await run('backup', 'app')).toMatchObject({ code: 0 });
    const listed = JSON.parse((await run('list', 'app', '--json', '--limit', '1')).stdout);
    const { recover, computed } = listed.backups[0] as { recover: string[]; computed: { folder: string } };
    const place = join(folder, 'nas', computed.folder);
    execFileSync('sh', ['-ec', recover.join('\n')], { cwd: place, env: { ...process.env, HOME: folder } });
    const unpacked = join(folder, `restored-${basename(place)}`);
    const config = join(folder, 'tools.yaml');
    writeFileSync(config, `password: ${JSON.stringify(server().password)}\n`, { mode: 0o600 });
    execFileSync(
      tools.mongorestore,
      [`--host=${server().host}`, `--port=${server().port}`, `--username=${server().user}`]
        .concat(['--authenticationDatabase=admin', `--config=${config}`, '--quiet'])
        .concat(['--nsFrom=dgp_app.*', '--nsTo=dgp_tool.*', '--dir=.']),
      { cwd: unpacked, stdio: 'ignore' },
    );
    rmSync(config);
    expect(await picture(bench.db('dgp_tool'))).toEqual(await picture(bench.db('dgp_app')));
  });

  it('as JSONL it comes back the same', async () => {
    expect(await run('backup', 'rows')).toMatchObject({ code: 0 });
    const restored = await run('restore', 'rows', '--to-database', 'dgp_rows');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await picture(bench.db('dgp_rows'))).toEqual(await picture(bench.db('dgp_app')));
  });

  it('one database of several that cannot be dumped spoils only itself', async () => {
    const outcome = await run('backup', 'two', '--json');
    expect(outcome.code, outcome.stdout + outcome.stderr).toBe(3);
    expect(outcome.stdout + outcome.stderr).toContain('dgp_none');
    expect((await run('list', 'two')).stdout).toContain('two.dgp_second');
    const status = await run('status', 'two', '--json', '--max-age', '1h');
    expect(JSON.parse(status.stdout).rows).toMatchObject([
      { datasource: 'two.dgp_second' },
      { datasource: 'two.dgp_none' },
    ]);
  });

  it('a wrong password fails the run, and leaves only a failed manifest', async () => {
    const outcome = await run('backup', 'wrong', '-v');
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/auth/i);
    expect(outcome.stdout + outcome.stderr).not.toContain('not the password');
  });

  it('a restore that is killed leaves the old contents, and the next command cleans up after it', async () => {
    const app = bench.db('dgp_app');
    expect(await run('backup', 'app')).toMatchObject({ code: 0 });
    await app.collection('t').deleteMany({ _id: { $gt: 10 as never } });
    const before = await picture(app);
    const { child, ended } = startDguard(['restore', 'app', '--overwrite'], { cwd: folder });
    await expect
      .poll(async () => (await ownNames(app)).some((name) => name.includes('_new_')), {
        timeout: 60_000,
        interval: 10,
      })
      .toBe(true);
    expect(leaks(child.pid!)).toEqual([]);
    child.kill('SIGKILL');
    await ended;
    expect(await picture(app)).toEqual(before);
    const recovered = await run('restore', 'app', '--recover');
    expect(recovered, recovered.stderr).toMatchObject({ code: 0 });
    expect(await ownNames(app)).toEqual([]);
    expect(await picture(app)).toEqual(before);
  });

  it('a test restore that is stopped leaves no database', async () => {
    const { child, ended } = startDguard(['verify', 'app', '--level', 'restore'], { cwd: folder });
    await expect
      .poll(async () => (await bench.names()).some((name) => name.includes('__dg_scratch_')), {
        timeout: 60_000,
        interval: 10,
      })
      .toBe(true);
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it('no password is left in what was written', () => {
    const { password } = server();
    const search = (path: string): string[] =>
      readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
        const inner = join(path, entry.name);
        if (entry.isDirectory()) return search(inner);
        return entry.name !== 'password' && readFileSync(inner, 'latin1').includes(password) ? [inner] : [];
      });
    expect(search(folder)).toEqual([]);
  });

  /** Where the password can be read of a running process, its temporary files included. */
  function leaks(pid: number): string[] {
    const { password } = server();
    const places = [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`];
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
        if (path.startsWith(`${folder}/temp`)) places.push(path);
      } catch {
        // Closed meanwhile.
      }
    }
    return places.filter((path) => readFileSync(path, 'latin1').includes(password));
  }
});
