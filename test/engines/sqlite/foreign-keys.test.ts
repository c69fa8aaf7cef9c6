import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { foreignKeyDoubts } from '../../../src/engines/sqlite/database/foreign-keys.ts';

let database: Driver.Database;
beforeEach(() => {
  database = new Driver(':memory:');
  database.pragma('foreign_keys = OFF');
});
afterEach(() => database.close());

/** The same out of what SQLite's own check finds in the whole database. */
function doubtsBySqlite(): string[] {
  const counts = new Map<string, number>();
  const rows = database.pragma('foreign_key_check') as { table: string; parent: string }[];
  for (const { table, parent } of rows) {
    const key = `${table} → ${parent}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${count} row(s) break the foreign key ${key}`);
}

const PARENT =
  "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE); INSERT INTO p VALUES (1, '1'), (2, 'b');";
const VALUES = "(1), (2), (2), (NULL), (3), (1.5), ('1'), ('x'), (x'01'), (9007199254740993)";

describe('rows without their parent', () => {
  test.each([
    [
      'an integer to a rowid',
      `${PARENT} CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES ${VALUES}`,
    ],
    [
      'by an index',
      `${PARENT} CREATE TABLE c (f INT REFERENCES p (id)); CREATE INDEX i ON c (f); INSERT INTO c VALUES ${VALUES}`,
    ],
    [
      'names in other letters',
      `${PARENT} CREATE TABLE "C é" ("F x" BIGINT REFERENCES P (ID)); INSERT INTO "C é" VALUES ${VALUES}`,
    ],
    ['no affinity', `${PARENT} CREATE TABLE c (f REFERENCES p); INSERT INTO c VALUES ${VALUES}`],
    ['text', `${PARENT} CREATE TABLE c (f TEXT REFERENCES p); INSERT INTO c VALUES ${VALUES}`],
    [
      'another column of the parent',
      `${PARENT} CREATE TABLE c (f INTEGER REFERENCES p (name)); INSERT INTO c VALUES ${VALUES}`,
    ],
    ['a parent that is missing', `CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES ${VALUES}`],
    [
      'a parent that is the child',
      'CREATE TABLE c (id INTEGER PRIMARY KEY, f INTEGER REFERENCES c); INSERT INTO c VALUES (1, NULL), (2, 1), (3, 9)',
    ],
    [
      'a key that is the row id of the child',
      `${PARENT} CREATE TABLE c (id INTEGER PRIMARY KEY REFERENCES p); INSERT INTO c VALUES (1), (7), (8)`,
    ],
    [
      'INTEGER PRIMARY KEY DESC',
      `CREATE TABLE p (id INTEGER PRIMARY KEY DESC); INSERT INTO p (rowid, id) VALUES (1, 10), (2, 20); CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES (1), (10), (20)`,
    ],
    [
      'INT PRIMARY KEY',
      `CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p (rowid, id) VALUES (1, 10), (2, 20); CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES (1), (10), (20)`,
    ],
    [
      'text in an INT PRIMARY KEY',
      "CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p VALUES ('x'), ('2'), (1.5); CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES ('x'), ('X'), ('2'), (1.5), (2.5)",
    ],
    [
      'text that is a number',
      "CREATE TABLE p (id TEXT PRIMARY KEY); INSERT INTO p VALUES ('01'), ('2'); CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES (1), (2)",
    ],
    [
      'WITHOUT ROWID',
      `CREATE TABLE p (id INTEGER PRIMARY KEY) WITHOUT ROWID; INSERT INTO p VALUES (10); CREATE TABLE c (f INTEGER REFERENCES p) ; INSERT INTO c VALUES (1), (10)`,
    ],
    [
      'a key of two columns',
      'CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b)); INSERT INTO p VALUES (1, 1); CREATE TABLE c (a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES p); INSERT INTO c VALUES (1, 1), (1, 2), (1, NULL)',
    ],
    [
      'several keys',
      `${PARENT} CREATE TABLE q (id INTEGER PRIMARY KEY); CREATE TABLE c (f INTEGER REFERENCES p, g INTEGER REFERENCES q, h INTEGER REFERENCES p); INSERT INTO c VALUES (1, 1, 5), (6, NULL, 7)`,
    ],
    [
      'a key of each kind',
      `${PARENT} CREATE TABLE c (f INTEGER REFERENCES p, g TEXT REFERENCES p (name)); INSERT INTO c VALUES (1, 'b'), (5, 'z'), (6, NULL)`,
    ],
    [
      'a generated column',
      `${PARENT} CREATE TABLE c (a INTEGER, f INTEGER AS (a + 1) REFERENCES p); INSERT INTO c VALUES (0), (1), (2)`,
    ],
    ['STRICT', `${PARENT} CREATE TABLE c (f INT REFERENCES p) STRICT; INSERT INTO c VALUES (1), (4)`],
  ])('%s: those that SQLite finds', (_, schema) => {
    database.exec(schema);
    const expected = doubtsBySqlite();
    expect(expected.length).toBeGreaterThan(0);
    expect(foreignKeyDoubts(database).sort()).toEqual(expected.sort());
  });

  test('none', () => {
    database.exec(`${PARENT} CREATE TABLE c (f INTEGER REFERENCES p); INSERT INTO c VALUES (1), (NULL), (2)`);
    expect(foreignKeyDoubts(database)).toEqual([]);
  });

  test('a key that no check understands is said', () => {
    database.exec(
      `${PARENT} CREATE TABLE c (f TEXT, FOREIGN KEY (f) REFERENCES p (missing)); INSERT INTO c VALUES ('1')`,
    );
    const [doubt] = foreignKeyDoubts(database);
    expect(doubt).toContain('foreign keys could not be checked');
  });
});
