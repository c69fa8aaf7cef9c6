import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { seize } from '../../../src/engines/sqlite/restore/seize.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { create, read } from './support-files.ts';

let bench: Bench;
let path: string;
beforeEach(async () => {
  bench = await makeBench();
  path = join(bench.folder, 'app.db');
});
afterEach(() => bench.remove());

describe.each(['DELETE', 'WAL'])('a database in mode %s that is seized', (mode) => {
  beforeEach(() =>
    create(path, `PRAGMA journal_mode = ${mode}; CREATE TABLE a (i); INSERT INTO a VALUES (1)`),
  );

  it('is closed to everyone, its journal empty, and as it was when it is let go', async () => {
    const seized = await seize(path);
    const other = new Driver(path, { timeout: 0 });
    try {
      expect(() => other.prepare('SELECT * FROM a').get()).toThrow(/locked/);
      expect(() => other.exec('INSERT INTO a VALUES (2)')).toThrow(/locked/);
      expect(existsSync(`${path}-wal`)).toBe(false);
      seized.letGo();
      other.exec('INSERT INTO a VALUES (3)');
    } finally {
      other.close();
    }
    expect(read(path, 'SELECT group_concat(i) FROM a')).toBe('1,3');
    expect(read(path, 'PRAGMA journal_mode')).toBe(mode.toLowerCase());
  });

  it('is not, where another writes to it: that it is busy does not mean that it is broken', async () => {
    const other = new Driver(path);
    try {
      other.exec('BEGIN IMMEDIATE; INSERT INTO a VALUES (2)');
      await expect(seize(path)).rejects.toMatchObject({
        code: 'target_refused',
        message: 'another program uses the database',
      });
      other.exec('COMMIT');
    } finally {
      other.close();
    }
    expect(read(path, 'SELECT group_concat(i) FROM a')).toBe('1,2');
    expect(read(path, 'PRAGMA journal_mode')).toBe(mode.toLowerCase());
  });
});

it('a database in WAL mode is not seized where another only reads it, and would go on with its journal', async () => {
  create(path, 'PRAGMA journal_mode = WAL; CREATE TABLE a (i); INSERT INTO a VALUES (1)');
  const other = new Driver(path);
  try {
    const rows = other.prepare('SELECT * FROM a').iterate();
    rows.next();
    await expect(seize(path)).rejects.toMatchObject({ code: 'target_refused' });
    rows.return?.();
    other.exec('INSERT INTO a VALUES (2)');
  } finally {
    other.close();
  }
  expect(read(path, 'SELECT group_concat(i) FROM a')).toBe('1,2');
  expect(read(path, 'PRAGMA journal_mode')).toBe('wal');
});

it('a merge brings the counters of its tables along, and takes no rows of others that refer to them', async () => {
  const source = join(bench.folder, 'source.db');
  create(source, 'CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, t)');
  create(source, "INSERT INTO a (t) VALUES ('x'), ('y'), ('z'); DELETE FROM a WHERE id > 1");
  const backup = await backUp(bench.source(source));
  create(
    path,
    `CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, t); INSERT INTO a (t) VALUES ('old');
     CREATE TABLE mine (id INTEGER PRIMARY KEY AUTOINCREMENT, a REFERENCES a ON DELETE CASCADE);
     INSERT INTO mine VALUES (7, 1)`,
  );
  const at = bench.request({ source: bench.source(path), only: ['a'], overwrite: true });
  await sqliteEngine.restore(backup, at);
  expect(
    read(path, 'SELECT group_concat(name || seq) FROM (SELECT * FROM sqlite_sequence ORDER BY name)'),
  ).toBe('a3,mine7');
  expect(read(path, 'SELECT group_concat(id || a) FROM mine')).toBe('71');
});

it('a database of another schema than was recorded is refused', async () => {
  create(path, 'CREATE TABLE a (i); CREATE INDEX a_i ON a (i)');
  const backup = await backUp(bench.source(path));
  const facts = { ...backup.facts, schema_sha256: '0'.repeat(64) };
  const toPath = join(bench.folder, 'to.db');
  await expect(sqliteEngine.restore({ ...backup, facts }, bench.request({ toPath }))).rejects.toMatchObject({
    code: 'corrupt',
    message: 'the schema is not the one that was recorded',
  });
  expect(existsSync(toPath)).toBe(false);
});

it('what came up meanwhile where nothing was is not written over', async () => {
  create(path, 'CREATE TABLE a (i)');
  const backup = await backUp(bench.source(path));
  const toPath = join(bench.folder, 'to.db');
  const prove = async () => writeFileSync(toPath, 'theirs');
  await expect(sqliteEngine.restore(backup, bench.request({ toPath, prove }))).rejects.toMatchObject({
    code: 'target_refused',
  });
  expect(readFileSync(toPath, 'utf8')).toBe('theirs');
});
