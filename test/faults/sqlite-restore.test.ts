import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sqliteEngine } from '../../src/engines/sqlite/engine.ts';
import { backUp, makeBench } from '../engines/support-sqlite.ts';
import { type FaultMode, forEveryCall, forEveryCallOfChild } from './fs-faults.mjs';

const CHILD = fileURLToPath(new URL('sqlite-child.mjs', import.meta.url));
const bench = await makeBench();

let root: string;
let backup: string;
beforeEach(() => {
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dguard-faults-'));
  backup = join(root, 'backup.db');
  build(backup, "CREATE TABLE a (i); INSERT INTO a VALUES ('new'); CREATE TABLE b (i)");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function build(path: string, sql: string): void {
  const database = new Driver(path);
  database.exec(sql);
  database.close();
}

/** The state of a database: its rows, its mode, that it is sound. Leaves nothing beside it. */
function stateOf(path: string): string {
  const database = new Driver(path, { fileMustExist: true });
  try {
    const tables = database
      .prepare("SELECT group_concat(name) FROM sqlite_master WHERE type = 'table'")
      .pluck()
      .get();
    const rows = database.prepare('SELECT group_concat(i) FROM a').pluck().get();
    return [
      tables,
      rows,
      database.pragma('journal_mode', { simple: true }),
      database.pragma('integrity_check', { simple: true }),
    ].join(' ');
  } finally {
    database.close();
  }
}

let count = 0;
/** A database in WAL mode, its last commit in the -wal alone, and its writer gone without a word. */
function prepare(): string {
  count += 1;
  const folder = join(root, String(count));
  mkdirSync(folder);
  const path = join(folder, 'app.db');
  build(
    path,
    "PRAGMA journal_mode = WAL; CREATE TABLE a (i); INSERT INTO a VALUES ('old'); CREATE TABLE mine (i)",
  );
  return path;
}

function spawn(action: string, path: string, env: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env } };
    const child = execFile(process.execPath, [CHILD, action, path, backup], options, () => {});
    child.on('exit', (code, signal) => resolve(signal === 'SIGKILL' ? 137 : (code ?? 1)));
  });
}

const target = (path: string) => bench.request({ source: bench.source(path) });
const marked = (path: string) => readdirSync(join(path, '..')).filter((name) => name !== 'app.db');

const ACTIONS = ['restore', 'merge', 'undo'] as const;
type Action = (typeof ACTIONS)[number];

async function act(action: Action, path: string): Promise<void> {
  if (action === 'undo') return void (await sqliteEngine.swaps!.undo(target(path)));
  const only = action === 'merge' ? ['a'] : [];
  const content = await backUp(bench.source(backup));
  await sqliteEngine.restore(content, bench.request({ source: bench.source(path), only, overwrite: true }));
}

async function begin(action: Action): Promise<string> {
  const path = prepare();
  if (action === 'undo') await act('restore', path);
  return path;
}

describe.each(ACTIONS)('a %s leaves the database old or new', (action) => {
  let old: string;
  let replaced: string;
  beforeEach(async () => {
    const sample = await begin(action);
    old = stateOf(sample);
    await act(action, sample);
    replaced = stateOf(sample);
    expect(replaced).not.toBe(old);
  });

  /** @param outcome 0: it said that it worked, 1: that it failed */
  async function check(path: string, outcome: number): Promise<void> {
    if (outcome === 1) expect(stateOf(path)).toBe(old);
    await sqliteEngine.swaps!.recover(target(path));
    const now = stateOf(path);
    expect([old, replaced]).toContain(now);
    if (outcome === 0) expect(now).toBe(replaced);
    const copies = await sqliteEngine.swaps!.undoCopies(target(path));
    expect(copies).toHaveLength(now === replaced || action === 'undo' ? 1 : 0);
    if (copies.length === 0) expect(marked(path)).toEqual([]);
    else {
      await sqliteEngine.swaps!.undo(target(path));
      expect(stateOf(path)).toBe(now === old ? replaced : old);
    }
    rmSync(join(path, '..'), { recursive: true });
  }

  it('when it is killed at any call', async () => {
    const calls = await forEveryCallOfChild('die', {
      prepare: () => begin(action),
      spawn: (path, env) => spawn(action, path, env),
      check: (path, { at, outcome }) => check(path, at === 0 ? 0 : outcome!),
    });
    expect(calls).toBeGreaterThan(8);
  });

  it.each<FaultMode>(['eio', 'enospc'])('when any call fails: %s', async (mode) => {
    await forEveryCall(mode, {
      prepare: () => begin(action),
      run: (path) => act(action, path),
      check: (path, { error }) => check(path, error === undefined ? 0 : 1),
    });
  });
});
