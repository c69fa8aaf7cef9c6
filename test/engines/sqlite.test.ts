import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
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
import { fileURLToPath } from 'node:url';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../src/engines/sqlite/engine.ts';
import type { DguardError } from '../../src/errors.ts';
import type { Bench } from './support-sqlite.ts';
import { backUp, collect, dumpRequest, makeBench, withMember } from './support-sqlite.ts';

let bench: Bench;
let source: string;
beforeEach(async () => {
  bench = await makeBench();
  source = join(bench.folder, 'app.db');
});
afterEach(() => bench.remove());

/** Everything in a database as SQL text, by SQLite's own shell. */
function dumpText(path: string): string {
  return execFileSync('sqlite3', [path, '.dump'], { encoding: 'utf8', maxBuffer: 1 << 28 });
}

function create(path: string, sql: string): void {
  const database = new Driver(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

function read<T>(path: string, sql: string): T {
  const database = new Driver(path, { readonly: true });
  try {
    return database.prepare(sql).pluck().get() as T;
  } finally {
    database.close();
  }
}

async function failure(work: Promise<unknown>): Promise<DguardError> {
  return await work.then(
    () => expect.unreachable('it did not fail'),
    (error: DguardError) => error,
  );
}

/** Runs a script beside this process, with `Database` at hand, until it prints `ready`. */
async function beside(script: string, ...args: string[]) {
  const require = `const Database = require(${JSON.stringify(fileURLToPath(import.meta.resolve('better-sqlite3')))});`;
  const child = spawn(process.execPath, ['-e', require + script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  return {
    running: () => child.exitCode === null,
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

const PAIR_WRITER = `
  const database = new Database(process.argv[1], { timeout: 30000 });
  const write = database.transaction((i) => {
    database.prepare('INSERT INTO a (id, text) VALUES (?, ?)').run(i, 'x'.repeat(500));
    database.prepare('INSERT INTO b (id, a_id) VALUES (?, ?)').run(i, i);
  });
  let i = database.prepare('SELECT coalesce(max(id), 0) FROM a').pluck().get();
  const turn = () => { for (let n = 0; n < 20; n++) write(++i); setImmediate(turn); };
  turn();
  console.log('ready');
`;

const PAIR_SCHEMA = `
  CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a);
  CREATE INDEX b_a ON b (a_id);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO a SELECT i, hex(randomblob(250)) FROM n;
  INSERT INTO b SELECT id, id FROM a;
`;

const RICH_SCHEMA = `
  CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born REAL);
  CREATE TABLE "odd ""name"" é" (a, "b c" TEXT DEFAULT 'x', full TEXT AS (a || "b c") STORED, v AS (a + 1));
  CREATE TABLE tags (word TEXT, user INTEGER REFERENCES users, PRIMARY KEY (word, user)) WITHOUT ROWID;
  CREATE TABLE logs_old (line TEXT);
  CREATE TABLE counters (n INTEGER) STRICT;
  CREATE VIRTUAL TABLE notes USING fts5(title, body);
  CREATE TABLE docs (body TEXT);
  CREATE VIRTUAL TABLE docs_index USING fts5(body, content='docs');
  CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
  CREATE INDEX users_born ON users (born) WHERE born IS NOT NULL;
  CREATE VIEW loud AS SELECT upper(name) AS name FROM users;
  CREATE VIEW old_lines AS SELECT line FROM logs_old;
  CREATE TRIGGER user_gone AFTER DELETE ON users BEGIN DELETE FROM tags WHERE user = old.id; END;
  CREATE TRIGGER user_logged AFTER INSERT ON users BEGIN INSERT INTO logs_old VALUES (new.name); END;
  INSERT INTO users (name, born) VALUES ('ana', 1990.5), ('bob', NULL), ('', 3);
  DELETE FROM users WHERE name = 'bob';
  INSERT INTO "odd ""name"" é" (a, "b c") VALUES (1, 'one'), (NULL, '');
  INSERT INTO tags VALUES ('x', 1), ('y', 1);
  INSERT INTO counters VALUES (7);
  INSERT INTO notes VALUES ('first', 'the quick fox'), ('second', 'lazy dog');
  INSERT INTO docs (rowid, body) VALUES (10, 'gap before'), (20, 'and between');
  INSERT INTO docs_index (rowid, body) SELECT rowid, body FROM docs;
  INSERT INTO boxes VALUES (1, 0.5, 2.5);
  ANALYZE;
  PRAGMA user_version = 42;
  PRAGMA application_id = 77;
`;

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
    const error = await failure(backUp(bench.source(source), { include: ['userz'] }));
    expect(error.code).toBe('source_empty');
    expect(error.hint).toContain('users');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
});

describe('bad sources', () => {
  test('a missing file is an error and is not created', async () => {
    const error = await failure(backUp(bench.source(source)));
    expect(error.code).toBe('source_failed');
    expect(error.message).toContain('no such database file');
    expect(existsSync(source)).toBe(false);
    expect(await sqliteEngine.probe(bench.source(source))).toMatchObject({ status: 'error' });
    expect(existsSync(source)).toBe(false);
  });

  test('zero bytes, a directory, no database, a dangling link', async () => {
    writeFileSync(source, '');
    expect(await failure(backUp(bench.source(source)))).toMatchObject({ code: 'source_empty' });
    expect((await failure(backUp(bench.source(bench.folder)))).message).toContain('directory');
    writeFileSync(source, 'This is no database at all, but long enough. '.repeat(100));
    expect((await failure(backUp(bench.source(source)))).message).toContain('not an SQLite database');
    symlinkSync('nowhere', join(bench.folder, 'link.db'));
    expect(await failure(backUp(bench.source(join(bench.folder, 'link.db'))))).toMatchObject({
      code: 'source_failed',
    });
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('a corrupt database is never a good backup: the first findings are named', async () => {
    create(source, PAIR_SCHEMA);
    const bytes = readFileSync(source);
    for (const page of [50, 120, 300]) bytes.fill(0xa5, page * 4096, page * 4096 + 200);
    writeFileSync(source, bytes);
    const error = await failure(backUp(bench.source(source)));
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(error.message).toMatch(/corrupt: .*(page|Tree)/);
    expect(error.hint).toContain('.recover');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('a cut database is refused', async () => {
    create(source, PAIR_SCHEMA);
    writeFileSync(source, readFileSync(source).subarray(0, 100 * 4096));
    expect(await failure(backUp(bench.source(source)))).toMatchObject({ code: 'source_failed' });
  });

  test('an aborted dump leaves nothing', async () => {
    create(source, PAIR_SCHEMA);
    const control = new AbortController();
    control.abort();
    const aborted = { ...bench.source(source), signal: control.signal };
    expect(await failure(backUp(aborted))).toMatchObject({ code: 'interrupted' });
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
      const error = await unprivileged((user) => failure(backUp(user.source(source))));
      expect(error.code).toBe('source_failed');
      expect(error.hint).toContain('-shm');
    },
  );

  test.runIf(asRoot)('an unreadable file is named as such', async () => {
    create(source, 'CREATE TABLE t (i)');
    chmodSync(source, 0o600);
    const error = await unprivileged((user) => failure(backUp(user.source(source))));
    expect(error.message).toContain('may not read');
  });
});

describe('restore', () => {
  beforeEach(() => create(source, PAIR_SCHEMA.replace('60000', '500')));

  test('refuses an existing target, takes an empty file, and changes nothing on a dry run', async () => {
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'other.db');
    create(target, 'CREATE TABLE mine (i)');
    const before = readFileSync(target);
    expect(await failure(sqliteEngine.restore(backup, bench.request({ toPath: target })))).toMatchObject({
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
      const error = await failure(
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
      const error = await failure(sqliteEngine.restore(backup, bench.request({ toPath: target })));
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
    const error = await failure(
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
    const error = await failure(
      sqliteEngine.restore(other, bench.request({ toPath: join(bench.folder, 'n.db') })),
    );
    expect(error).toMatchObject({ code: 'corrupt' });
    expect(error.message).toContain('table a has 100 rows, 500 were recorded');
    const short = withMember(backup, 'database.db', fewer.subarray(0, 4096));
    expect(
      (await failure(sqliteEngine.restore(short, bench.request({ toPath: join(bench.folder, 'n.db') }))))
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
    const error = await failure(
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
    const error = await failure(sqliteEngine.restore(broken, bench.request({ toPath, scratch: true })));
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
    const error = await failure(sqliteEngine.restore(backup, { ...request, signal: control.signal }));
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
