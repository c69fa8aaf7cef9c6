import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { memberName } from '../../../src/engines/jsonl/member-name.ts';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { decodeValue, encodeValue } from '../../../src/engines/sqlite/jsonl/values.ts';
import { tableMatcher } from '../../../src/engines/sqlite/select.ts';
import type { DguardError } from '../../../src/errors.ts';
import type { MemoryBackup } from './support.ts';
import { backUp, sha256, withMember } from './support.ts';
import { bench, inspectRequest, source } from './support-bench.ts';
import { create } from './support-files.ts';

let target: string;
beforeEach(() => {
  target = join(bench.folder, 'new.db');
});

/** Every stored value with its storage class and its bytes, and every rowid, in rowid order. */
function exactRows(path: string, table: string, columns: readonly string[]): unknown[] {
  const database = new Driver(path, { readonly: true });
  try {
    const parts = columns.flatMap((column) => [
      `typeof("${column}")`,
      `CASE WHEN typeof("${column}") = 'real' THEN format('%!.17g', "${column}") ELSE hex("${column}") END`,
    ]);
    return database
      .prepare(`SELECT rowid, ${parts.join(', ')} FROM "${table}" ORDER BY rowid`)
      .raw()
      .safeIntegers()
      .all();
  } finally {
    database.close();
  }
}

/** The statements of a dump, sorted: a JSONL restore creates indexes after the rows. */
function sortedDump(path: string): string[] {
  return execFileSync('sqlite3', [path, '.dump'], { encoding: 'utf8' }).split(/;\n/).sort();
}

async function roundTrip(): Promise<MemoryBackup> {
  const backup = await backUp(bench.source(source), { format: 'jsonl' });
  expect(await sqliteEngine.inspect(backup, inspectRequest())).toEqual([]);
  await sqliteEngine.restore(backup, bench.request({ toPath: target }));
  return backup;
}

interface Schema {
  tables: { name: string; member: string; rows: number; sha256: string }[];
  value_encoding: Record<string, string>;
}

function schemaOf(backup: MemoryBackup): Schema {
  return JSON.parse(backup.members.get('schema.json')!.toString()) as Schema;
}

describe('values survive exactly', () => {
  const VALUES = `
    CREATE TABLE v (x, i INTEGER, r REAL, t TEXT, n NUMERIC, b BLOB);
    INSERT INTO v (x) VALUES (9007199254740993), (-9223372036854775808), (9223372036854775807),
      (9007199254740991), (0), (1.0), (-0.0), (0.1), (1e300), (9e999), (-9e999), (5e-324), (1e21), (NULL), (''),
      (x''), (x'00ff80'), (CAST(x'610062' AS TEXT)), (CAST(x'ff41' AS TEXT)), (CAST(x'eda080' AS TEXT)),
      (char(65533)), (char(0x1f600)), ('line' || char(10) || '"quoted" \\ ' || char(0x2028)), ('{"$int":"1"}');
    INSERT INTO v (i, r, t, n, b) VALUES (9007199254740993, 10, '12', '12.50', x'01'), (NULL, NULL, '', '', ''),
      (1, -0.0, '1e5', 12345678901234567890, 5), (-1, 9e999, '-0', 0.5, 5.0), ('text', 'text', x'00', x'00', 'a');
  `;

  test.each(['UTF-8', 'UTF-16le', 'UTF-16be'])(
    'integers beyond 2^53, Infinity, -0.0, NUL, invalid text, blobs; %s',
    async (encoding) => {
      create(source, `PRAGMA encoding = '${encoding}'; ${VALUES}`);
      const columns = ['x', 'i', 'r', 't', 'n', 'b'];
      const backup = await roundTrip();
      expect(exactRows(target, 'v', columns)).toEqual(exactRows(source, 'v', columns));
      const lines = backup.members.get('v.jsonl')!.toString().split('\n');
      expect(lines[0]).toBe(
        '{"x":{"$int":"9007199254740993"},"i":null,"r":null,"t":null,"n":null,"b":null,"_rowid_":1}',
      );
      expect(lines[24]).toContain('"r":10.0,"t":"12","n":12.5,"b":{"$base64":"AQ=="}');
      expect(schemaOf(backup).value_encoding).toHaveProperty('integer');
    },
  );

  test('in a WITHOUT ROWID table too, invalid text in the key', async () => {
    create(
      source,
      `CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
       INSERT INTO w VALUES (CAST(x'ff' AS TEXT), 9007199254740993), ('a', CAST(x'fe00' AS TEXT))`,
    );
    await roundTrip();
    const rows = (path: string) => {
      const database = new Driver(path);
      const all = database.prepare('SELECT hex(k), typeof(k), hex(v), typeof(v) FROM w').raw().all();
      database.close();
      return all;
    };
    expect(rows(target)).toEqual(rows(source));
    expect(rows(source)).toHaveLength(2);
  });

  test('any value comes back through its JSON text', () => {
    const value = fc.oneof(
      fc.constant(null),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }),
      fc.string({ unit: 'binary' }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(value, fc.boolean(), (given, real) => {
        expect(decodeValue(JSON.parse(encodeValue(given, real)), real)).toEqual(given);
      }),
    );
  });

  test.each([{ $int: 'x' }, { $base64: 1 }, { $real: 'abc' }, {}, [1], true, { $int: '1', b: '' }])(
    'what no export writes is corrupt: %j',
    (json) => expect(() => decodeValue(json, false)).toThrow(/not a value/),
  );
});

