import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Driver from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { proveFile, proveInThread } from '../../../src/engines/sqlite/dump/proof.ts';
import { compileModule } from '../../storages/compiled.ts';

let built: string;
let thread: URL;
let sound: string;

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'dguard-sqlite-'));
  fs.symlinkSync(join(import.meta.dirname, '../../../node_modules'), join(built, 'node_modules'));
  thread = pathToFileURL(await compileModule('engines/sqlite/dump/proof-thread.ts', built));
  sound = join(built, 'sound.db');
  const database = new Driver(sound);
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent, text TEXT);
    CREATE INDEX child_text ON child (text);
    INSERT INTO parent VALUES (1, 'one');
    PRAGMA foreign_keys = OFF;
    INSERT INTO child VALUES (1, 1, 'kept'), (2, 99, 'an orphan');
  `);
  const insert = database.prepare('INSERT INTO child (parent, text) VALUES (1, ?)');
  database.transaction(() => {
    for (let i = 0; i < 5000; i++) insert.run(`row ${i} `.repeat(20));
  })();
  database.close();
});
afterAll(() => rm(built, { recursive: true, force: true }));

const signal = () => new AbortController().signal;

describe('the thread that checks a copy', () => {
  it('finds what the check itself finds, and leaves the file as it was', async () => {
    const before = fs.readFileSync(sound);
    const { result } = proveInThread(sound, thread, signal());
    const proof = await result;
    expect(proof).toEqual(await proveFile(sound));
    expect(proof.findings.damage).toEqual([]);
    expect(proof.foreignKeyDoubts).toEqual(['1 row(s) break the foreign key child → parent']);
    expect(proof.examined?.tables).toContainEqual({ name: 'child', rows: 5002 });
    expect(fs.readFileSync(sound).equals(before)).toBe(true);
    expect(fs.readdirSync(built).filter((name) => name.startsWith('sound.db-'))).toEqual([]);
  });

  it('names the damage of a damaged copy', async () => {
    const damaged = join(built, 'damaged.db');
    const bytes = fs.readFileSync(sound);
    bytes.fill(0xa5, 20 * 4096, 60 * 4096);
    fs.writeFileSync(damaged, bytes);
    const { findings, examined } = await proveInThread(damaged, thread, signal()).result;
    expect(findings.damage.length).toBeGreaterThan(0);
    expect(examined).toBeUndefined();
  });

  it('hands over an error with SQLite own code', async () => {
    const missing = proveInThread(join(built, 'missing.db'), thread, signal());
    await expect(missing.result).rejects.toMatchObject({ code: 'SQLITE_CANTOPEN' });
  });

  it('a thread that breaks off, or is stopped, is an error and not a good copy', async () => {
    const silent = join(built, 'silent.mjs');
    fs.writeFileSync(silent, '');
    await expect(proveInThread(sound, pathToFileURL(silent), signal()).result).rejects.toThrow('broke off');
    const controller = new AbortController();
    const { result } = proveInThread(sound, thread, controller.signal);
    controller.abort();
    await expect(result).rejects.toMatchObject({ code: 'interrupted' });
  });
});
