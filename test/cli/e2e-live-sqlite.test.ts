import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeWithCommands } from '../services/needs.ts';
import { ROOT, type Workspace, workspace } from './support.ts';

/**
 * A program that never stops writing: each transaction adds entries and the total over them. In a copy of one
 * moment both tables agree.
 */
const WRITER = `
  const db = require('better-sqlite3')(process.argv[1]);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = OFF');
  db.exec('CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, batch INTEGER, note TEXT)');
  db.exec('CREATE TABLE IF NOT EXISTS total (batch INTEGER PRIMARY KEY, entries INTEGER)');
  const entry = db.prepare('INSERT INTO entry (batch, note) VALUES (?, ?)');
  const total = db.prepare('INSERT INTO total SELECT ?, count(*) FROM entry WHERE batch = ?');
  let batch = db.prepare('SELECT coalesce(max(batch), 0) AS last FROM total').get().last;
  const step = db.transaction((count) => {
    batch++;
    for (let i = 0; i < count; i++) entry.run(batch, 'note ' + 'x'.repeat(200) + i);
    total.run(batch, batch);
  });
  for (let i = 0; i < Number(process.argv[2]); i++) step(500);
  process.stdout.write('ready\\n');
  if (process.argv[3] === 'stop') process.kill(process.pid, 'SIGKILL');
  const on = () => { step(3); setTimeout(on, 2); };
  on();
`;

const QUESTION = `
  SELECT (SELECT count(*) FROM entry), (SELECT sum(entries) FROM total), (SELECT max(batch) FROM entry),
    (SELECT max(batch) FROM total), (SELECT count(*) FROM total), (SELECT max(id) FROM entry);
  PRAGMA integrity_check;`;

function sqlite(path: string, ...commands: string[]): string {
  return execFileSync('sqlite3', [path, ...commands], { maxBuffer: 256 * 1024 * 1024 }).toString();
}

/** Starts a writer; resolves when its first rows are in. With `stop` it is killed there, its journal left behind. */
async function startWriter(path: string, batches: number, stop?: 'stop'): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', WRITER, path, String(batches), stop ?? ''], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = new Promise((resolve) => child.on('close', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error('the writer ended early')));
  });
  if (stop) await closed;
  return child;
}

async function stopWriter(child: ChildProcess): Promise<void> {
  const closed = new Promise((resolve) => child.on('close', resolve));
  child.kill('SIGKILL');
  await closed;
}

