import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sqliteEngine } from '../../src/engines/sqlite/engine.ts';
import { backUp, makeBench } from '../engines/sqlite/support.ts';
import {
  countCalls,
  type FaultMode,
  forEveryCall,
  forEveryCallOfChild,
  traceCalls,
  withFault,
} from './fs-faults.mjs';
import { tornByPowerCut } from './power.ts';

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

/** What a power cut could tear in that work on a database, with and without a call that fails, and in its recovery. */
async function tornOf(begin: () => string | Promise<string>, work: (path: string) => Promise<void>) {
  const torn = new Map<string, string>();
  const look = async (path: string, when: string, failAt: number, run: (path: string) => unknown) => {
    const { trace, hit } = await traceCalls(() => run(path), failAt);
    for (const line of tornByPowerCut(trace, [path])) {
      torn.set(line.replaceAll(root, ''), `${when}, call ${failAt} (${hit}) failed`);
    }
    // What SQLite itself writes is out of sight: it is synced, whatever was done to it, right before it is moved in.
    const moved = trace.findIndex(({ name, to }) => failAt === 0 && name === 'rename' && to === path);
    const about = trace.slice(0, moved).filter((call) => call.path === trace[moved]?.path);
    if (moved >= 0 && when === '' && about.at(-1)?.name !== 'sync')
      torn.set('not synced', `${about.at(-1)?.name}`);
    rmSync(join(path, '..'), { recursive: true });
    return trace;
  };
  const sample = await begin();
  const total = await countCalls(() => work(sample));
  const whole = await look(await begin(), '', 0, work);
  expect(whole.length).toBeGreaterThanOrEqual(total);
  // Before there is a journal nothing of the target's has a name to lose.
  const first = whole.find(({ path }) => /\/(?:swapping|undoing)\.json\.part$/.test(path))!.at - 3;
  for (let call = first; call <= total; call += 1) {
    await look(await begin(), '', call, work);
    const path = await begin();
    await withFault('die', call, () => work(path));
    await look(path, `recovery after a death at ${call}`, 0, () => sqliteEngine.swaps!.recover(target(path)));
  }
  return [...torn];
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
    // Somebody may open it at any moment, and would make an empty one where none is.
    expect(existsSync(path)).toBe(true);
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

  it('whatever a power cut takes of it, or of its being taken back', async () => {
    expect(
      await tornOf(
        () => begin(action),
        (path) => act(action, path),
      ),
    ).toEqual([]);
  });

  it.each<FaultMode>(['eio', 'enospc'])('when any call fails: %s', async (mode) => {
    await forEveryCall(mode, {
      prepare: () => begin(action),
      run: (path) => act(action, path),
      check: (path, { error }) => check(path, error === undefined ? 0 : 1),
    });
  });
});

describe('a restore over a database that is damaged leaves it with its journals, or the new one without', () => {
  function damaged(): string {
    count += 1;
    const path = join(root, String(count), 'app.db');
    mkdirSync(join(path, '..'));
    writeFileSync(path, 'no database any more');
    for (const side of ['-wal', '-journal']) writeFileSync(path + side, `its${side}`);
    return path;
  }

  const stateNow = (path: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(join(path, '..'))
        .filter((name) => name.startsWith('app.db'))
        .map((name) => [name, readFileSync(join(path, '..', name), 'latin1')]),
    );

  it.each<FaultMode>(['die', 'eio'])('%s at any call', async (mode) => {
    const sample = damaged();
    const old = stateNow(sample);
    await act('restore', sample);
    const replaced = stateNow(sample);
    expect(Object.keys(replaced)).toEqual(['app.db']);
    const calls = await forEveryCall(mode, {
      prepare: damaged,
      run: (path) => act('restore', path),
      async check(path, { error }) {
        if (error !== undefined && mode !== 'die') expect(stateNow(path)).toEqual(old);
        await sqliteEngine.swaps!.recover(target(path));
        const now = stateNow(path);
        expect([old, replaced]).toContainEqual(now);
        if (error === undefined) expect(now).toEqual(replaced);
        if (now['app.db'] === old['app.db']) return;
        await sqliteEngine.swaps!.undo(target(path));
        expect(stateNow(path)).toEqual(old);
        await sqliteEngine.swaps!.undo(target(path));
        expect(stateNow(path)).toEqual(replaced);
      },
    });
    expect(calls).toBeGreaterThan(8);
  });

  it('whatever a power cut takes of it', async () => {
    expect(await tornOf(damaged, (path) => act('restore', path))).toEqual([]);
  });

  it.each(['', '-wal'])(
    'also where something else came up as app.db%s while the old one was away',
    async (suffix) => {
      const sample = damaged();
      const { trace } = await traceCalls(() => act('restore', sample));
      const away = trace.find(({ to }) => to?.endsWith(`/data${suffix}`))!.at;
      const back = trace.find(({ name, to }) => name === 'rename' && to?.endsWith('/app.db'))!.at;
      let met = 0;
      // A death after the one and before the other.
      for (let call = away + 1; call <= back; call += 1) {
        const path = damaged();
        const old = stateNow(path);
        await withFault('die', call, () => act('restore', path));
        const folder = readdirSync(join(path, '..')).find((name) => name.includes('.dguard-undo-'));
        const isKept = folder !== undefined && existsSync(join(path, '..', folder, `data${suffix}`));
        const isNew = existsSync(path) && stateNow(path)['app.db'] !== old['app.db'];
        if (!isKept || isNew) continue;
        met += 1;
        rmSync(path + suffix, { force: true });
        writeFileSync(path + suffix, 'came up');
        const ended = sqliteEngine.swaps!.recover(target(path));
        await expect(ended).rejects.toMatchObject({ code: 'target_refused' });
        expect(readFileSync(path + suffix, 'latin1')).toBe('came up');
        rmSync(path + suffix);
        await sqliteEngine.swaps!.recover(target(path));
        expect(stateNow(path)).toEqual(old);
      }
      expect(met).toBeGreaterThan(0);
    },
  );
});