describe('export', () => {
  test('a whole schema comes back: FTS, R-Tree, triggers that did not fire, sequences, statistics', async () => {
    create(
      source,
      `PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;
       CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL CHECK (length(name) > 0));
       CREATE TABLE log (line);
       CREATE TABLE "Odd ""x"" é" ("a b" INT, "_rowid_" TEXT, g AS ("a b" * 2) STORED, CHECK ("a b" > 0));
       CREATE TABLE child (u INTEGER REFERENCES users, k, PRIMARY KEY (u, k)) WITHOUT ROWID;
       CREATE TABLE strict_one (a ANY, i INT) STRICT;
       CREATE VIRTUAL TABLE notes USING fts5(title, body);
       CREATE TABLE docs (body TEXT);
       CREATE VIRTUAL TABLE docs_index USING fts5(body, content='docs');
       CREATE VIRTUAL TABLE bare USING fts5(body, content='');
       CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
       CREATE UNIQUE INDEX users_name ON users (name COLLATE NOCASE);
       CREATE VIEW names AS SELECT name FROM users;
       CREATE TRIGGER logged AFTER INSERT ON users BEGIN INSERT INTO log VALUES (new.name); END;
       CREATE TRIGGER viewed INSTEAD OF INSERT ON names BEGIN INSERT INTO users (name) VALUES (new.name); END;
       INSERT INTO users (name) VALUES ('ana'), ('bob'), ('cy');
       DELETE FROM users WHERE name = 'cy';
       INSERT INTO "Odd ""x"" é" VALUES (1, 'one'), (2, NULL);
       INSERT INTO child VALUES (1, 'a'), (2, 1.0);
       INSERT INTO strict_one VALUES (1.0, 1), ('x', 2);
       INSERT INTO notes VALUES ('first', 'the quick fox');
       INSERT INTO docs (rowid, body) VALUES (10, 'gap before'), (20, 'and between');
       INSERT INTO docs_index (rowid, body) SELECT rowid, body FROM docs;
       INSERT INTO bare (rowid, body) VALUES (5, 'hidden words');
       INSERT INTO boxes VALUES (1, 0.5, 2.5);
       ANALYZE; PRAGMA user_version = 42; PRAGMA application_id = 77;`,
    );
    const backup = await roundTrip();
    expect(sortedDump(target)).toEqual(sortedDump(source));
    const database = new Driver(target);
    const value = (sql: string) => database.prepare(sql).pluck().get();
    expect(value('SELECT count(*) FROM log')).toBe(3);
    expect(value("SELECT body FROM docs_index WHERE docs_index MATCH 'between'")).toBe('and between');
    expect(value("SELECT rowid FROM bare WHERE bare MATCH 'hidden'")).toBe(5);
    expect(value('SELECT id FROM boxes WHERE x0 < 1')).toBe(1);
    expect(value("SELECT seq FROM sqlite_sequence WHERE name = 'users'")).toBe(3);
    expect(value('PRAGMA integrity_check')).toBe('ok');
    expect(value('PRAGMA user_version')).toBe(42);
    expect(value('PRAGMA application_id')).toBe(77);
    expect(value('PRAGMA page_size')).toBe(8192);
    expect(value('PRAGMA journal_mode')).toBe('wal');
    database.exec("INSERT INTO names VALUES ('dan')");
    expect(value("SELECT id FROM users WHERE name = 'dan'")).toBe(4);
    database.close();
    expect([...backup.paths]).toEqual([...backup.paths].sort());
    expect(backup.paths).toContain('odd%20%22x%22%20%c3%a9.jsonl');
    for (const table of schemaOf(backup).tables) {
      const bytes = backup.members.get(table.member)!;
      expect(table.sha256).toBe(sha256(bytes));
      expect(bytes.toString().split('\n')).toHaveLength(table.rows + 1);
    }
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('the facts are those of a native backup of the same database', async () => {
    create(source, 'CREATE TABLE t (i); INSERT INTO t VALUES (1), (2)');
    const jsonl = await backUp(bench.source(source), { format: 'jsonl' });
    const native = await backUp(bench.source(source));
    expect(jsonl.facts).toEqual(native.facts);
  });

  test('excluded tables are neither members nor in the schema', async () => {
    create(source, 'CREATE TABLE t (i); CREATE TABLE logs (i); CREATE INDEX li ON logs (i)');
    const backup = await backUp(bench.source(source, { exclude_tables: ['logs'] }), { format: 'jsonl' });
    expect(backup.paths).toEqual(['schema.json', 't.jsonl']);
    expect(backup.members.get('schema.json')!.toString()).not.toContain('logs');
  });

  test('chosen tables out of an export go to a new file', async () => {
    create(source, 'CREATE TABLE t (i); CREATE TABLE u (i); INSERT INTO u VALUES (1)');
    const backup = await backUp(bench.source(source), { format: 'jsonl' });
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath: target, only: ['u'] }));
    expect(outcome.tables).toEqual([{ name: 'u', rows: 1 }]);
  });

  test('an index on a function that only the application has is named as the reason', async () => {
    const database = new Driver(source);
    database.function('app', { deterministic: true }, (x) => x);
    database.exec('CREATE TABLE t (i); INSERT INTO t VALUES (1); CREATE INDEX ti ON t (app(i))');
    database.close();
    const native = await backUp(bench.source(source));
    await sqliteEngine.restore(native, bench.request({ toPath: target }));
    const backup = await backUp(bench.source(source), { format: 'jsonl' });
    const error = await sqliteEngine
      .restore(backup, bench.request({ toPath: join(bench.folder, 'other.db') }))
      .catch((thrown: DguardError) => thrown);
    expect(error).toMatchObject({ code: 'target_failed', operation: 'create index', subject: 'ti' });
    expect(existsSync(join(bench.folder, 'other.db'))).toBe(false);
  });
});

