import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { fromText } from '../../../src/archive/paths.ts';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { newPath } from '../../../src/engines/sqlite/restore/swap.ts';
import { beginSwap, createUnit } from '../../../src/engines/undo/unit.ts';
import { errorOf } from '../../error-of.ts';
import { backUp } from './support.ts';
import { bench, source } from './support-bench.ts';
import { beside, create, dumpText, PAIR_SCHEMA, read } from './support-files.ts';

describe('restore', () => {
  beforeEach(() => create(source, PAIR_SCHEMA.replace('60000', '500')));

  test('overwrite trap: a stale -wal of a killed writer neither comes back nor is lost', async () => {
    const backup = await backUp(bench.source(source));
    const writer = await beside(
      `const d = new Database(process.argv[1]); d.pragma('journal_mode = WAL'); d.pragma('wal_autocheckpoint = 0');
       d.exec("CREATE TABLE late (i); INSERT INTO late VALUES (1); DELETE FROM b; DELETE FROM a"); console.log('ready'); setInterval(() => {}, 1000);`,
      source,
    );
    await writer.stop();
    expect(statSync(`${source}-wal`).size).toBeGreaterThan(0);
    chmodSync(source, 0o640);
    const outcome = await sqliteEngine.restore(
      backup,
      bench.request({ source: bench.source(source), overwrite: true }),
    );
    expect(readdirSync(bench.folder).sort()).toEqual([
      '.app.db.dguard-undo-20260101T000000Z-abcdef',
      'app.db',
      'temp',
    ]);
    expect(read(source, 'SELECT count(*) FROM a')).toBe(500);
    expect(read(source, "SELECT count(*) FROM sqlite_master WHERE name = 'late'")).toBe(0);
    expect(statSync(source).mode & 0o777).toBe(0o640);
    expect(outcome.undo).toBe(join(bench.folder, '.app.db.dguard-undo-20260101T000000Z-abcdef/data'));
    expect(read(outcome.undo!, 'SELECT count(*) FROM late')).toBe(1);
    expect(read(outcome.undo!, 'PRAGMA journal_mode')).toBe('wal');
    const at = bench.request({ source: bench.source(source) });
    const undone = await sqliteEngine.swaps!.undo(at);
    expect(read(source, 'SELECT count(*) FROM late')).toBe(1);
    expect(read(source, 'PRAGMA journal_mode')).toBe('wal');
    expect(read(undone.undo!, 'SELECT count(*) FROM a')).toBe(500);
    expect(await sqliteEngine.swaps!.dropUndo(at, 0)).toHaveLength(1);
    expect(readdirSync(bench.folder).filter((name) => name.includes('undo'))).toEqual([]);
  });

  test('overwrite twice: the first undo copy is not written over', async () => {
    const backup = await backUp(bench.source(source));
    const again = () =>
      sqliteEngine.restore(backup, bench.request({ source: bench.source(source), overwrite: true }));
    const [first, second] = [await again(), await again()];
    expect(second.undo).not.toBe(first.undo);
    expect(existsSync(first.undo!) && existsSync(second.undo!)).toBe(true);
  });

  test.each([
    [
      'a WAL connection that idles',
      "d.pragma('journal_mode = WAL'); d.prepare('SELECT count(*) FROM a').get();",
    ],
    ['a rollback-mode connection that idles', "d.prepare('SELECT count(*) FROM a').get();"],
    ['a transaction', "d.exec('BEGIN IMMEDIATE');"],
  ])('overwrite trap: refused while another program has it open: %s', async (_, script) => {
    const backup = await backUp(bench.source(source));
    const user = await beside(
      `const d = new Database(process.argv[1]); ${script} console.log('ready'); setInterval(() => d.open, 1000);`,
      source,
    );
    try {
      const error = await errorOf(
        sqliteEngine.restore(backup, bench.request({ source: bench.source(source), overwrite: true })),
      );
      expect(error.code).toBe('target_refused');
      expect(error.hint).toContain('stop the writers');
      expect(read(source, 'SELECT count(*) FROM a')).toBe(500);
    } finally {
      await user.stop();
    }
    expect(readdirSync(bench.folder).filter((name) => name.includes('dguard'))).toEqual([]);
  });

  test.each(['-wal', '-journal'])(
    'a stale %s beside a missing target is refused and kept',
    async (suffix) => {
      const backup = await backUp(bench.source(source));
      const target = join(bench.folder, 'gone.db');
      writeFileSync(target + suffix, 'commits of another life');
      const error = await errorOf(sqliteEngine.restore(backup, bench.request({ toPath: target })));
      expect(error.code).toBe('target_refused');
      expect(error.message).toContain(`gone.db${suffix}`);
      expect(readFileSync(target + suffix, 'utf8')).toBe('commits of another life');
      expect(existsSync(target)).toBe(false);
    },
  );

  test('an empty -wal and its -shm beside a missing target do not get under the restored one', async () => {
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'gone.db');
    writeFileSync(`${target}-wal`, '');
    writeFileSync(`${target}-shm`, 'x'.repeat(32768));
    await sqliteEngine.restore(backup, bench.request({ toPath: target }));
    expect(dumpText(target)).toBe(dumpText(source));
    expect(existsSync(`${target}-shm`)).toBe(false);
    expect(readdirSync(bench.folder).filter((name) => name.includes('undo'))).toEqual([]);
  });

  test('a target that is no sound database any more can be replaced; it is kept with its journal', async () => {
    const backup = await backUp(bench.source(source));
    const text = dumpText(source);
    writeFileSync(source, 'rubbish '.repeat(2000));
    writeFileSync(`${source}-wal`, 'more rubbish');
    const { undo } = await sqliteEngine.restore(
      backup,
      bench.request({ source: bench.source(source), overwrite: true }),
    );
    expect(dumpText(source)).toBe(text);
    expect(readFileSync(undo!, 'utf8')).toContain('rubbish');
    expect(readFileSync(`${undo}-wal`, 'utf8')).toBe('more rubbish');
  });

  test('a journal kept by journal_mode PERSIST does not stand in the way', async () => {
    create(source, 'PRAGMA journal_mode = PERSIST; DELETE FROM b');
    expect(statSync(`${source}-journal`).size).toBeGreaterThan(0);
    const backup = await backUp(bench.source(source));
    await sqliteEngine.restore(backup, bench.request({ source: bench.source(source), overwrite: true }));
    expect(existsSync(`${source}-journal`)).toBe(false);
    expect(read(source, 'SELECT count(*) FROM b')).toBe(0);
  });

  test('undo_keep: older undo copies go with the next restore', async () => {
    const backup = await backUp(bench.source(source));
    const from = bench.source(source, { undo_keep: 1 });
    const again = () => sqliteEngine.restore(backup, bench.request({ source: from, overwrite: true }));
    const [first, second] = [await again(), await again()];
    expect(existsSync(first.undo!)).toBe(false);
    expect(existsSync(second.undo!)).toBe(true);
  });

  test('an interrupted restore leaves the target and no staging', async () => {
    const backup = await backUp(bench.source(source));
    const control = new AbortController();
    const request = bench.request({
      source: bench.source(source),
      overwrite: true,
      onProgress: () => control.abort(),
    });
    const error = await errorOf(sqliteEngine.restore(backup, { ...request, signal: control.signal }));
    expect(error.code).toBe('interrupted');
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
  });

  test('a link is followed: the file behind it is replaced', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dguard-sqlite-link-'));
    try {
      const real = join(folder, 'real.db');
      create(real, 'CREATE TABLE old (i)');
      const link = join(bench.folder, 'link.db');
      symlinkSync(real, link);
      const backup = await backUp(bench.source(source));
      const outcome = await sqliteEngine.restore(backup, bench.request({ toPath: link, overwrite: true }));
      expect(outcome.target).toBe(real);
      expect(dumpText(link)).toBe(dumpText(source));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each([
    ['one link', { 'a.db': 'data/real.db' }],
    ['links to links', { 'a.db': 'b.db', 'b.db': 'c.db', 'c.db': 'data/real.db' }],
    [
      'a link in a folder that is a link',
      { 'a.db': 'near/b.db', near: 'data/deep', 'data/deep/b.db': '../real.db' },
    ],
  ])('an interrupted swap is found by %s to the database, which is not there half way', async (_, links) => {
    const real = join(bench.folder, 'data/real.db');
    mkdirSync(join(bench.folder, 'data/deep'), { recursive: true });
    renameSync(source, real);
    for (const [name, to] of Object.entries(links)) symlinkSync(to, join(bench.folder, name));
    const text = dumpText(real);
    const unit = createUnit([{ path: fromText(real), place: 'beside' }], 'some', new Date());
    writeFileSync(newPath(unit), 'what was to be there');
    beginSwap(unit, 'swapping', new Date(), { generation: 1, was_wal: false });
    renameSync(real, join(dirname(newPath(unit)), 'data'));
    const at = bench.request({ toPath: join(bench.folder, 'a.db') });
    const { places, recover } = sqliteEngine.swaps!;
    expect(await places!(at)).toEqual([real]);
    expect(await recover(at, true)).toEqual([`${real}: an interrupted restore was taken back`]);
    expect(dumpText(real)).toBe(text);
    expect(await places!(at)).toEqual([real]);
  });

  test.each([
    ['a folder that is not there', 'gone/a.db'],
    ['links that lead to each other', 'b.db'],
  ])('where %s stands for the database, a recovery fails: nothing can be said of it', async (_, to) => {
    symlinkSync(to, join(bench.folder, 'a.db'));
    symlinkSync('a.db', join(bench.folder, 'b.db'));
    const at = bench.request({ toPath: join(bench.folder, 'a.db') });
    expect(await errorOf(sqliteEngine.swaps!.recover(at))).toMatchObject({
      code: 'target_refused',
      hint: expect.stringContaining('mount'),
    });
    expect(await sqliteEngine.swaps!.recover(at, true)).toEqual([]);
  });
});