function configure(space: Workspace): void {
  const job = { datasources: ['app'], destinations: ['here'] };
  space.config({
    datasources: { app: { type: 'sqlite', file_path: './app.db' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { app: job, export: { ...job, options: { format: 'jsonl' } } },
  });
}

describeWithCommands(['sqlite3'], 'a database that is written to all the time', () => {
  const space = workspace();
  let writer: ChildProcess;
  beforeAll(async () => {
    configure(space);
    writer = await startWriter(space.path('app.db'), 40);
  });
  afterAll(async () => {
    await stopWriter(writer);
    space.remove();
  });

  it('each backup is of one moment: both tables agree, and the manifest with them', async () => {
    const seen: number[] = [];
    for (const job of ['app', 'export', 'app']) {
      const before = Number(sqlite(space.path('app.db'), 'SELECT count(*) FROM entry'));
      const run = await space.json('backup', job);
      const after = Number(sqlite(space.path('app.db'), 'SELECT count(*) FROM entry'));
      expect(run.code, run.stderr).toBe(0);
      const [backup] = run.document.backups;
      const to = `./restored-${seen.length}.db`;
      const restore = await space.run('restore', backup!.id, '--to-path', to);
      expect(restore.code, restore.stderr).toBe(0);
      const [counts, check] = sqlite(space.path(to), QUESTION).trim().split('\n');
      const [entries, summed, lastEntry, lastTotal, totals, lastId] = counts!.split('|').map(Number);
      expect(check).toBe('ok');
      expect([summed, lastEntry, totals, lastId]).toEqual([entries, lastTotal, lastTotal, entries]);
      expect(backup!.facts?.rows).toBe(entries! + totals!);
      expect(entries).toBeGreaterThanOrEqual(before);
      expect(entries).toBeLessThan(after);
      seen.push(entries!);
    }
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('it is not restored over while it is in use, and the writer goes on', async () => {
    const before = Number(sqlite(space.path('app.db'), 'SELECT count(*) FROM entry'));
    const files = fs.readdirSync(space.folder);
    const run = await space.run('restore', 'app', '--overwrite', '--yes');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain(`process ${writer.pid}`);
    expect(run.stderr).toContain('next: stop the writers');
    expect(fs.readdirSync(space.folder)).toEqual(files);
    expect(writer.exitCode).toBe(null);
    const after = Number(sqlite(space.path('app.db'), 'SELECT count(*) FROM entry'));
    expect(after).toBeGreaterThan(before);
    expect(sqlite(space.path('app.db'), 'PRAGMA integrity_check').trim()).toBe('ok');
  });
});

describeWithCommands(['sqlite3'], 'a database whose writer crashed: commits are in its journal only', () => {
  let space: Workspace;
  let dump: string;
  beforeEach(async () => {
    space = workspace();
    configure(space);
    await startWriter(space.path('app.db'), 1, 'stop');
    expect(fs.statSync(space.path('app.db-wal')).size).toBeGreaterThan(0);
    // Asked on a copy: a program that opens and closes the database itself would empty its journal.
    for (const name of ['app.db', 'app.db-wal'])
      fs.copyFileSync(space.path(name), space.path(`copy-${name}`));
    dump = sqlite(space.path('copy-app.db'), '.dump');
    expect(dump).toContain('note ');
  });
  afterEach(() => space.remove());

  it.each(['app', 'export'])('%s: .dump of the restored database is that of the source', async (job) => {
    const run = await space.run('backup', job);
    expect(run.code, run.stderr).toBe(0);
    const restore = await space.run('restore', job, '--to-path', './restored.db');
    expect(restore.code, restore.stderr).toBe(0);
    expect(sqlite(space.path('restored.db'), '.dump')).toBe(dump);
    const verify = await space.run('verify', job, '--level', 'restore');
    expect(verify.code, verify.stdout).toBe(0);
  });

  it('a restore over it: exactly the backup is there, and the undo copy has what was in the journal', async () => {
    expect((await space.run('backup', 'app')).code).toBe(0);
    await startWriter(space.path('app.db'), 2, 'stop');
    expect(fs.statSync(space.path('app.db-wal')).size).toBeGreaterThan(0);
    const run = await space.json('restore', 'app', '--overwrite', '--yes');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.existsSync(space.path('app.db-wal'))).toBe(false);
    expect(sqlite(space.path('app.db'), '.dump')).toBe(dump);
    const { undo } = run.document.restored[0]!;
    expect(sqlite(undo!, 'SELECT count(*) FROM total; PRAGMA integrity_check')).toBe('3\nok\n');
  });

  it('a new database is never put beside a journal that holds commits of an old one', async () => {
    expect((await space.run('backup', 'app')).code).toBe(0);
    await startWriter(space.path('other.db'), 1, 'stop');
    const stale = fs.readFileSync(space.path('other.db-wal'));
    fs.rmSync(space.path('other.db'));
    const run = await space.run('restore', 'app', '--to-path', './other.db');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('other.db-wal');
    expect(run.stderr).toContain('next:');
    expect(fs.existsSync(space.path('other.db'))).toBe(false);
    expect(fs.readFileSync(space.path('other.db-wal')).equals(stale)).toBe(true);
  });

  it('without --overwrite nothing that is there is replaced', async () => {
    expect((await space.run('backup', 'app')).code).toBe(0);
    const before = fs.readFileSync(space.path('app.db'));
    const run = await space.run('restore', 'app', '--yes');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('--overwrite');
    expect(fs.readFileSync(space.path('app.db')).equals(before)).toBe(true);
  });
});

describeWithCommands(['sqlite3'], 'a database with a damaged page', () => {
  const space = workspace();
  afterAll(() => space.remove());

  it('exit 1: its bytes were archived while it was checked, and no backup comes of them', async () => {
    configure(space);
    sqlite(
      space.path('app.db'),
      'CREATE TABLE t (a TEXT)',
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) INSERT INTO t SELECT hex(randomblob(500)) FROM n',
    );
    const file = fs.openSync(space.path('app.db'), 'r+');
    fs.writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, 4096 * 1500);
    fs.closeSync(file);
    const run = await space.run('backup', 'app');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('the database is corrupt');
    expect(run.stderr).toContain('next: what can be saved');
    const [failed, ...others] = await space.listed();
    expect(others).toEqual([]);
    expect(failed).toMatchObject({ status: 'failed', artifacts: [], computed: { good: false } });
    const left = fs.readdirSync(space.path(`backups/${failed!.computed.folder}`));
    expect(left.filter((name) => !name.startsWith('lease-'))).toEqual(['manifest.json']);
  });
});

describe('what is no database', () => {
  const space = workspace();
  afterAll(() => space.remove());

  it.each([
    ['a missing file', undefined, 'no such database file'],
    ['an empty file', '', 'zero bytes'],
    ['a text file', 'not a database, but long enough to be read as a header of one\n'.repeat(99), ''],
  ])('%s: exit 1, nothing created, nothing good listed', async (_, content, message) => {
    configure(space);
    fs.rmSync(space.path('app.db'), { force: true });
    if (content !== undefined) space.write('app.db', content);
    const run = await space.run('backup', 'app');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('app.db');
    expect(run.stderr).toContain(message);
    expect(run.stderr).toContain('next:');
    expect(fs.existsSync(space.path('app.db'))).toBe(content !== undefined);
    if (fs.existsSync(space.path('backups')))
      expect((await space.listed()).some(({ computed }) => computed.good)).toBe(false);
  });
});
