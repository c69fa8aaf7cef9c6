import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { errorOf } from '../../error-of.ts';
import { backUp, collect, dumpRequest } from './support.ts';
import { bench, inspectRequest, source } from './support-bench.ts';
import { beside, create, dumpText, PAIR_SCHEMA, PAIR_WRITER, RICH_SCHEMA, read } from './support-files.ts';

describe('dump, native', () => {
  test('a restored backup equals the database: FTS5, R-Tree, WITHOUT ROWID, generated columns', async () => {
    create(source, RICH_SCHEMA);
    const backup = await backUp(bench.source(source));
    expect(backup.paths).toEqual(['database.db']);
    expect(backup.facts).toMatchObject({
      consistency: 'snapshot',
      extensions: ['fts5', 'rtree'],
      tables_count: 9,
    });
    expect(backup.facts.schema_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(backup.facts.engine_output).toContain('user_version 42');
    const target = join(bench.folder, 'new.db');
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath: target }));
    expect(outcome.tables).toContainEqual({ name: 'notes', rows: 2 });
    expect(dumpText(target)).toBe(dumpText(source));
    expect(read(target, "SELECT title FROM notes WHERE notes MATCH 'fox'")).toBe('first');
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
    expect(await sqliteEngine.inspect(backup, inspectRequest())).toEqual([]);
  });

  test.each(['native', 'jsonl'] as const)(
    'an FTS4 index that cannot be compared, or is older than its texts, is kept with a warning (%s)',
    async (format) => {
      create(
        source,
        `CREATE VIRTUAL TABLE bare USING fts4(q, content=""); INSERT INTO bare (docid, q) VALUES (3, 'needle');
       CREATE TABLE texts (id INTEGER PRIMARY KEY, q); INSERT INTO texts VALUES (1, 'not yet');
       CREATE VIRTUAL TABLE late USING fts4(q, -- of
         content="texts")`,
      );
      const backup = await backUp(bench.source(source), { format });
      expect(bench.warnings.map(({ message }) => message).sort()).toEqual([
        expect.stringMatching(
          /main\.late: it is stale or broken, rebuild it: INSERT INTO "late" \("late"\) VALUES \('rebuild'\)$/,
        ),
        expect.stringMatching(/^unable to validate .*main\.bare/),
      ]);
      expect(await sqliteEngine.inspect(backup, inspectRequest())).toEqual([]);
      const target = join(bench.folder, 'new.db');
      await sqliteEngine.restore(backup, bench.request({ toPath: target }));
      const lines = (path: string) => dumpText(path).split('\n').sort();
      expect(lines(target)).toEqual(lines(source));
      expect(read(target, "SELECT docid FROM bare WHERE bare MATCH 'needle'")).toBe(3);
    },
  );

  /** Of three pages, the last of them full. */
  const THREE_PAGES = 'CREATE TABLE t (b); INSERT INTO t VALUES (randomblob(3000)), (randomblob(3000))';

  test.each(['delete', 'wal'])(
    'a file that ends within its last page is refused, though SQLite finds nothing amiss (journal mode %s)',
    async (mode) => {
      create(source, `PRAGMA journal_mode = ${mode}; ${THREE_PAGES}`);
      truncateSync(source, statSync(source).size - 100);
      expect(read(source, 'PRAGMA integrity_check')).toBe('ok');
      const error = await errorOf(backUp(bench.source(source)));
      expect(error).toMatchObject({ code: 'source_failed', message: expect.stringContaining('is cut off') });
    },
  );

  test('a file whose last page is cut off by a checkpoint that broke off is whole with its -wal', async () => {
    create(source, `PRAGMA journal_mode = WAL; ${THREE_PAGES}`);
    const writer = await beside(
      `const d = new Database(process.argv[1]); d.pragma('wal_autocheckpoint = 0');
       d.exec('UPDATE t SET b = zeroblob(2999) || 1'); console.log('ready'); setInterval(() => d.open, 1000);`,
      source,
    );
    await writer.stop();
    truncateSync(source, statSync(source).size - 100);
    const backup = await backUp(bench.source(source));
    const copy = join(bench.folder, 'copy.db');
    writeFileSync(copy, backup.members.get('database.db')!);
    expect(read(copy, 'SELECT count(*) FROM t WHERE b = zeroblob(2999) || 1')).toBe(2);
  });

  test('an index that is broken in itself fails the backup', async () => {
    create(
      source,
      `CREATE VIRTUAL TABLE own USING fts4(q); INSERT INTO own VALUES ('x');
       CREATE VIRTUAL TABLE bare USING fts4(q, content=""); INSERT INTO bare (docid, q) VALUES (3, 'needle')`,
    );
    const database = new Driver(source);
    database.unsafeMode(true);
    database.exec('DELETE FROM own_segdir');
    database.close();
    const error = await errorOf(backUp(bench.source(source)));
    expect(error.message).toMatch(/corrupt: malformed inverted index for FTS4 table main\.own$/);
  });

  test.each(['""', "''", '``', '[]', ''])(
    'an index of a table that keeps no texts (content=%s) is all there is: a broken one fails the backup',
    async (content) => {
      create(
        source,
        `CREATE VIRTUAL TABLE bare USING fts4(q, content=${content}); INSERT INTO bare (docid, q) VALUES (3, 'needle')`,
      );
      const database = new Driver(source);
      database.unsafeMode(true);
      database.exec("UPDATE bare_segdir SET root = x'00ffffffffffff'");
      database.close();
      const error = await errorOf(backUp(bench.source(source)));
      expect(error).toMatchObject({
        code: 'source_failed',
        message: expect.stringMatching(/corrupt: malformed inverted index for FTS4 table main\.bare$/),
      });
    },
  );

  test.each(['wal', 'delete'])('is of one moment under a live writer, journal mode %s', async (mode) => {
    create(source, `PRAGMA journal_mode = ${mode}; ${PAIR_SCHEMA}`);
    const writer = await beside(PAIR_WRITER, source);
    try {
      const before = read<number>(source, 'SELECT count(*) FROM a');
      const backup = await backUp(bench.source(source));
      expect(writer.running()).toBe(true);
      const target = join(bench.folder, 'new.db');
      await sqliteEngine.restore(backup, bench.request({ toPath: target }));
      const rows = read<number>(target, 'SELECT count(*) FROM a');
      expect(rows).toBeGreaterThanOrEqual(before);
      expect(read(target, 'SELECT count(*) FROM b')).toBe(rows);
      expect(read(target, 'SELECT max(id) FROM a')).toBe(rows);
      expect(read(target, 'PRAGMA integrity_check')).toBe('ok');
      expect(read(target, 'PRAGMA journal_mode')).toBe(mode);
      writeFileSync(join(bench.folder, 'member.db'), backup.members.get('database.db')!);
      expect(dumpText(target)).toBe(dumpText(join(bench.folder, 'member.db')));
      // The writer went on meanwhile, so this was no still database.
      expect(read<number>(source, 'SELECT count(*) FROM a')).toBeGreaterThan(rows);
    } finally {
      await writer.stop();
    }
  });

  test('WAL trap: commits that are only in the -wal file are in the backup, and the file stands alone', async () => {
    const database = new Driver(source);
    database.pragma('journal_mode = WAL');
    database.pragma('wal_autocheckpoint = 0');
    database.exec('CREATE TABLE t (i); INSERT INTO t VALUES (1), (2)');
    const backup = await backUp(bench.source(source));
    database.close();
    const alone = join(bench.folder, 'alone', 'x.db');
    mkdirSync(join(alone, '..'));
    writeFileSync(alone, backup.members.get('database.db')!);
    expect(execFileSync('sqlite3', [alone, 'SELECT count(*) FROM t'], { encoding: 'utf8' })).toBe('2\n');
    expect(backup.facts.rows).toBe(2);
  });

  test('the copy is private while it is read and gone after close, read or not', async () => {
    create(source, 'CREATE TABLE t (i)');
    const dump = await sqliteEngine.dump(bench.source(source), dumpRequest());
    const temp = join(bench.folder, 'temp');
    const [folder] = readdirSync(temp);
    const copy = join(temp, folder!, 'database.db');
    expect(statSync(join(temp, folder!)).mode & 0o777).toBe(0o700);
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(temp, folder!))).toEqual(['database.db']);
    expect(dump.expectedBytes).toBe(statSync(copy).size);
    expect(dump.identity).toContain(source);
    await dump.close();
    expect(readdirSync(temp)).toEqual([]);
  });

  test('leaves the source as it was: bytes, and no files beside it', async () => {
    create(source, 'PRAGMA journal_mode = WAL; CREATE TABLE t (i); INSERT INTO t VALUES (1)');
    const before = readFileSync(source);
    await backUp(bench.source(source));
    expect(readFileSync(source)).toEqual(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
  });

  test('rows without their parent are a warning, not a failure', async () => {
    create(source, `PRAGMA foreign_keys = OFF; ${PAIR_SCHEMA} INSERT INTO b VALUES (99999999, 88888888);`);
    await backUp(bench.source(source));
    expect(bench.warnings).toEqual([
      expect.objectContaining({ message: expect.stringContaining('b → a'), partial: false }),
    ]);
  });

  test('rows that break a NOT NULL are the user’s data: backed up, with a warning', async () => {
    create(source, 'CREATE TABLE t (i)');
    const database = new Driver(source);
    database.unsafeMode(true);
    database.exec(`INSERT INTO t VALUES (NULL); PRAGMA writable_schema = ON;
      UPDATE sqlite_master SET sql = 'CREATE TABLE t (i NOT NULL)' WHERE name = 't'`);
    database.close();
    const backup = await backUp(bench.source(source));
    expect(bench.warnings[0]?.message).toContain('NULL value in t.i');
    await sqliteEngine.restore(backup, bench.request({ toPath: join(bench.folder, 'n.db') }));
    expect(read(join(bench.folder, 'n.db'), 'SELECT count(*) FROM t')).toBe(1);
  });

  test('a follow-up of the same database has the same schema hash, another schema another one', async () => {
    create(source, 'CREATE TABLE t (i)');
    const first = await backUp(bench.source(source));
    create(source, 'INSERT INTO t VALUES (1); ANALYZE');
    const second = await backUp(bench.source(source));
    create(source, 'CREATE INDEX ti ON t (i)');
    const third = await backUp(bench.source(source));
    expect(second.facts.schema_sha256).toBe(first.facts.schema_sha256);
    expect(third.facts.schema_sha256).not.toBe(first.facts.schema_sha256);
  });
});

