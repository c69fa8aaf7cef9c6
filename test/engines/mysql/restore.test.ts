import { hash } from 'node:crypto';
import mysql from 'mysql2/promise';
import { beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithEachMysql, picture } from './support.ts';
import { OLD, useNew } from './support-restore.ts';

const swaps = mysqlEngine.swaps!;

describeWithEachMysql('mysql: restore', (server) => {
  const loaded = useNew(server);
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, string>;
  beforeAll(() => {
    ({ bench, content, after } = loaded);
  });

  it('a database that another restore makes is left to it', async () => {
    await bench.sql(undefined, 'DROP DATABASE IF EXISTS dgr_target');
    const { host, port, user, password } = server();
    const other = await mysql.createConnection({ host, port, user, password });
    const lock = `dguard:${hash('sha256', 'dgr_target', 'hex').slice(0, 40)}`;
    await other.query('SELECT GET_LOCK(?, 0)', [lock]);
    const restore = () => mysqlEngine.restore(content, bench.request('dgr_target'));
    expect(await errorOf(restore())).toMatchObject({ code: 'locked', subject: 'dgr_target' });
    expect(await bench.names()).not.toContain('dgr_target');
    const [rows] = await other.query('SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS held', [lock]);
    expect(rows).toEqual([{ held: 1 }]);
    await other.end();
    await restore();
    expect(await picture(bench, 'dgr_target')).toEqual(after);
  });

  it('refuses what is there and not empty, and tables that others refer to', async () => {
    await bench.database('dgr_target', OLD);
    expect(await errorOf(mysqlEngine.restore(content, bench.request('dgr_target')))).toMatchObject({
      code: 'target_refused',
    });
    await bench.database(
      'dgr_other',
      'CREATE TABLE x (a_id INT, FOREIGN KEY (a_id) REFERENCES dgr_target.a (id))',
    );
    const error = await errorOf(
      mysqlEngine.restore(content, bench.request('dgr_target', { overwrite: true })),
    );
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.message).toContain('dgr_other.x');
    await bench.sql(undefined, 'DROP DATABASE dgr_other');
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it('puts chosen tables in the place of their counterparts, and takes them back', async () => {
    await bench.database('dgr_target', OLD.replace(/, CONSTRAINT b_a [^)]*\) REFERENCES a \(id\)/, ''));
    const before = await picture(bench, 'dgr_target');
    const request = bench.request('dgr_target', { only: ['a', 'only_n*'], overwrite: true });
    const { undo, tables } = await mysqlEngine.restore(content, request);
    expect(tables!.map(({ name }) => name)).toEqual(['a', 'only_new']);
    const merged = await picture(bench, 'dgr_target');
    expect(merged['TABLE a']).toBe(after['TABLE a']);
    expect(merged['TRIGGER a_bi']).toBe(after['TRIGGER a_bi']);
    for (const same of ['TABLE b', 'TABLE only_old', 'PROCEDURE p', 'EVENT e', 'rows of b'])
      expect(merged[same], same).toBe(before[same]);
    expect(undo).toMatch(/__dg_undo_/);
    await swaps.undo(bench.target('dgr_target'));
    expect(await picture(bench, 'dgr_target')).toEqual(before);
    const fresh = await mysqlEngine.restore(
      content,
      bench.request('dgr_target', { only: ['b', 'typo'], toDatabase: 'dgr_part' }),
    );
    expect(fresh.tables).toEqual([{ name: 'b', rows: 1 }]);
    expect(bench.warnings.map(({ message }) => message)).toContain("no table matches the pattern 'typo'");
    expect(
      await errorOf(mysqlEngine.restore(content, bench.request('dgr_target', { only: ['none'] }))),
    ).toMatchObject({ code: 'nothing_there' });
  });

  it('a test restore leaves nothing, runs no event, and tells a row that is missing', async () => {
    const { target, tables } = await mysqlEngine.restore(
      content,
      bench.request('dgr_new', { scratch: true }),
    );
    expect(target).toContain('__dg_scratch_');
    expect(tables!.map(({ rows }) => rows)).toEqual([2, 1, 0]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    const lying: BackupContent = {
      ...content,
      async *entries(options) {
        for await (const entry of content.entries(options))
          yield entry.type === 'table' ? { ...entry, rows: 5 } : entry;
      },
    };
    expect(
      await errorOf(mysqlEngine.restore(lying, bench.request('dgr_new', { scratch: true }))),
    ).toMatchObject({ code: 'corrupt' });
    await bench.sql(undefined, 'CREATE DATABASE dgr_new__dg_scratch_dead');
    await bench.sql(
      'dgr_new__dg_scratch_dead',
      `CREATE TABLE __dguard_mark (id VARCHAR(64) PRIMARY KEY, doc LONGTEXT);
INSERT INTO __dguard_mark VALUES ('mark', '{"dguard":{"role":"scratch","target":"dgr_new","backupId":"x","createdAt":""}}')`,
    );
    await bench.sql(undefined, 'CREATE DATABASE dgr_new__dg_scratch_unmarked');
    // Of a datasource that names no single database it is about all of them.
    const all = bench.source([], { all_databases: true });
    expect(await swaps.dropScratch!({ ...bench.target('dgr_new'), source: all })).toHaveLength(1);
    expect(await swaps.recover({ ...bench.target('dgr_new'), source: all })).toEqual([]);
    // A killed restore to another database is named, with what removes it: nothing else would ever do it.
    await bench.sql(undefined, 'CREATE DATABASE dgr_copy__dg_new_dead');
    await bench.sql(
      'dgr_copy__dg_new_dead',
      `CREATE TABLE __dguard_mark (id VARCHAR(64) PRIMARY KEY, doc LONGTEXT);
INSERT INTO __dguard_mark VALUES ('mark', '{"dguard":{"role":"new","target":"dgr_copy","backupId":"x","createdAt":""}}')`,
    );
    const one = bench.target('dgr_target');
    expect(await swaps.recover(one)).toEqual([
      `dgr_copy__dg_new_dead was left by an interrupted restore of x to dgr_copy, and takes room; to remove it: dguard restore --recover --to ${one.source!.name} --to-database dgr_copy`,
    ]);
    expect(await swaps.recover({ ...one, toDatabase: 'dgr_copy' })).toHaveLength(1);
    expect(await swaps.recover(one)).toEqual([]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([
      'dgr_new__dg_scratch_unmarked',
    ]);
  });

  it('code of another collation does not change the database that the dump was of', async () => {
    await bench.database(
      'dgr_coll',
      'CREATE TABLE t (n INT);\nCREATE TRIGGER t_bi BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1;\nCREATE PROCEDURE pr () SELECT 1',
    );
    await bench.sql(undefined, 'ALTER DATABASE dgr_coll CHARACTER SET latin1 COLLATE latin1_swedish_ci');
    const backup = await backUp(bench.source('dgr_coll'));
    await bench.sql(undefined, 'ALTER DATABASE dgr_coll CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    const before = await picture(bench, 'dgr_coll');
    await mysqlEngine.restore(backup, bench.request('dgr_coll', { toDatabase: 'dgr_coll_2' }));
    expect(await picture(bench, 'dgr_coll')).toEqual(before);
    expect((await picture(bench, 'dgr_coll_2'))['defaults']).toContain('latin1');
  });

  it('an account that may not keep definers becomes them, with a warning; one that may create nothing is refused', async () => {
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgr_mid'@'%'; CREATE USER 'dgr_mid'@'%' IDENTIFIED BY 'mid-pass-1'; GRANT ALL PRIVILEGES ON `dgr\\_mid%`.* TO 'dgr_mid'@'%'",
    );
    await bench.sql(undefined, 'SET GLOBAL log_bin_trust_function_creators = 1');
    const options = { username: 'dgr_mid', password: new Secret('mid-pass-1') };
    const request = (name: string) =>
      bench.request(name, { source: bench.source(name, options), toDatabase: name });
    await mysqlEngine.restore(content, request('dgr_mid_1'));
    expect(bench.warnings.map(({ message }) => message).join()).toMatch(/may not keep their definers/);
    const [row] = await bench.sql(
      'dgr_mid_1',
      "SELECT DEFINER AS definer FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'dgr_mid_1'",
    );
    expect(row!['definer']).toBe('dgr_mid@%');
    // Of somebody else: what is replaced comes back all the same.
    const readable = OLD.replace("CREATE PROCEDURE p () SELECT 'old';\n", '');
    await bench.database('dgr_mid_2', readable);
    const before = Object.keys(await picture(bench, 'dgr_mid_2')).sort();
    const overwrite = { ...request('dgr_mid_2'), overwrite: true };
    bench.warnings.length = 0;
    if (server().flavour === 'mysql') {
      // It may not even drop what a SYSTEM_USER has defined.
      expect(await errorOf(mysqlEngine.restore(content, overwrite))).toMatchObject({ code: 'target_failed' });
    } else {
      await mysqlEngine.restore(content, overwrite);
      expect(bench.warnings.filter(({ partial }) => partial)).toEqual([]);
      await swaps.undo({ ...bench.target('dgr_mid_2'), source: bench.source('dgr_mid_2', options) });
    }
    expect(Object.keys(await picture(bench, 'dgr_mid_2')).sort()).toEqual(before);
    const error = await errorOf(mysqlEngine.restore(content, request('dgr_forbidden')));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.hint).toMatch(/^as an administrator: GRANT/);
  });

  it('a load that fails, and one that is stopped, leave nothing and touch nothing', async () => {
    await bench.database('dgr_target', OLD);
    const before = await picture(bench, 'dgr_target');
    const broken: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry))
          yield Buffer.from(
            Buffer.from(chunk)
              .toString('latin1')
              .replace('CREATE TABLE `b` (', 'CREATE TABLE `b` (nonsense '),
            'latin1',
          );
      },
    };
    const error = await errorOf(
      mysqlEngine.restore(broken, bench.request('dgr_target', { overwrite: true })),
    );
    expect(error).toMatchObject({ code: 'target_failed' });
    expect(error.message).toMatch(/ERROR \d+/);
    const stop = new AbortController();
    const stopping: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk.subarray(0, chunk.length / 2);
          stop.abort();
          yield chunk.subarray(chunk.length / 2);
        }
      },
    };
    expect(
      await errorOf(
        mysqlEngine.restore(stopping, bench.request('dgr_target', { overwrite: true, signal: stop.signal })),
      ),
    ).toMatchObject({ code: 'interrupted' });
    expect(await picture(bench, 'dgr_target')).toEqual(before);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
});
