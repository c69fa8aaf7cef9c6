import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { errorOf } from '../../error-of.ts';
import type { Bench } from './support.ts';
import { backUp, makeBench } from './support.ts';
import { bench, source } from './support-bench.ts';
import { beside, create, PAIR_SCHEMA } from './support-files.ts';

describe('bad sources', () => {
  test('a missing file is an error and is not created', async () => {
    const error = await errorOf(backUp(bench.source(source)));
    expect(error.code).toBe('source_failed');
    expect(error.message).toContain('no such database file');
    expect(existsSync(source)).toBe(false);
    expect(await sqliteEngine.probe(bench.source(source))).toMatchObject({ status: 'error' });
    expect(existsSync(source)).toBe(false);
  });

  test('zero bytes, a directory, no database, a dangling link', async () => {
    writeFileSync(source, '');
    expect(await errorOf(backUp(bench.source(source)))).toMatchObject({ code: 'source_empty' });
    expect((await errorOf(backUp(bench.source(bench.folder)))).message).toContain('directory');
    writeFileSync(source, 'This is no database at all, but long enough. '.repeat(100));
    expect((await errorOf(backUp(bench.source(source)))).message).toContain('not an SQLite database');
    symlinkSync('nowhere', join(bench.folder, 'link.db'));
    expect(await errorOf(backUp(bench.source(join(bench.folder, 'link.db'))))).toMatchObject({
      code: 'source_failed',
    });
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('a corrupt database is never a good backup: the first findings are named', async () => {
    create(source, PAIR_SCHEMA);
    const bytes = readFileSync(source);
    for (const page of [50, 120, 300]) bytes.fill(0xa5, page * 4096, page * 4096 + 200);
    writeFileSync(source, bytes);
    const error = await errorOf(backUp(bench.source(source)));
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(error.message).toMatch(/corrupt: .*(page|Tree)/);
    expect(error.hint).toContain('.recover');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('a cut database is refused', async () => {
    create(source, PAIR_SCHEMA);
    writeFileSync(source, readFileSync(source).subarray(0, 100 * 4096));
    expect(await errorOf(backUp(bench.source(source)))).toMatchObject({ code: 'source_failed' });
  });

  test('an aborted dump leaves nothing', async () => {
    create(source, PAIR_SCHEMA);
    const control = new AbortController();
    control.abort();
    const aborted = { ...bench.source(source), signal: control.signal };
    expect(await errorOf(backUp(aborted))).toMatchObject({ code: 'interrupted' });
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('a writer that holds the lock is waited for', async () => {
    create(source, 'CREATE TABLE t (i)');
    const holder = await beside(
      `const d = new Database(process.argv[1]); d.exec('BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)'); console.log('ready');
       setTimeout(() => { d.exec('COMMIT'); d.close(); }, 700);`,
      source,
    );
    try {
      const backup = await backUp(bench.source(source));
      expect(backup.facts.rows).toBe(1);
    } finally {
      await holder.stop();
    }
  });

  const asRoot = process.getuid?.() === 0;
  /** Runs as a user without privileges, with a temp folder of its own. */
  async function unprivileged<T>(work: (user: Bench) => Promise<T>): Promise<T> {
    chmodSync(bench.folder, 0o755);
    process.seteuid!(65534);
    try {
      const user = await makeBench();
      return await work(user).finally(() => user.remove());
    } finally {
      process.seteuid!(0);
    }
  }

  test.runIf(asRoot)(
    'WAL mode in a folder that cannot be written: read all the same when at rest',
    async () => {
      create(source, 'PRAGMA journal_mode = WAL; CREATE TABLE t (i); INSERT INTO t VALUES (1)');
      chmodSync(source, 0o644);
      const backup = await unprivileged((user) => backUp(user.source(source)));
      expect(backup.facts.rows).toBe(1);
      truncateSync(source, statSync(source).size - 100);
      const error = await unprivileged((user) => errorOf(backUp(user.source(source))));
      expect(error).toMatchObject({ code: 'source_failed', message: expect.stringContaining('is cut off') });
    },
  );

  test.runIf(asRoot)(
    'WAL mode, an orphaned -wal, a folder that cannot be written: says what to do',
    async () => {
      const writer = await beside(
        `const d = new Database(process.argv[1]); d.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (i)'); console.log('ready'); setInterval(() => {}, 1000);`,
        source,
      );
      await writer.stop();
      rmSync(`${source}-shm`);
      for (const name of [source, `${source}-wal`]) chmodSync(name, 0o644);
      const error = await unprivileged((user) => errorOf(backUp(user.source(source))));
      expect(error.code).toBe('source_failed');
      expect(error.hint).toContain('-shm');
    },
  );

  test.runIf(asRoot)('an unreadable file is named as such', async () => {
    create(source, 'CREATE TABLE t (i)');
    chmodSync(source, 0o600);
    const error = await unprivileged((user) => errorOf(backUp(user.source(source))));
    expect(error.message).toContain('may not read');
  });
});
