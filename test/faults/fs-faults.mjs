/**
 * Faults of the file system, for tests: the n-th call that changes anything fails, lies, or is the last.
 *
 * In this process: `withFault(mode, n, work)`, `countCalls(work)`, `forEveryCall(work, check)`.
 * In a child, from its first line on: `node --import .../fs-faults.mjs` (or in NODE_OPTIONS) with
 * DGUARD_TEST_FS_FAULT=<mode>:<n>, or count:<file> to learn how many calls there are.
 *
 * Modes, n counts from 1:
 *   die     the process is gone before the n-th call: SIGKILL in a child; in this process that call and all
 *           after it throw and change nothing, so that what is on disk is what a death would leave
 *   eio     the n-th call throws EIO, those after it work
 *   enospc  from the n-th call on there is no room: what takes room throws ENOSPC, the rest works
 *   lie     the n-th call says that it worked, and did nothing
 *
 * Native code (SQLite) and other programs are out of reach: their calls are neither counted nor stopped.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** Calls by name; what is opened counts only where that can change something. */
const NAMES = [
  ...['open', 'write', 'writev', 'writeFile', 'appendFile', 'rename', 'link', 'unlink', 'mkdir', 'mkdtemp'],
  ...[
    'rmdir',
    'rm',
    'fsync',
    'fdatasync',
    'chmod',
    'fchmod',
    'lchmod',
    'chown',
    'fchown',
    'lchown',
    'utimes',
  ],
  ...['futimes', 'lutimes', 'symlink', 'truncate', 'ftruncate', 'copyFile', 'cp'],
];
const HANDLE_NAMES = [
  'write',
  'writev',
  'writeFile',
  'appendFile',
  'sync',
  'datasync',
  'truncate',
  'chmod',
  'chown',
  'utimes',
];
const TAKES_ROOM = new Set(
  'open write writev writeFile appendFile link mkdir mkdtemp fsync fdatasync sync datasync symlink truncate ftruncate copyFile cp'.split(
    ' ',
  ),
);
const LIES = { open: undefined, write: 'length', writev: 'length' };

/** @type {{ mode: string, at: number, calls: number, hit: string | undefined, child: boolean } | undefined} */
let fault;
let installed = false;

class Fault extends Error {
  constructor(code, name) {
    super(`${code}: injected by a test, ${name}`);
    this.code = code;
  }
}

/** Decides about one call: undefined lets it through, an error is to be thrown, a function stands in for it. */
function judge(name, args) {
  if (fault === undefined || (name === 'open' && !changes(args[1]))) return undefined;
  fault.calls += 1;
  const { mode, at, calls } = fault;
  if (mode === 'count' || calls < at) return undefined;
  if (mode === 'enospc') {
    if (!TAKES_ROOM.has(name)) return undefined;
    fault.hit ??= name;
    return new Fault('ENOSPC', name);
  }
  if (mode === 'die') {
    fault.hit ??= name;
    if (fault.child) process.kill(process.pid, 'SIGKILL');
    return new Fault('EIO', `${name} after the end of the process`);
  }
  if (calls > at) return undefined;
  // What a lie about opening or naming a new folder would return, nobody can know.
  if (mode === 'lie' && ['open', 'mkdtemp'].includes(name)) return undefined;
  fault.hit = name;
  if (mode === 'eio') return new Fault('EIO', name);
  return () => (LIES[name] === 'length' ? lengthOf(args) : undefined);
}

