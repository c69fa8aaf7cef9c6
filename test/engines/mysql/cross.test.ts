import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { BackupContent, EngineSource } from '../../../src/engines/types.ts';
import { backUp, describeWithMysql, makeBench, picture } from './support.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');

describeWithMysql(
  ['mysql-9.7', 'mariadb-11.8'],
  "mysql: a server by the other's tools",
  ([mysql, mariadb]) => {
    // An unpacked client does not find its plugins where it was built for.
    const source = <T>(made: EngineSource<T>): EngineSource<T> => ({
      ...made,
      env: { ...process.env, MARIADB_PLUGIN_DIR: mariadb!().pluginFolder },
    });

    it("MySQL by MariaDB's: what comes back is equal, with a warning; generated columns of tables without transactions are refused", async () => {
      const bench = await makeBench(mysql!(), 'dgc_', mariadb!().bin);
      try {
        await bench.database('dgc_objects', OBJECTS);
        await bench.sql(
          'dgc_objects',
          'CREATE TABLE made_old (a INT, b INT AS (a * 2) STORED) ENGINE=MyISAM',
        );
        await expect(backUp(source(bench.source('dgc_objects')))).rejects.toMatchObject({
          code: 'tool_version',
          message: expect.stringContaining('made_old'),
        });
        // Rows that we read ourselves have none of these values.
        await bench.sql('dgc_objects', 'DROP TABLE made_old');
        const before = await picture(bench, 'dgc_objects');
        const content = await backUp(source(bench.source('dgc_objects')));
        expect(content.facts.tool_version).toContain('MariaDB');
        const request = { toDatabase: 'dgc_new', source: source(bench.source('dgc_new')) };
        await mysqlEngine.restore(content, bench.request('dgc_objects', request));
        expect(await picture(bench, 'dgc_new')).toEqual(before);
        expect(bench.warnings.map(({ message }) => message).join()).toMatch(/the client tools are MariaDB's/);

        // What MySQL's own tool dumped, loaded by MariaDB's client, and the other way round.
        const own = await makeBench(mysql!(), 'dgo_');
        const back = await backUp(own.source('dgc_objects'));
        await mysqlEngine.restore(content, own.request('dgc_objects', { toDatabase: 'dgo_1' }));
        await mysqlEngine.restore(back, bench.request('dgc_objects', { ...request, toDatabase: 'dgc_2' }));
        expect(await picture(own, 'dgo_1')).toEqual(before);
        expect(await picture(bench, 'dgc_2')).toEqual(before);
        await own.remove();
      } finally {
        await bench.remove();
      }
    });

    it('a sequence of MariaDB cannot come to MySQL, and its tables alone can', async () => {
      const [from, to] = [await makeBench(mariadb!(), 'dgq_'), await makeBench(mysql!(), 'dgq_')];
      try {
        await from.database(
          'dgq_numbers',
          'CREATE SEQUENCE numbers;\nCREATE TABLE t (n INT PRIMARY KEY);\nINSERT INTO t VALUES (7)',
        );
        const content = await backUp(from.source('dgq_numbers'));
        const restored = (only: string[]) =>
          mysqlEngine.restore(content, to.request('dgq_numbers', { toDatabase: 'dgq_new', only }));
        await expect(restored([])).rejects.toMatchObject({
          code: 'target_failed',
          hint: expect.stringContaining('the backup has a sequence'),
        });
        expect((await to.names()).filter((name) => name.startsWith('dgq_'))).toEqual([]);
        await restored(['t']);
        expect(await to.sql('dgq_new', 'SELECT n FROM t')).toEqual([{ n: 7 }]);
      } finally {
        await from.remove();
        await to.remove();
      }
    });

    it('code of MariaDB comes to MySQL, which no longer has a mode that it was created under', async () => {
      const [from, to] = [await makeBench(mariadb!(), 'dgm_'), await makeBench(mysql!(), 'dgm_')];
      try {
        await from.database('dgm_code', 'CREATE TABLE t (n INT PRIMARY KEY, v VARCHAR(9))');
        for (const statement of [
          "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'set'",
          'CREATE PROCEDURE p() SELECT 7 AS n',
          'CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @x = 1',
        ])
          await from.sql('dgm_code', `SET NAMES utf8mb4 COLLATE utf8mb4_general_ci;\n${statement}`);
        const content = await backUp(from.source('dgm_code'));
        await mysqlEngine.restore(content, to.request('dgm_code', { toDatabase: 'dgm_new' }));
        await to.sql('dgm_new', 'INSERT INTO t (n) VALUES (1)');
        expect(await to.sql('dgm_new', 'SELECT v FROM t')).toEqual([{ v: 'set' }]);
        const [trigger] = await to.sql(
          undefined,
          "SELECT SQL_MODE AS m FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'dgm_new'",
        );
        expect(String(trigger!['m'])).toContain('NO_ENGINE_SUBSTITUTION');
      } finally {
        await from.remove();
        await to.remove();
      }
    });

    it('a collation that the target does not have is said, and the target left alone', async () => {
      const [from, to] = [await makeBench(mariadb!(), 'dgm_'), await makeBench(mysql!(), 'dgm_')];
      try {
        await from.database('dgm_code', 'CREATE TABLE t (n INT PRIMARY KEY)');
        await from.sql(undefined, 'ALTER DATABASE dgm_code COLLATE utf8mb4_uca1400_ai_ci');
        const content = await backUp(from.source('dgm_code'));
        await expect(
          mysqlEngine.restore(content, to.request('dgm_code', { toDatabase: 'dgm_new' })),
        ).rejects.toMatchObject({
          code: 'target_refused',
          message: expect.stringMatching(/utf8mb4_uca1400_ai_ci/),
          hint: expect.stringMatching(/collation that this server does not have/),
        });
        expect(await to.names()).toEqual([]);
      } finally {
        await from.remove();
        await to.remove();
      }
    });

    it("MariaDB by MySQL's: the client that no longer knows MariaDB's passwords is named, with what to do", async () => {
      const bench = await makeBench(mariadb!(), 'dgc_', mysql!().bin);
      try {
        await bench.database('dgc_plain', 'CREATE TABLE t (n INT)');
        await expect(backUp(source(bench.source('dgc_plain')))).rejects.toMatchObject({
          code: 'tool_version',
          message: expect.stringContaining('mysql_native_password'),
          hint: expect.stringContaining("the server's own make"),
        });
      } finally {
        await bench.remove();
      }
    });
  },
);

describeWithMysql(
  ['mariadb-10.11', 'mariadb-11.8'],
  'mysql: history of a server before 11.5',
  ([old, newer]) => {
    it('says why what is current cannot come to a newer server, and what can; JSONL can', async () => {
      const [from, to] = [await makeBench(old!(), 'dgh_'), await makeBench(newer!(), 'dgh_')];
      try {
        await from.database(
          'dgh_history',
          'CREATE TABLE t (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING;\nINSERT INTO t VALUES (1, 1), (2, 2)',
        );
        const restored = async (content: BackupContent, name: string) =>
          mysqlEngine.restore(content, to.request('dgh_history', { toDatabase: name }));
        const native = await backUp(from.source('dgh_history'));
        await expect(restored(native, 'dgh_native')).rejects.toMatchObject({
          code: 'target_failed',
          message: expect.stringMatching(/^rows of t, with system versioning, came in as history/),
          hint: expect.stringContaining('jsonl'),
        });
        expect((await to.names()).filter((name) => name.startsWith('dgh_'))).toEqual([]);
        const jsonl = await backUp(from.source('dgh_history'), { format: 'jsonl' });
        await restored(jsonl, 'dgh_jsonl');
        expect(await to.sql('dgh_jsonl', 'SELECT id, n FROM t ORDER BY id')).toEqual([
          { id: 1, n: 1 },
          { id: 2, n: 2 },
        ]);
      } finally {
        await from.remove();
        await to.remove();
      }
    });
  },
);
