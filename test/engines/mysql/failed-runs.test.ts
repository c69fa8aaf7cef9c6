import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runDguard, startDguard } from '../../cli/support.ts';
import { mysqlPrograms } from '../../services/mysql.mjs';
import { watchStore } from '../support-failed.ts';
import { type Bench, describeWithEachMysql, makeBench } from './support.ts';

/** A table that only the dump tool reads, and one whose rows are the last that we read. */
const SCRIPT = `CREATE TABLE a (id INT PRIMARY KEY, f TEXT);
INSERT INTO a SELECT n, REPEAT(SHA2(n, 256), 20) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
CREATE TABLE by_tool (f TEXT) ENGINE=MyISAM;
INSERT INTO by_tool SELECT f FROM a;
CREATE TABLE zz (id INT PRIMARY KEY);
INSERT INTO zz VALUES (1)`;

describeWithEachMysql('mysql: runs that fail, through the whole program', (server) => {
  let bench: Bench;
  let folder: string;
  const place = (...names: string[]) => join(folder, ...names);
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: folder });
  const watch = () => watchStore(place('store'), place('temp'));
  const failed = (says: RegExp, code = 1) => ({ code, says, secret: server().password });

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgv_');
    await bench.database('dgv_app', SCRIPT);
    folder = join(bench.folder, 'home');
    for (const name of ['', 'temp', 'store', 'tools']) mkdirSync(place(name), { mode: 0o700 });
    const { host, port, user: username, password, bin } = server();
    writeFileSync(place('password'), password, { mode: 0o600 });
    const base = {
      type: 'mysql',
      host,
      port,
      username,
      password_file: place('password'),
      database: 'dgv_app',
    };
    const own = bin === undefined ? {} : { client_path: bin };
    const job = { destinations: ['store'], gate: { enabled: false } };
    const config = {
      version: 1,
      defaults: { temp_dir: place('temp') },
      datasources: {
        db: { ...base, ...own },
        tools: { ...base, client_path: place('tools') },
      },
      destinations: { store: { type: 'local', path: place('store') } },
      jobs: {
        db: { ...job, datasources: ['db'] },
        tools: { ...job, datasources: ['tools'] },
        rows: { ...job, datasources: ['db'], options: { exclude_tables: ['by_tool'] } },
        jsonl: { ...job, datasources: ['db'], options: { format: 'jsonl', exclude_tables: ['by_tool'] } },
      },
    };
    writeFileSync(place('backup.yaml'), JSON.stringify(config), { mode: 0o600 });
    for (const job of ['db', 'rows', 'jsonl']) {
      const good = await run('backup', job);
      expect(good, good.stderr).toMatchObject({ code: 0 });
    }
  });
  afterAll(async () => {
    for (const name of (await bench?.names()) ?? []) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
    await bench?.remove();
  });

  it('the dump tool is killed', async () => {
    const { bin } = server();
    if (bin === undefined) return; // of an unknown place
    // As long as it says who it is, it is the server's own.
    for (const name of readdirSync(bin).filter((each) => /^(mysql|mariadb)/.test(each))) {
      const tool = join(bin, name);
      const dumps = /dump$/.test(name)
        ? `case "$*" in *dgv_app*) '${tool}' "$@" | head -c 20000; kill -9 $$;; esac\n`
        : '';
      writeFileSync(place('tools', name), `#!/bin/sh\n${dumps}exec '${tool}' "$@"\n`, { mode: 0o755 });
    }
    const store = watch();
    store.expectFailed(await run('backup', 'tools'), failed(/killed by SIGKILL/));
  });

  /** A backup that waits for the rows of the last table until something was done to that. */
  async function whileItWaits(job: string, act: (holder: mysql.Connection) => Promise<unknown>) {
    const { host, port, user, password } = server();
    const holder = await mysql.createConnection({ host, port, user, password, database: 'dgv_app' });
    holder.on('error', () => {});
    await holder.query('LOCK TABLES zz WRITE');
    const { child, ended } = startDguard(['backup', job, '--no-progress'], { cwd: folder });
    try {
      const waiting =
        "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%' AND INFO LIKE '%zz%'";
      await expect.poll(() => bench.sql(undefined, waiting), { timeout: 60_000 }).not.toEqual([]);
      await act(holder);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      holder.destroy();
    }
    return await ended;
  }

  it.each([
    ['rows', 'DROP TABLE zz'],
    ['rows', 'ALTER TABLE zz ADD COLUMN more INT NOT NULL DEFAULT 1'],
    ['jsonl', 'DROP TABLE zz'],
  ])('%s: %s, before its rows are read', async (job, statement) => {
    const store = watch();
    const outcome = await whileItWaits(job, (holder) => holder.query(statement));
    // MySQL does not say of which table.
    store.expectFailed(outcome, failed(/zz|Table definition has changed/));
    const again = 'DROP TABLE IF EXISTS zz; CREATE TABLE zz (id INT PRIMARY KEY); INSERT INTO zz VALUES (1)';
    await bench.sql('dgv_app', again);
  });

  it('the server stops', async () => {
    if (server().pid === undefined) return; // not ours to stop
    const store = watch();
    const outcome = await whileItWaits('rows', () => server().halt('SIGKILL'));
    await server().resume();
    store.expectFailed(outcome, failed(/[Cc]onnection|server|ECONN/));
    const good = await run('backup', 'rows');
    expect(good, good.stderr).toMatchObject({ code: 0 });
  });

  it('the password is another one since', async () => {
    const store = watch();
    writeFileSync(place('password'), 'another one', { mode: 0o600 });
    try {
      store.expectFailed(await run('backup', 'db'), { ...failed(/Access denied/), secret: 'another one' });
    } finally {
      writeFileSync(place('password'), server().password, { mode: 0o600 });
    }
  });

  it("the client tools are the other make's, which cannot log in: exit 7", async () => {
    const other = mysqlPrograms('mysql-9.7');
    if (server().flavour === 'mysql' || other === undefined) return;
    const store = watch();
    const config = place('other.yaml');
    const text = readFileSync(place('backup.yaml'), 'utf8');
    writeFileSync(config, text.replaceAll(place('tools'), other.bin), { mode: 0o600 });
    store.expectFailed(await run('backup', 'tools', '-c', config), failed(/mysql_native_password/, 7));
  });
});
