import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { elements } from '../../../src/engines/mongodb/bson/bson.ts';
import { isRoot, type Outcome, runDguard, startDguard } from '../../cli/support.ts';
import { watchStore } from '../support-failed.ts';
import { openProxy } from '../support-proxy.ts';
import { type Bench, describeWithMongodb, makeBench, picture } from './support.ts';

/** https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg: header, flags, kind, document. */
const OP_MSG = 2013;
const BODY_AT = 21;

describeWithMongodb('mongodb: runs that fail, through the whole program', (server) => {
  let bench: Bench;
  let folder: string;
  const place = (...names: string[]) => join(folder, ...names);
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: folder });
  const failed = (says: RegExp) => ({ code: 1, says, secret: server().password });
  const watch = () => watchStore(place('store'), place('temp'));

  function configure(name: string, port: number, tempDir = place('temp')): void {
    const { host, user: username } = server();
    const base = { type: 'mongodb', host, port, username, password_file: place('password') };
    const job = { destinations: ['store'], gate: { enabled: false } };
    const config = {
      version: 1,
      defaults: { temp_dir: tempDir, max_concurrent_backups: 1 },
      datasources: { app: { ...base, database: 'dgz_app' }, all: { ...base, database: 'all' } },
      destinations: { store: { type: 'local', path: place('store') } },
      jobs: {
        app: { ...job, datasources: ['app'] },
        jsonl: { ...job, datasources: ['app'], options: { format: 'jsonl' } },
        all: { ...job, datasources: ['all'] },
      },
    };
    writeFileSync(place(name), JSON.stringify(config), { mode: 0o600 });
  }

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgz_');
    folder = join(bench.folder, 'home');
    for (const name of ['', 'temp', 'store']) mkdirSync(place(name), { mode: 0o700 });
    writeFileSync(place('password'), server().password, { mode: 0o600 });
    configure('backup.yaml', server().port);
    await fill();
    const good = await run('backup', 'app');
    expect(good, good.stderr).toMatchObject({ code: 0 });
  });
  afterAll(() => bench?.remove());

  /** More than comes in one answer. */
  async function fill(): Promise<void> {
    await bench.db('dgz_app').dropDatabase();
    const rows = Array.from({ length: 3000 }, (_, i) => ({ _id: i as never, filler: 'x'.repeat(8000) }));
    for (let at = 0; at < rows.length; at += 1000)
      await bench
        .db('dgz_app')
        .collection('large')
        .insertMany(rows.slice(at, at + 1000));
    await bench
      .db('dgz_app')
      .collection('small')
      .insertOne({ _id: 1 as never });
  }

  /** A backup that stands still, once the server has answered this command for the first time, while something is done. */
  async function during(job: string, command: string, act: () => Promise<unknown>): Promise<Outcome> {
    let acted: Promise<unknown> | undefined;
    let pause = (_: boolean) => {};
    const proxy = await openProxy(
      server().port,
      {
        length: (bytes) => (bytes.length < 4 ? undefined : bytes.readInt32LE(0)),
        statement(message) {
          if (message.readInt32LE(12) !== OP_MSG || message[BODY_AT - 1] !== 0) return undefined;
          for (const { name } of elements(message, BODY_AT)) return name === command ? name : undefined;
          return undefined;
        },
      },
      {
        cut: {
          at: 1,
          when: 'after',
          act() {
            pause(true);
            acted = act().finally(() => pause(false));
          },
        },
      },
    );
    configure('proxied.yaml', proxy.port);
    try {
      const { child, ended } = startDguard(['backup', job, '--no-progress', '-c', 'proxied.yaml'], {
        cwd: folder,
      });
      pause = (isOn) => child.kill(isOn ? 'SIGSTOP' : 'SIGCONT');
      const outcome = await ended;
      expect(acted, `no ${command} was seen: ${outcome.stderr}`).toBeDefined();
      await acted;
      return outcome;
    } finally {
      await proxy.close();
    }
  }

  it.each(['app', 'jsonl'])('%s: a collection is dropped while it is read', async (job) => {
    const store = watch();
    const outcome = await during(job, 'getMore', () => bench.db('dgz_app').collection('large').drop());
    store.expectFailed(outcome, failed(/dgz_app/));
    await fill();
  });

  it.each(['app', 'jsonl'])('%s: the server stops', async (job) => {
    if (server().pid === undefined) return; // not ours to stop
    const store = watch();
    const outcome = await during(job, 'getMore', () => server().halt());
    await server().resume();
    store.expectFailed(outcome, failed(/connect|closed|server/i));
    const good = await run('backup', job);
    expect(good, good.stderr).toMatchObject({ code: 0 });
  });

  it('the password is another one since', async () => {
    const store = watch();
    writeFileSync(place('password'), 'another one', { mode: 0o600 });
    try {
      store.expectFailed(await run('backup', 'app'), { ...failed(/auth/i), secret: 'another one' });
    } finally {
      writeFileSync(place('password'), server().password, { mode: 0o600 });
    }
  });

  it.runIf(isRoot)('a temp_dir without any room is needed for nothing', async () => {
    mkdirSync(place('small'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=0700', 'none', place('small')]);
    try {
      writeFileSync(place('small/full'), Buffer.alloc(4096 * 4));
      configure('small.yaml', server().port, place('small'));
      const before = await picture(bench.db('dgz_app'));
      for (const args of [
        ['backup', 'app'],
        ['verify', 'app', '--level', 'restore', '--newest', '1'],
        ['restore', 'app', '--overwrite', '--yes'],
      ]) {
        const outcome = await run(...args, '-c', 'small.yaml');
        expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
      }
      expect(await picture(bench.db('dgz_app'))).toEqual(before);
      expect(readdirSync(place('small'))).toEqual(['full']);
      await run('restore', 'app', '--drop-undo', '--yes');
    } finally {
      execFileSync('umount', [place('small')]);
    }
  });

  it('all databases, one of which is gone when its turn comes: the others are good, exit 3, and it is named', async () => {
    await bench.db('dgz_gone').collection('x').insertOne({ a: 1 });
    const outcome = await during('all', 'listDatabases', () => bench.db('dgz_gone').dropDatabase());
    expect(outcome.code, outcome.stderr).toBe(3);
    expect(outcome.stderr).toMatch(/all\.dgz_gone|dgz_gone/);
    const { stdout } = await run('list', 'all', '--json');
    const states = Object.fromEntries(
      JSON.parse(stdout).backups.map((backup: { datasource: { name: string }; status: string }) => [
        backup.datasource.name,
        backup.status,
      ]),
    );
    expect(states).toMatchObject({ 'all.dgz_app': 'completed', 'all.dgz_gone': 'failed' });
  });

  // A server that the environment names has its password there.
  it.skipIf(process.env['DGUARD_TEST_MONGODB_URL'])(
    'no password is in any process, log, manifest or file while dguard works, nor afterwards',
    async () => {
      const secret = server().password;
      const read = (path: string) => {
        try {
          return readFileSync(path, 'latin1');
        } catch {
          // Gone meanwhile.
          return '';
        }
      };
      const below = (path: string) =>
        readdirSync(path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name));
      for (const args of [
        ['backup', 'app'],
        ['verify', 'app', '--level', 'restore', '--newest', '1'],
        ['restore', 'app', '--to-database', 'dgz_copy'],
      ]) {
        const { child, ended } = startDguard([...args, '-v', '--log-dir', 'logs'], { cwd: folder });
        let looks = 0;
        while (child.exitCode === null && child.signalCode === null) {
          for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)))
            for (const file of ['cmdline', 'environ'])
              expect(read(`/proc/${pid}/${file}`).includes(secret), `${pid}/${file}`).toBe(false);
          for (const path of below(place('temp'))) expect(read(path).includes(secret), path).toBe(false);
          looks++;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        const outcome = await ended;
        expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
        expect(outcome.stdout + outcome.stderr).not.toContain(secret);
        expect(looks).toBeGreaterThan(0);
      }
      expect(below(place('logs')).length).toBeGreaterThan(0);
      for (const path of below(folder))
        if (path !== place('password')) expect(read(path).includes(secret), path).toBe(false);
    },
  );
});
