import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, describeWithEachMysql, makeBench, picture } from './support.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');

describeWithEachMysql('mysql: objects of many kinds', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('dgt_objects', OBJECTS);
  });
  afterAll(() => bench?.remove());

  it('come back equal in a new database, in the place of another, and back by undo', async () => {
    const before = await picture(bench, 'dgt_objects');
    expect(Object.keys(before).length).toBeGreaterThan(25);
    const content = await backUp(bench.source('dgt_objects'));
    expect(content.facts).toMatchObject({ consistency: 'snapshot', engine: { counts: 'exact' } });
    expect(await mysqlEngine.inspect(content, inspectIn(bench.folder))).toEqual([]);

    await mysqlEngine.restore(content, bench.request('dgt_objects', { toDatabase: 'dgt_new' }));
    expect(await picture(bench, 'dgt_new')).toEqual(before);

    await bench.sql('dgt_objects', 'DROP EVENT tick');
    await bench.sql('dgt_objects', "INSERT INTO parent (name) VALUES ('later')");
    await bench.sql('dgt_objects', 'CREATE VIEW late AS SELECT 1 AS one');
    await bench.sql('dgt_objects', 'CREATE TABLE late_table (n INT)');
    const changed = await picture(bench, 'dgt_objects');
    const { undo } = await mysqlEngine.restore(content, bench.request('dgt_objects', { overwrite: true }));
    expect(await picture(bench, 'dgt_objects')).toEqual(before);
    expect(undo).toMatch(/^dgt_objects__dg_undo_/);

    const undone = await mysqlEngine.swaps!.undo(bench.target('dgt_objects'));
    expect(await picture(bench, 'dgt_objects')).toEqual(changed);
    expect(undone.restored.name).toBe(undo);
    await mysqlEngine.swaps!.undo(bench.target('dgt_objects'));
    expect(await picture(bench, 'dgt_objects')).toEqual(before);
    expect(bench.warnings).toEqual([]);
    expect(await bench.names()).not.toContain(undo);
    await mysqlEngine.swaps!.dropUndo(bench.target('dgt_objects'), 0);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it('comments of code with backslashes come back as they were, under NO_BACKSLASH_ESCAPES too', async () => {
    const script = `CREATE TABLE t (n INT);
CREATE PROCEDURE usual (x INT) COMMENT 'a\\\\b \\'c\\'\\n' SELECT 'x\\\\';
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
CREATE PROCEDURE \`p (\` (\`comment\` INT) SQL SECURITY INVOKER COMMENT 'c:\\dir, it''s\\' SELECT '\\' AS \`comment\`;
CREATE PROCEDURE without () SELECT 1 AS comment, 'a\\\\b';
CREATE FUNCTION f (a INT, b CHAR(3)) RETURNS VARCHAR(30) CHARSET utf8mb4 DETERMINISTIC COMMENT '\\
n' RETURN 'x\\';
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' COMMENT '\\' DO SELECT '\\';
SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES';
CREATE PROCEDURE "quo ted" () COMMENT '\\d' SELECT 1 AS "comment";
SET sql_mode = DEFAULT`;
    await bench.database('dgt_comments', script);
    const comments = (schema: string) =>
      bench.sql(
        undefined,
        `SELECT ROUTINE_NAME AS n, ROUTINE_COMMENT AS c FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '${schema}'
          UNION ALL SELECT EVENT_NAME, EVENT_COMMENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '${schema}' ORDER BY 1`,
      );
    const [before, said] = [await picture(bench, 'dgt_comments'), await comments('dgt_comments')];
    expect(said).toContainEqual({ n: 'p (', c: "c:\\dir, it's\\" });
    const content = await backUp(bench.source('dgt_comments'));
    await mysqlEngine.restore(content, bench.request('dgt_comments', { scratch: true }));
    await mysqlEngine.restore(content, bench.request('dgt_comments', { overwrite: true }));
    expect(await comments('dgt_comments')).toEqual(said);
    expect(await picture(bench, 'dgt_comments')).toEqual(before);
  });

  it('MariaDB: defaults from sequences take from those beside them, packages come back, an event goes on', async () => {
    if (server().flavour !== 'mariadb') return;
    await bench.database(
      'dgt_sequences',
      `CREATE SEQUENCE numbers START WITH 100;
       CREATE TABLE numbered (id INT DEFAULT NEXTVAL(numbers), n INT); INSERT INTO numbered (n) VALUES (1);
       SET sql_mode = 'ORACLE';
       CREATE PACKAGE pack AS FUNCTION one RETURN INT; END;
       CREATE PACKAGE BODY pack AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END;
       SET sql_mode = 'ANSI_QUOTES';
       CREATE EVENT "quo ted" ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO SELECT 1;
       SET sql_mode = DEFAULT`,
    );
    const before = await picture(bench, 'dgt_sequences');
    const content = await backUp(bench.source('dgt_sequences'));
    bench.warnings.length = 0;
    await mysqlEngine.restore(content, bench.request('dgt_sequences', { scratch: true }));
    for (const target of ['dgt_beside', 'dgt_sequences']) {
      const request = { toDatabase: target, overwrite: target === 'dgt_sequences' };
      await mysqlEngine.restore(content, bench.request('dgt_sequences', request));
      expect(await picture(bench, target)).toEqual(before);
      const [made] = await bench.sql(target, 'SHOW CREATE TABLE numbered');
      expect(made!['Create Table']).toContain(`nextval(\`${target}\`.\`numbers\`)`);
    }
    // The tables of before go on with the sequence of before.
    const [kept] = (await bench.names()).filter((name) => name.startsWith('dgt_sequences__dg_undo_'));
    const [old] = await bench.sql(kept!, 'SHOW CREATE TABLE numbered');
    expect(old!['Create Table']).toContain(`nextval(\`${kept}\`.\`numbers\`)`);
    await mysqlEngine.restore(
      content,
      bench.request('dgt_sequences', { only: ['numbered'], overwrite: true }),
    );
    await bench.sql('dgt_sequences', 'INSERT INTO numbered (n) VALUES (2)');
    expect(bench.warnings).toEqual([]);
    await mysqlEngine.swaps!.dropUndo(bench.target('dgt_sequences'), 0);
  });
});
