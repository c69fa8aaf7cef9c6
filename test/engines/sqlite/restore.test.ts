import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { errorOf } from '../../error-of.ts';
import type { Bench } from './support.ts';
import { backUp, makeBench, withMember } from './support.ts';
import { beside, create, dumpText, PAIR_SCHEMA, read } from './support-files.ts';

let bench: Bench;
let source: string;
beforeEach(async () => {
  bench = await makeBench();
  source = join(bench.folder, 'app.db');
});
afterEach(() => bench.remove());

describe('restore', () => {
  beforeEach(() => create(source, PAIR_SCHEMA.replace('60000', '500')));

  test('refuses an existing target, takes an empty file, and changes nothing on a dry run', async () => {
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'other.db');
    create(target, 'CREATE TABLE mine (i)');
    const before = readFileSync(target);
    expect(await errorOf(sqliteEngine.restore(backup, bench.request({ toPath: target })))).toMatchObject({
      code: 'target_refused',
    });
    const planned = bench.request({ toPath: target, overwrite: true, dryRun: true });
    const { plan } = await sqliteEngine.restore(backup, planned);
    expect(plan?.join('\n')).toContain('dguard-undo-');
    expect(readFileSync(target)).toEqual(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'other.db', 'temp']);
    const empty = join(bench.folder, 'empty.db');
    writeFileSync(empty, '');
    await sqliteEngine.restore(backup, bench.request({ toPath: empty }));
    expect(dumpText(empty)).toBe(dumpText(source));
  });

  test('to a folder, and to the source’s own place', async () => {
    const backup = await backUp(bench.source(source));
    const folder = join(bench.folder, 'elsewhere');
    mkdirSync(folder);
    const from = bench.source(source);
    const outcome = await sqliteEngine.restore(backup, bench.request({ source: from, toPath: folder }));
    expect(outcome.target).toBe(join(folder, 'app.db'));
    const text = dumpText(source);
    rmSync(source);
    await sqliteEngine.restore(backup, bench.request({ source: from }));
    expect(dumpText(source)).toBe(text);
  });

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

  test('bytes that are no sound database never reach the target', async () => {
    const backup = await backUp(bench.source(source));
    const bytes = Buffer.from(backup.members.get('database.db')!);
    bytes.fill(0x5a, 5 * 4096, 5 * 4096 + 64);
    const broken = withMember(backup, 'database.db', bytes);
    const before = readFileSync(source);
    const error = await errorOf(
      sqliteEngine.restore(broken, bench.request({ source: bench.source(source), overwrite: true })),
    );
    expect(error.code).toBe('corrupt');
    expect(readFileSync(source)).toEqual(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
    expect((await sqliteEngine.inspect(broken, inspectRequest()))[0]).toContain('integrity_check');
  });

  test('a database with other rows than recorded is refused', async () => {
    const backup = await backUp(bench.source(source));
    create(source, 'PRAGMA foreign_keys = OFF; DELETE FROM a WHERE id > 100');
    const fewer = (await backUp(bench.source(source))).members.get('database.db')!;
    const sameSize = Buffer.alloc(backup.members.get('database.db')!.length);
    fewer.copy(sameSize);
    const other = withMember(backup, 'database.db', sameSize);
    const error = await errorOf(
      sqliteEngine.restore(other, bench.request({ toPath: join(bench.folder, 'n.db') })),
    );
    expect(error).toMatchObject({ code: 'corrupt' });
    expect(error.message).toContain('table a has 100 rows, 500 were recorded');
    const short = withMember(backup, 'database.db', fewer.subarray(0, 4096));
    expect(
      (await errorOf(sqliteEngine.restore(short, bench.request({ toPath: join(bench.folder, 'n.db') }))))
        .message,
    ).toContain('were recorded');
  });

  test('an integrity check finds what a quick check cannot: an index of other values', async () => {
    const database = new Driver(source);
    database.unsafeMode(true);
    database.exec(`PRAGMA writable_schema = ON;
      UPDATE sqlite_master SET sql = 'CREATE INDEX b_a ON b (a_id + 1)' WHERE name = 'b_a'`);
    database.close();
    const problems = await sqliteEngine.inspect(await backUp(bench.source(source)), inspectRequest());
    expect(problems.join('\n')).toContain('b_a');
  });

  test('only: chosen tables go to a new file', async () => {
    create(source, 'CREATE TABLE c (i); CREATE TRIGGER at AFTER INSERT ON a BEGIN SELECT 1; END');
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'some.db');
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath: target, only: ['A'] }));
    expect(outcome.tables).toEqual([{ name: 'a', rows: 500 }]);
    expect(read(target, 'SELECT group_concat(name) FROM sqlite_master')).toBe('a,at');
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

  test('scratch: a test restore is proven and leaves nothing', async () => {
    const backup = await backUp(bench.source(source));
    const toPath = join(bench.folder, 'temp/scratch.db');
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath, scratch: true }));
    expect(outcome.tables?.map(({ rows }) => rows)).toContain(500);
    const bytes = Buffer.from(backup.members.get('database.db')!);
    bytes.fill(0x5a, 5 * 4096, 5 * 4096 + 64);
    const broken = withMember(backup, 'database.db', bytes);
    const error = await errorOf(sqliteEngine.restore(broken, bench.request({ toPath, scratch: true })));
    expect(error.code).toBe('corrupt');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
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

  test('probe says what is there', async () => {
    expect(await sqliteEngine.probe(bench.source(source))).toMatchObject({
      status: 'ok',
      serverVersion: expect.stringMatching(/^3\./),
      sizeBytes: statSync(source).size,
      facts: { tables: 2 },
    });
  });
});

function inspectRequest() {
  return {
    tempDir: join(bench.folder, 'temp'),
    signal: new AbortController().signal,
    env: {},
    onProgress: () => {},
  };
}