describe('an export with other bytes', () => {
  let backup: MemoryBackup;
  beforeEach(async () => {
    create(source, "CREATE TABLE t (i, s); INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    backup = await backUp(bench.source(source), { format: 'jsonl' });
  });

  test.each([
    ['a line is gone', (text: string) => text.replace(/^.*\n/, ''), 'has 1 rows, schema.json says 2'],
    ['a value was changed', (text: string) => text.replace('two', 'owt'), 'differs from its hash'],
    ['a line is cut', (text: string) => text.slice(0, -8), 'the last line does not end'],
    [
      'a column is gone',
      (text: string) => text.replace('"i":1,', ''),
      'line 1 of t.jsonl: not a row of 3 values',
    ],
    ['a column has another name', (text: string) => text.replace('"i"', '"j"'), 'no value of i'],
  ])('%s: inspect says so and a restore refuses', async (_, change, expected) => {
    const text = backup.members.get('t.jsonl')!.toString();
    const changed = withMember(backup, 't.jsonl', Buffer.from(change(text)));
    expect((await sqliteEngine.inspect(changed, inspectRequest())).join('\n')).toContain(expected);
    const error = await sqliteEngine
      .restore(changed, bench.request({ toPath: target }))
      .catch((thrown: DguardError) => thrown);
    expect(error).toMatchObject({ code: 'corrupt', message: expect.stringContaining(expected) });
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
  });

  test('a schema of a newer version, or none', async () => {
    const text = backup.members.get('schema.json')!.toString();
    for (const [bytes, code] of [
      [text.replace('"version": 1', '"version": 2'), 'too_new'],
      ['{}', 'corrupt'],
      ['{', 'corrupt'],
    ] as const) {
      const changed = withMember(backup, 'schema.json', Buffer.from(bytes));
      const error = await sqliteEngine
        .restore(changed, bench.request({ toPath: target }))
        .catch((thrown: DguardError) => thrown);
      expect(error).toMatchObject({ code });
      expect(await sqliteEngine.inspect(changed, inspectRequest())).toHaveLength(1);
    }
  });

  test('hostile: a second statement in the schema is not run', async () => {
    const evil = join(bench.folder, 'evil.db');
    const schema = JSON.parse(backup.members.get('schema.json')!.toString()) as {
      objects: { sql: string }[];
    };
    schema.objects[0]!.sql += `; ATTACH '${evil}' AS e; CREATE TABLE e.x (i)`;
    const changed = withMember(backup, 'schema.json', Buffer.from(JSON.stringify(schema)));
    await expect(sqliteEngine.restore(changed, bench.request({ toPath: target }))).rejects.toThrow();
    expect(existsSync(evil)).toBe(false);
  });
});

test('member names: of the format’s grammar, unique, case and length notwithstanding', () => {
  const taken = new Set<string>();
  const names = [
    'Users',
    'users',
    '_users',
    '.',
    '..',
    'a/b',
    'é',
    'x'.repeat(200),
    `${'x'.repeat(200)}y`,
    'users-2',
  ];
  const members = names.map((name) => memberName(name.toLowerCase(), taken));
  expect(new Set(members).size).toBe(names.length);
  for (const member of members) expect(member).toMatch(/^[a-z0-9][a-z0-9._%-]{0,120}$/);
  expect(members.slice(0, 6)).toEqual([
    'users.jsonl',
    'users-2.jsonl',
    'table_users.jsonl',
    'table..jsonl',
    'table...jsonl',
    'a%2fb.jsonl',
  ]);
});

test.each([
  ['logs_*', ['logs_', 'LOGS_a'], ['log', 'xlogs_a']],
  ['{a,b}?', ['a1', 'bx'], ['a', 'c1']],
  ['t[0-9]', ['t5'], ['tx', 't']],
  ['t[!0-9]', ['tx'], ['t5']],
  ['a.b\\*', ['a.b*'], ['axb*', 'a.bc']],
  ['[z-a]', ['[z-a]'], ['b']],
])('the table pattern %s', (pattern, yes, no) => {
  const matches = tableMatcher(pattern);
  expect(yes.filter((name) => !matches(name))).toEqual([]);
  expect(no.filter(matches)).toEqual([]);
});
