/**
 * Faults of the file system, for tests: the n-th call that changes anything fails, lies, or is the last.
 *
 * In this process: `withFault(mode, n, work)`, `countCalls(work)`, `forEveryCall(work, check)`, `traceCalls(work)`.
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
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';

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

/** @type {{ mode: string, at: number, calls: number, hit: string | undefined, child: boolean, trace?: object[] } | undefined} */
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

/**
 * What notes a call that worked, or undefined where nobody asks for it. Made before the call: afterwards the names
 * mean something else.
 */
function noteOf(name, args, self) {
  const trace = fault?.trace;
  if (trace === undefined || (name === 'open' && !changes(args[1]))) return undefined;
  const [first, second] = args;
  const call = { name, path: placeOf(name === 'symlink' ? second : (self?.fd ?? first)) };
  if (['rename', 'link', 'copyFile'].includes(name)) call.to = placeOf(second);
  call.at = fault.calls;
  call.isNew = !fs.existsSync(call.path);
  return () => trace.push(call);
}

/** The real path of what a call is about: names lead through open folders, and descriptors have none. */
function placeOf(of) {
  if (typeof of === 'number') return fs.readlinkSync(`/proc/self/fd/${of}`);
  const path = String(of);
  return join(fs.realpathSync(dirname(path)), basename(path));
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
  const { execFileSync } = childProcess;
  childProcess.execFileSync = (file, args, options) => {
    const trace = fault?.trace;
    const path = trace && file === 'sync' ? fs.realpathSync(options.cwd) : undefined;
    const result = execFileSync(file, args, options);
    if (path !== undefined) trace.push({ name: 'syncfs', path, at: fault.calls });
    return result;
  };
  syncBuiltinESMExports();
}

function wrapSync(owner, key, name) {
  const original = owner[key];
  if (typeof original !== 'function') return;
  owner[key] = function (...args) {
    const verdict = judge(name, args);
    const note = noteOf(name, args);
    if (verdict instanceof Error) {
      if (name.endsWith('sync')) note?.();
      throw verdict;
    }
    if (verdict !== undefined) return verdict();
    const result = original.apply(this, args);
    note?.();
    return result;
  };
}

function wrapCallback(owner, name) {
  const original = owner[name];
  if (typeof original !== 'function') return;
  owner[name] = function (...args) {
    const verdict = judge(name, args);
    const done = args.at(-1);
    if (verdict === undefined) {
      const note = noteOf(name, args);
      if (note === undefined) return original.apply(this, args);
      const noted = (error, ...results) => {
        if (!error) note();
        done(error, ...results);
      };
      return original.apply(this, [...args.slice(0, -1), noted]);
    }
    if (verdict instanceof Error) process.nextTick(done, verdict);
    else process.nextTick(done, null, verdict());
  };
}

function wrapAsync(owner, key, name) {
  const original = owner[key];
  if (typeof original !== 'function') return;
  owner[key] = async function (...args) {
    const verdict = judge(name, args);
    const note = noteOf(name, args, this);
    if (verdict instanceof Error) {
      if (name.endsWith('sync')) note?.();
      throw verdict;
    }
    if (verdict === undefined) {
      const result = await original.apply(this, args);
      note?.();
      return result;
    }
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
 * The calls of `work` that worked, in their order, `sync -f` among them, with real paths; the one numbered `failAt`
 * (none: 0) throws EIO instead: of a sync, that it was asked for is noted all the same. What `work` throws comes back
 * as `error`.
 */
export async function traceCalls(work, failAt = 0) {
  install();
  if (fault !== undefined) throw new Error('one fault at a time');
  const trace = [];
  fault = { mode: failAt > 0 ? 'eio' : 'count', at: failAt, calls: 0, hit: undefined, child: false, trace };
  let error;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  const { hit } = fault;
  fault = undefined;
  return { trace, hit, error };
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