function changes(flags) {
  if (typeof flags === 'number') return (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0;
  return typeof flags === 'string' && /[wa]/.test(flags);
}

/** How many bytes a write was asked to write. */
function lengthOf(args) {
  const data = args.find((arg) => typeof arg === 'string' || ArrayBuffer.isView(arg) || Array.isArray(arg));
  if (Array.isArray(data)) return data.reduce((sum, part) => sum + part.byteLength, 0);
  const given = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
  return typeof args[3] === 'number' ? args[3] : given;
}

function install() {
  if (installed) return;
  installed = true;
  for (const name of NAMES) {
    wrapSync(fs, `${name}Sync`, name);
    wrapCallback(fs, name);
    wrapAsync(fs.promises, name, name);
  }
  const open = fs.promises.open;
  let handles = false;
  fs.promises.open = async (...args) => {
    const handle = await open(...args);
    if (!handles) {
      handles = true;
      const prototype = Object.getPrototypeOf(handle);
      for (const name of HANDLE_NAMES) wrapAsync(prototype, name, name);
    }
    return handle;
  };
  syncBuiltinESMExports();
}

function wrapSync(owner, key, name) {
  const original = owner[key];
  if (typeof original !== 'function') return;
  owner[key] = function (...args) {
    const verdict = judge(name, args);
    if (verdict instanceof Error) throw verdict;
    return verdict === undefined ? original.apply(this, args) : verdict();
  };
}

function wrapCallback(owner, name) {
  const original = owner[name];
  if (typeof original !== 'function') return;
  owner[name] = function (...args) {
    const verdict = judge(name, args);
    if (verdict === undefined) return original.apply(this, args);
    const done = args.at(-1);
    if (verdict instanceof Error) process.nextTick(done, verdict);
    else process.nextTick(done, null, verdict());
  };
}

function wrapAsync(owner, key, name) {
  const original = owner[key];
  if (typeof original !== 'function') return;
  owner[key] = async function (...args) {
    const verdict = judge(name, args);
    if (verdict instanceof Error) throw verdict;
    if (verdict === undefined) return original.apply(this, args);
    return name.startsWith('write') ? { bytesWritten: verdict() } : verdict();
  };
}

/**
 * Runs `work` with a fault at call `at`. Returns what became of it, how many calls it made, and which call was
 * hit (undefined: it made fewer).
 */
export async function withFault(mode, at, work) {
  install();
  if (fault !== undefined) throw new Error('one fault at a time');
  fault = { mode, at, calls: 0, hit: undefined, child: false };
  let error;
  let value;
  try {
    value = await work();
  } catch (thrown) {
    error = thrown;
  }
  const { calls, hit } = fault;
  fault = undefined;
  return { calls, hit, value, error };
}

/** How many calls `work` makes. Throws what it throws. */
export async function countCalls(work) {
  const { calls, error } = await withFault('count', 0, work);
  if (error !== undefined) throw error;
  return calls;
}

/**
 * Counts the calls that `run()` makes when nothing happens, then runs it with a fault at each of them:
 * `prepare` makes a fresh state (its result is handed on), `run` is the work under fault, `check` looks at
 * what it left. Returns how many calls there were.
 */
export async function forEveryCall(mode, { prepare, run, check }) {
  const first = await prepare();
  const total = await countCalls(() => run(first));
  await check(first, { at: 0, hit: undefined, error: undefined });
  for (let at = 1; at <= total; at += 1) {
    const state = await prepare();
    const { hit, error } = await withFault(mode, at, () => run(state));
    try {
      await check(state, { at, hit, error });
    } catch (thrown) {
      throw new Error(`${mode} at call ${at} of ${total} (${hit}): ${thrown?.stack ?? thrown}`, {
        cause: thrown,
      });
    }
  }
  return total;
}

/** The same for a command in children: `spawn(env)` runs it with these variables and resolves at its end. */
export async function forEveryCallOfChild(mode, { prepare, spawn, check, parallel = 2 }) {
  const folder = fs.mkdtempSync('/tmp/dguard-faults-');
  const file = `${folder}/count`;
  const first = await prepare();
  await spawn(first, childEnv('count', file));
  const total = Number(fs.readFileSync(file, 'utf8'));
  fs.rmSync(folder, { recursive: true });
  await check(first, { at: 0 });
  let next = 1;
  const worker = async () => {
    while (next <= total) {
      const at = next;
      next += 1;
      const state = await prepare();
      const outcome = await spawn(state, childEnv(mode, at));
      try {
        await check(state, { at, outcome });
      } catch (thrown) {
        throw new Error(`${mode} at call ${at} of ${total}: ${thrown?.stack ?? thrown}`, { cause: thrown });
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return total;
}

/** What makes a child of node fail so. */
export function childEnv(mode, at) {
  return {
    DGUARD_TEST_FS_FAULT: `${mode}:${at}`,
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${import.meta.url}`.trim(),
  };
}

const asked = process.env.DGUARD_TEST_FS_FAULT;
if (asked !== undefined) {
  const colon = asked.indexOf(':');
  const mode = asked.slice(0, colon);
  const rest = asked.slice(colon + 1);
  const write = fs.writeFileSync;
  install();
  fault = { mode, at: Number(rest), calls: 0, hit: undefined, child: true };
  if (mode === 'count') process.on('exit', () => write(rest, String(fault.calls)));
}