describe('dump, chosen tables', () => {
  beforeEach(() => create(source, `PRAGMA journal_mode = WAL; ${RICH_SCHEMA}`));

  test('exclude leaves out tables and what hangs on them, keeps rowids, and warns of what dangles', async () => {
    create(source, 'DELETE FROM docs WHERE rowid = 10');
    const backup = await backUp(bench.source(source, { exclude_tables: ['LOGS_*', 'nothing*'] }), {
      exclude: ['tags'],
    });
    const target = join(bench.folder, 'new.db');
    await sqliteEngine.restore(backup, bench.request({ toPath: target }));
    const names = execFileSync('sqlite3', [target, '.tables'], { encoding: 'utf8' });
    expect(names).toContain('users');
    expect(names).not.toMatch(/logs_old|tags/);
    expect(read(target, 'SELECT rowid FROM docs')).toBe(20);
    expect(read(target, 'PRAGMA journal_mode')).toBe('wal');
    expect(read(target, 'PRAGMA user_version')).toBe(42);
    const said = bench.warnings.map((warning) => warning.message).join('\n');
    expect(said).toContain("no table matches the pattern 'nothing*'");
    expect(said).toContain('view old_lines');
    expect(said).toContain('trigger user_logged');
    expect(said).toContain('trigger user_gone');
  });

  test('include and exclude of datasource and request: a table passes all; the patterns are recorded', async () => {
    const request = dumpRequest({ include: ['u*', 'notes'], exclude: ['c*'] });
    const dump = await sqliteEngine.dump(
      bench.source(source, { include_tables: ['users', 'counters'] }),
      request,
    );
    const backup = await collect(dump).finally(() => dump.close());
    expect(dump.patterns).toEqual({ include: ['users', 'counters', 'u*', 'notes'], exclude: ['c*'] });
    expect(backup.facts.tables_count).toBe(1);
    expect(backup.facts.rows).toBe(2);
  });

  test('patterns that leave nothing are refused', async () => {
    const error = await errorOf(backUp(bench.source(source), { include: ['userz'] }));
    expect(error.code).toBe('source_empty');
    expect(error.hint).toContain('users');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
});
