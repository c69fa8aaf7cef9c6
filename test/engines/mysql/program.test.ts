import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DGUARD, isRoot, runDguard, startDguard } from '../../cli/support.ts';
import { type Bench, describeWithEachMysql, makeBench, picture } from './support.ts';
import { programFor } from './support-program.ts';

const PAIR = `CREATE TABLE a (n INT, f TEXT);
CREATE TABLE b (n INT);
CREATE TABLE big (id INT PRIMARY KEY, filler TEXT);
INSERT INTO big SELECT n, REPEAT(SHA2(n, 256), 20) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
INSERT INTO a VALUES (0, 'x');
INSERT INTO b VALUES (0);
CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO b VALUES (-1)`;

describeWithEachMysql('mysql: the program', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgm_');
    await bench.sql(undefined, 'SET GLOBAL event_scheduler = OFF');
  });
  afterAll(() => bench?.remove());

  const { configure, source, run, good, home, store } = programFor(server, () => bench);

  it.each([
    ['one connection', {}],
    ['three connections', { parallel_jobs: 3 }],
    ['JSON lines', { format: 'jsonl' }],
  ])('%s: every command works under a writer of two tables, which always agree', async (_, options) => {
    await bench.database('dgm_app', PAIR);
    configure({ db: source({ database: 'dgm_app' }) }, options);
    /** The last transaction that each of the two tables has. */
    const agreed = async (database: string) => {
      const [row] = await bench.sql(
        database,
        'SELECT (SELECT MAX(n) FROM a) AS a, (SELECT MAX(n) FROM b) AS b, (SELECT COUNT(*) FROM a) = (SELECT COUNT(*) FROM b) AS same',
      );
      expect(row).toEqual({ a: row!['b'], b: row!['b'], same: 1 });
      return row!['a'] as number;
    };
    let running = true;
    let written = 0;
    const writer = (async () => {
      while (running) {
        // While a swap waits for it, a transaction may be the one that gives way.
        await bench
          .sql(
            'dgm_app',
            `START TRANSACTION; INSERT INTO a VALUES (${written + 1}, 'y'); INSERT INTO b VALUES (${written + 1}); COMMIT`,
          )
          .then(
            () => written++,
            () => {},
          );
      }
    })();
    try {
      const before = written;
      await good('backup', 'job');
      const later = written;
      expect(later).toBeGreaterThan(before);
      await good('verify', 'job', '--level', 'restore', '--newest', '1');
      await bench.sql(undefined, 'DROP DATABASE IF EXISTS dgm_new');
      await good('restore', 'job', '--to-database', 'dgm_new', '--yes');
      const restored = await agreed('dgm_new');
      expect(restored).toBeGreaterThanOrEqual(before);

      // In the place of what is written to, and back: the writer goes on with what is there.
      const ahead = await agreed('dgm_app');
      await good('restore', 'job', '--overwrite', '--yes');
      await expect.poll(() => written, { timeout: 60_000 }).toBeGreaterThan(ahead);
      await agreed('dgm_app');
      await good('restore', 'job', '--undo', '--yes');
      expect(await agreed('dgm_app')).toBeGreaterThanOrEqual(ahead);
      await good('restore', 'job', '--drop-undo', '--yes');

      // Both of them, together, and the third stays as it is.
      await bench.sql('dgm_app', 'DELETE FROM big WHERE id > 7');
      await good('restore', 'job', '--only', 'a', '--only', 'b', '--overwrite', '--yes');
      await agreed('dgm_app');
      expect(await bench.sql('dgm_app', 'SELECT COUNT(*) AS n FROM big')).toEqual([{ n: 7 }]);
      await good('restore', 'job', '--undo', '--yes');
      await agreed('dgm_app');
      await good('restore', 'job', '--drop-undo', '--yes');
    } finally {
      running = false;
      await writer;
    }
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);

    // Where nobody writes, all of it is the same.
    const before = await picture(bench, 'dgm_app');
    await good('restore', 'job', '--overwrite', '--yes');
    expect(await picture(bench, 'dgm_app')).toEqual(await picture(bench, 'dgm_new'));
    await good('restore', 'job', '--undo', '--yes');
    expect(await picture(bench, 'dgm_app')).toEqual(before);
    await good('restore', 'job', '--drop-undo', '--yes');
  });

  it('all databases with one that cannot be dumped: the others are good, exit 3, and it is named', async () => {
    await bench.database('dgm_fine', 'CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1)');
    await bench.database('dgm_broken', 'CREATE TABLE t (n INT);\nCREATE VIEW v AS SELECT n FROM t');
    await bench.sql('dgm_broken', 'DROP TABLE t');
    configure({ db: source({ database: 'all' }) });
    const { code, stderr, stdout } = await run('backup', 'job');
    expect(code, stderr).toBe(3);
    expect(stderr + stdout).toMatch(/db\.dgm_broken/);
    const { stdout: listed } = await good('list', '--json');
    const states = Object.fromEntries(
      JSON.parse(listed).backups.map((backup: { datasource: { name: string }; status: string }) => [
        backup.datasource.name,
        backup.status,
      ]),
    );
    expect(states).toMatchObject({ 'db.dgm_fine': 'completed', 'db.dgm_broken': 'failed' });
    await bench.sql(undefined, 'DROP DATABASE dgm_broken');
  });

  it('client_command and run_as: the tools run elsewhere and as somebody else, and see the password in no argument', async () => {
    await bench.database('dgm_cmd', 'CREATE TABLE t (n INT);\nINSERT INTO t VALUES (7)');
    // Stands in for `docker exec -i db`: notes what it was given, then runs it.
    const wrapper = join(home(), 'elsewhere');
    const log = join(home(), 'elsewhere.log');
    writeFileSync(
      wrapper,
      `#!/bin/sh\nprintf '%s\\n' "$*" >> ${log}\nenv | grep -v ^_ >> ${log}\nPATH=${server().bin}:$PATH exec "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    configure({
      db: { ...source({ database: 'dgm_cmd', client_command: [wrapper] }), client_path: undefined },
    });
    await good('backup', 'job');
    await good('restore', 'job', '--to-database', 'dgm_cmd_2', '--yes');
    expect(await bench.sql('dgm_cmd_2', 'SELECT n FROM t')).toEqual([{ n: 7 }]);
    const seen = readFileSync(log, 'utf8');
    expect(seen).toMatch(/dump .*--defaults-/);
    expect(seen).not.toContain(server().password);
    expect(readdirSync('/tmp').filter((name) => name.startsWith('.dguard-'))).toEqual([]);

    if (!isRoot) return;
    configure({ db: source({ database: 'dgm_cmd', run_as: 'nobody' }) });
    await good('backup', 'job');
    await bench.sql(undefined, 'DROP DATABASE dgm_cmd_2');
    await good('restore', 'job', '--to-database', 'dgm_cmd_2', '--yes');
    expect(await bench.sql('dgm_cmd_2', 'SELECT n FROM t')).toEqual([{ n: 7 }]);
    // What cannot be handed over stays nowhere.
    const place = join(home(), 'place');
    mkdirSync(place, { mode: 0o1777 });
    writeFileSync(join(home(), 'chown'), '#!/bin/sh\necho chown: no such user >&2; exit 1\n', {
      mode: 0o755,
    });
    const env = { TMPDIR: place, PATH: `${home()}:${process.env['PATH']}` };
    configure({ db: source({ database: 'dgm_cmd', run_as: 'nobody' }) });
    const run = await runDguard(['backup', 'job'], { cwd: home(), env });
    expect(run).toMatchObject({ code: 1, stderr: expect.stringContaining('no such user') });
    expect(readdirSync(place)).toEqual([]);
  });

  it.runIf(isRoot)(
    'a password that run_as needed in /tmp goes with the next command after a SIGKILL',
    async () => {
      await bench.database('dgm_kill', PAIR);
      configure({ db: source({ database: 'dgm_kill', run_as: 'nobody' }) });
      const places = () =>
        readdirSync(tmpdir()).filter(
          (name) => /^(dguard-elsewhere|mysql)-/.test(name) && existsSync(join(tmpdir(), name, 'client.cnf')),
        );
      const before = places();
      const { child, ended } = startDguard(['backup', 'job', '--no-progress'], { cwd: home() });
      let left: string[] = [];
      while (left.length === 0 && child.exitCode === null) {
        left = places().filter((name) => !before.includes(name));
        await sleep(1);
      }
      child.kill('SIGKILL');
      expect((await ended).code).toBe(137);
      expect(left).toHaveLength(1);
      expect(places()).toContain(left[0]);
      await good('backup', 'job');
      expect(places()).not.toContain(left[0]);
      await bench.sql(undefined, 'DROP DATABASE dgm_kill');
    },
  );

  it('the password is in no argument, environment, output, manifest or file while it runs and after it', async () => {
    await bench.database('dgm_secret', PAIR.replace('n < 900', 'n < 990'));
    configure({ db: source({ database: 'dgm_secret', include_users: true }) }, { parallel_jobs: 2 });
    const { password } = server();
    const found = new Set<string>();
    let looked = 0;
    let running = true;
    const watching = (async () => {
      while (running) {
        for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
          for (const file of ['cmdline', 'environ']) {
            try {
              const text = readFileSync(`/proc/${pid}/${file}`, 'latin1');
              if (text.includes(DGUARD) || /mysql|mariadb/.test(text)) looked++;
              if (text.includes(password)) found.add(`${pid} ${file} ${text.slice(0, 100)}`);
            } catch {
              // It is gone, or not ours to read.
            }
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const said: string[] = [];
    for (const args of [
      ['backup', 'job', '-v'],
      ['verify', 'job', '--level', 'restore'],
      ['check', '-v'],
      ['config', 'show'],
    ]) {
      const { stdout, stderr } = await run(...args, '--log-dir', join(home(), 'logs'));
      said.push(stdout, stderr);
    }
    running = false;
    await watching;
    expect(looked).toBeGreaterThan(10);
    expect([...found]).toEqual([]);
    expect(said.join()).not.toContain(password);
    const left = [store(), join(home(), 'logs'), join(bench.folder, 'temp')].flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    );
    expect(left.length).toBeGreaterThan(3);
    for (const path of left) expect(readFileSync(path, 'latin1').includes(password), path).toBe(false);
  });

  it('a password that changed and a server that stops in the middle fail the run, with what to do', async () => {
    if (server().pid === undefined) return;
    await bench.database('dgm_end', PAIR);
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgm_user'@'%'; CREATE USER 'dgm_user'@'%' IDENTIFIED BY 'first-1'; GRANT ALL PRIVILEGES ON *.* TO 'dgm_user'@'%'",
    );
    writeFileSync(join(home(), 'user'), 'first-1', { mode: 0o600 });
    configure({
      db: source({ database: 'dgm_end', username: 'dgm_user', password_file: join(home(), 'user') }),
    });
    await good('backup', 'job');
    await bench.sql(undefined, "ALTER USER 'dgm_user'@'%' IDENTIFIED BY 'second-2'");
    const refused = await run('backup', 'job');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/Access denied/);
    expect(refused.stderr).toMatch(/check username and password/);
    const { stdout } = await good('list', '--json', '--status', 'failed');
    expect(JSON.parse(stdout).backups.length).toBeGreaterThan(0);
    await server().halt();
    try {
      const away = await run('backup', 'job');
      expect(away.code).toBe(1);
      expect(away.stderr).toMatch(/check host and port, and that the server runs/);
    } finally {
      await server().resume();
    }
  });
});
