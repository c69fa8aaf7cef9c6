import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { errorOf } from '../../error-of.ts';
import { backUp } from './support.ts';
import { bench, source } from './support-bench.ts';
import { create, dumpText, PAIR_SCHEMA, read } from './support-files.ts';

describe('restore', () => {
  beforeEach(() => create(source, PAIR_SCHEMA.replace('60000', '500')));

  test('only: chosen tables go to a new file', async () => {
    create(source, 'CREATE TABLE c (i); CREATE TRIGGER at AFTER INSERT ON a BEGIN SELECT 1; END');
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'some.db');
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath: target, only: ['A'] }));
    expect(outcome.tables).toEqual([{ name: 'a', rows: 500 }]);
    expect(read(target, 'SELECT group_concat(name) FROM sqlite_master')).toBe('a,at');
  });

  test('only: tables come out of, and into, databases with virtual tables whose module is missing', async () => {
    const withModule = (path: string) => {
      const database = new Driver(path);
      database.unsafeMode(true);
      database.pragma('writable_schema = ON');
      database
        .prepare(
          "INSERT INTO sqlite_master VALUES ('table', 'odd', 'odd', 0, 'CREATE VIRTUAL TABLE odd USING nothere(a)')",
        )
        .run();
      database.close();
    };
    withModule(source);
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'has.db');
    create(target, 'CREATE TABLE own (i); CREATE TABLE a (i)');
    withModule(target);
    const names =
      "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1)";
    const before = dumpText(target);
    const at = bench.request({ source: bench.source(target), only: ['a'], overwrite: true });
    await sqliteEngine.restore(backup, at);
    expect(read(target, names)).toBe('a,odd,own');
    expect(read(target, 'SELECT count(*) FROM a')).toBe(500);
    await sqliteEngine.swaps!.undo(at);
    await sqliteEngine.restore(backup, { ...at, only: ['a', 'odd'] });
    expect(read(target, names)).toBe('a,odd,own');
    await sqliteEngine.swaps!.undo(at);
    expect(dumpText(target)).toBe(before);
    const some = await backUp(bench.source(source), { include: ['b'] });
    const file = join(bench.folder, 'b.db');
    await sqliteEngine.restore(some, bench.request({ toPath: file }));
    expect(read(file, names)).toBe('b');
  });

  test('only: a virtual table that SQLite cannot enter goes without the data of one whose name is longer', async () => {
    const target = join(bench.folder, 'has.db');
    for (const path of [source, target]) {
      create(
        path,
        `CREATE VIRTUAL TABLE docs USING fts4(a); INSERT INTO docs VALUES ('needle');
         CREATE VIRTUAL TABLE docs_archive USING fts4(a); INSERT INTO docs_archive VALUES ('hay')`,
      );
    }
    const tables =
      "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE name GLOB 'docs*' ORDER BY 1)";
    const all = read<string>(target, tables);
    for (const path of [source, target]) {
      const database = new Driver(path);
      database.unsafeMode(true);
      database.pragma('writable_schema = ON');
      database.exec(
        `UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE docs USING fts4(a, tokenize=nothere)' WHERE name = 'docs'`,
      );
      database.close();
    }
    const backup = await backUp(bench.source(source));
    const at = bench.request({ source: bench.source(target), only: ['docs'], overwrite: true });
    await sqliteEngine.restore(backup, at);
    expect(read(target, tables)).toBe(all);
    expect(read(target, "SELECT a FROM docs_archive WHERE docs_archive MATCH 'hay'")).toBe('hay');
    const some = await backUp(bench.source(source), { exclude: ['docs'] });
    const file = join(bench.folder, 'some.db');
    await sqliteEngine.restore(some, bench.request({ toPath: file }));
    expect(read(file, tables)).toBe(
      all
        .split(',')
        .filter((name) => name.startsWith('docs_archive'))
        .join(),
    );
    expect(read(file, "SELECT a FROM docs_archive WHERE docs_archive MATCH 'hay'")).toBe('hay');
  });

  test('only: what was doubtful in the target before is not said to be of the merge; what it makes so, is', async () => {
    const indexed = (
      texts: string,
      index: string,
    ) => `CREATE TABLE ${texts} (q); INSERT INTO ${texts} VALUES ('then');
      CREATE VIRTUAL TABLE ${index} USING fts4(q, content="${texts}")`;
    create(source, "CREATE TABLE texts (q); INSERT INTO texts VALUES ('now')");
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'has.db');
    create(
      target,
      `${indexed('other', 'stale')}; ${indexed('texts', 'fresh')}; INSERT INTO fresh (fresh) VALUES ('rebuild')`,
    );
    const at = bench.request({ source: bench.source(target), only: ['texts'], overwrite: true });
    await sqliteEngine.restore(backup, at);
    expect(read(target, 'SELECT q FROM texts')).toBe('now');
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^after the merge, malformed .*main\.fresh: it is stale or broken, rebuild it: /),
    ]);
    create(
      target,
      "INSERT INTO fresh (fresh) VALUES ('rebuild'); INSERT INTO stale (stale) VALUES ('rebuild')",
    );
    expect(read(target, 'PRAGMA integrity_check')).toBe('ok');
  });

  test('only: into a database of another encoding is refused, and changes nothing', async () => {
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'wide.db');
    create(target, "PRAGMA encoding = 'UTF-16be'; CREATE TABLE own (i)");
    const before = dumpText(target);
    const at = bench.request({ source: bench.source(target), only: ['a'], overwrite: true });
    expect(await errorOf(sqliteEngine.restore(backup, at))).toMatchObject({
      code: 'target_refused',
      message: expect.stringContaining('is UTF-8, the target is UTF-16be'),
      hint: expect.stringContaining('--to-path'),
    });
    expect(dumpText(target)).toBe(before);
  });

  test.each(['DELETE', 'WAL'])(
    'only: into a database that exists (%s), chosen tables are replaced and all else stays',
    async (mode) => {
      create(
        source,
        `CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, up AS (upper(t)) STORED);
         CREATE INDEX c_t ON c (t); INSERT INTO c (t) VALUES ('x'), ('y');
         CREATE TRIGGER c_t AFTER INSERT ON c BEGIN SELECT raise(FAIL, 'triggered'); END;
         CREATE VIRTUAL TABLE words USING fts5(w); INSERT INTO words VALUES ('needle in hay');
         CREATE TABLE plain (v); INSERT INTO plain (rowid, v) VALUES (7, 'seven');`.replace(
          'TRIGGER c_t',
          'TRIGGER c_ins',
        ),
      );
      const backup = await backUp(bench.source(source));
      create(
        source,
        `PRAGMA journal_mode = ${mode}; DROP TRIGGER c_ins; DROP INDEX c_t; DELETE FROM c; DROP TABLE words; DELETE FROM plain;
         CREATE TABLE late (i); INSERT INTO late VALUES (1); DELETE FROM b;
         CREATE VIEW v AS SELECT * FROM plain`,
      );
      const before = dumpText(source);
      const at = bench.request({
        source: bench.source(source),
        only: ['c', 'words', 'plain'],
        overwrite: true,
      });
      const outcome = await sqliteEngine.restore(backup, at);
      expect(outcome.tables?.map(({ name }) => name).sort()).toEqual(['c', 'plain', 'words']);
      expect(read(source, "SELECT group_concat(id || up, ',') FROM c INDEXED BY c_t")).toBe('1X,2Y');
      expect(read(source, "SELECT count(*) FROM words WHERE words MATCH 'needle'")).toBe(1);
      expect(read(source, 'SELECT v FROM v')).toBe('seven');
      expect(read(source, 'SELECT rowid FROM plain')).toBe(7);
      expect(read(source, 'SELECT count(*) FROM late')).toBe(1);
      expect(read(source, 'SELECT count(*) FROM b')).toBe(0);
      expect(read(source, "SELECT seq FROM sqlite_sequence WHERE name = 'c'")).toBe(2);
      expect(read(source, 'PRAGMA journal_mode')).toBe(mode.toLowerCase());
      expect(read(source, 'PRAGMA integrity_check')).toBe('ok');
      await sqliteEngine.swaps!.undo(at);
      expect(dumpText(source)).toBe(before);
    },
  );

  test('only: a table whose name is a view in the target is refused, and the target stays', async () => {
    create(source, 'CREATE TABLE c (i)');
    const backup = await backUp(bench.source(source));
    create(source, 'DROP TABLE c; CREATE VIEW c AS SELECT 1');
    const before = dumpText(source);
    const error = await errorOf(
      sqliteEngine.restore(
        backup,
        bench.request({ source: bench.source(source), only: ['c'], overwrite: true }),
      ),
    );
    expect(error).toMatchObject({ code: 'target_refused', hint: expect.stringContaining('--to-path') });
    expect(dumpText(source)).toBe(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
  });
});
