import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { isRoot, runDguard, startDguard } from '../../cli/support.ts';
import { type Bench, describeWithEachMysql, makeBench, picture } from './support.ts';

/** About 40 MB, a table in the middle of it whose rows have no key and their own order. */
const LARGE = `CREATE TABLE big (id BIGINT PRIMARY KEY, filler LONGTEXT);
INSERT INTO big SELECT n, REPEAT(SHA2(n, 256), 40) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
${Array.from({ length: 4 }, (_, n) => `INSERT INTO big SELECT id + ${900 * 2 ** n}, filler FROM big`).join(';\n')};
CREATE TABLE in_order (n INT, f TEXT);
INSERT INTO in_order SELECT (id * 7919) % 14401, LEFT(filler, 200) FROM big;
CREATE TABLE zz (id INT PRIMARY KEY, f TEXT, UNIQUE (f(100)));
INSERT INTO zz VALUES (1, 'é\\\\''"'), (2, NULL), (0, '')`;

describeWithEachMysql('mysql: what fails in the middle', (server) => {
  let bench: Bench;
  let home: string;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgo_');
    home = join(bench.folder, 'home');
    mkdirSync(home);
    await bench.database('dgo_app', LARGE);
    configure();
    await good('backup', 'job');
  });
  beforeEach(() => configure());
  afterAll(async () => {
    for (const name of (await bench?.names()) ?? []) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
    await bench?.remove();
  });

  function configure(tempDir = join(bench.folder, 'temp')): void {
    const { host, port, user, password, bin } = server();
    writeFileSync(join(home, 'password'), password, { mode: 0o600 });
    const config = {
      version: 1,
      defaults: { temp_dir: tempDir },
      datasources: {
        db: {
          type: 'mysql',
          host,
          port,
          username: user,
          password_file: join(home, 'password'),
          database: 'dgo_app',
          ...(bin === undefined ? {} : { client_path: bin }),
        },
      },
      destinations: { store: { type: 'local', path: './store' } },
      jobs: { job: { datasources: ['db'], destinations: ['store'] } },
    };
    writeFileSync(join(home, 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
    mkdirSync(join(home, 'store'), { recursive: true });
  }
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: home });
  const good = async (...args: string[]) => {
    const outcome = await run(...args);
    expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}${outcome.stdout}`).toBe(0);
    return outcome;
  };
  const completed = async () =>
    JSON.parse((await good('list', '--json', '--status', 'completed')).stdout).backups.length as number;
  const connections = async (where: string) =>
    (await bench.sql(
      undefined,
      `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND (${where})`,
    )) as { id: number }[];
  /** A session that stands in the way until it is closed. */
  const hold = async (...statements: string[]) => {
    const { host, port, user, password } = server();
    const client = await mysql.createConnection({ host, port, user, password });
    client.on('error', () => {});
    for (const statement of statements) await client.query(statement);
    return client;
  };
  const beside = async () => (await bench.names()).filter((name) => name.includes('__dg_'));
  /** A restore over the database, which stands still while rows come in until `act` has ended what it will. */
  async function restoreUntil(act: () => Promise<unknown>): Promise<{ code: number; said: string }> {
    const { child, ended } = startDguard(['restore', 'job', '--overwrite', '--yes', '--no-progress'], {
      cwd: home,
    });
    // A session that stays: one made for each look comes too late.
    const watcher = await hold();
    try {
      const loading = `SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND INFO LIKE '%INSERT INTO \`big\`%'`;
      for (const end = Date.now() + 120_000; ; ) {
        const [found] = await watcher.query<RowDataPacket[]>(loading);
        if (found.length > 0) break;
        expect(Date.now(), 'nothing was loaded').toBeLessThan(end);
      }
      child.kill('SIGSTOP');
      await act();
      child.kill('SIGCONT');
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      await watcher.end().catch(() => {});
    }
    const { code, stderr, stdout } = await ended;
    return { code, said: stderr + stdout };
  }

  it('rows come in over several connections, each once, those without a key in their order', async () => {
    const before = await picture(bench, 'dgo_app');
    const { ended } = startDguard(['restore', 'job', '--to-database', 'dgo_new', '--yes', '--no-progress'], {
      cwd: home,
    });
    let most = 0;
    let running = true;
    ended.finally(() => {
      running = false;
    });
    while (running) most = Math.max(most, (await connections("INFO LIKE '%INSERT INTO `big`%'")).length);
    expect((await ended).code).toBe(0);
    expect(most).toBeGreaterThan(1);
    expect(await picture(bench, 'dgo_new')).toEqual(before);
    const rows = (database: string) => bench.sql(database, 'SELECT n FROM in_order');
    expect(await rows('dgo_new')).toEqual(await rows('dgo_app'));
    await good('verify', 'job', '--level', 'restore', '--newest', '1');
    expect(await beside()).toEqual([]);
  });

  it('a loading connection or client that is ended fails the restore, and the target is as it was', async () => {
    const before = await picture(bench, 'dgo_app');
    for (const victim of ['one', 'all'] as const) {
      const { code, said } = await restoreUntil(async () => {
        const found = await connections("DB LIKE 'dgo\\_app\\_\\_dg%'");
        expect(found).not.toEqual([]);
        for (const { id } of victim === 'one' ? found.slice(-1) : found)
          await bench.sql(undefined, `KILL CONNECTION ${id}`).catch(() => {});
      });
      expect(code, said).toBe(1);
      expect(said, victim).toMatch(/next: \S/);
      expect(await picture(bench, 'dgo_app')).toEqual(before);
      expect(await beside()).toEqual([]);
    }
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'a server that goes away by %s in the middle of a backup fails the run; the next one is good',
    async (signal) => {
      if (server().pid === undefined) return; // not ours to stop
      const there = await completed();
      // Its rows are the last that are read.
      const lock = await hold('LOCK TABLES dgo_app.zz WRITE');
      const { ended } = startDguard(['backup', 'job', '--no-progress'], { cwd: home });
      await expect
        .poll(async () => (await connections("STATE LIKE '%metadata lock%'")).length, { timeout: 60_000 })
        .toBeGreaterThan(0);
      await server().halt(signal);
      lock.destroy();
      const { code, stderr } = await ended;
      try {
        expect(code, stderr).toBe(1);
        expect(stderr).toMatch(/the server runs|the server ended the connection|run it again/);
      } finally {
        await server().resume();
      }
      expect(await completed()).toBe(there);
      expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
      await good('backup', 'job');
    },
  );

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'a server that goes away by %s in the middle of a restore: the target is as it was, and the next restore clears up',
    async (signal) => {
      if (server().pid === undefined) return;
      const before = await picture(bench, 'dgo_app');
      const { code, said } = await restoreUntil(() => server().halt(signal));
      await server().resume();
      expect(code, said).toBe(1);
      expect(said).toMatch(/the server runs|the server ended the connection|run it again|max_allowed_packet/);
      expect(await picture(bench, 'dgo_app')).toEqual(before);
      await good('restore', 'job', '--overwrite', '--yes');
      expect(await picture(bench, 'dgo_app')).toEqual(before);
      await good('restore', 'job', '--drop-undo', '--yes');
      expect(await beside()).toEqual([]);
    },
  );

  it('a temp_dir without room fails backup and restore, says so, and leaves nothing', async () => {
    if (!isRoot) return;
    const small = join(bench.folder, 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=0700', 'none', small]);
    try {
      configure(small);
      writeFileSync(join(small, 'full'), Buffer.alloc(4096 * 4));
      const before = await picture(bench, 'dgo_app');
      for (const args of [
        ['backup', 'job'],
        ['restore', 'job', '--overwrite', '--yes'],
        ['verify', 'job', '--level', 'restore', '--newest', '1'],
      ]) {
        const { code, stderr, stdout } = await run(...args);
        expect(code, `${args.join(' ')}: ${stderr}${stdout}`).not.toBe(0);
        expect(stderr + stdout, args.join(' ')).toMatch(/ENOSPC|no space/i);
        expect(stderr + stdout, args.join(' ')).toMatch(/temp_dir/);
        expect(stderr + stdout).not.toContain(server().password);
      }
      expect(await picture(bench, 'dgo_app')).toEqual(before);
      expect(await beside()).toEqual([]);
      expect(readdirSync(small)).toEqual(['full']);
      expect(readFileSync(join(small, 'full')).length).toBe(4096 * 4);
    } finally {
      execFileSync('umount', [small]);
    }
  });
});
