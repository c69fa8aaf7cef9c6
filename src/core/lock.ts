import { hash, randomBytes } from 'node:crypto';
import { link, lstat, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, DguardError, errnoOf, toDguardError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { formatDuration } from '../plan/duration.ts';
import type { Runtime } from '../runtime.ts';
import {
  isOfThisKernel,
  isOfThisNamespace,
  type Owner,
  type OwnerState,
  ownerOf,
  ownerState,
  ownerText,
  readOwner,
} from './owner.ts';
import { askLife, removeLife, showLife } from './sign-of-life.ts';

/** Who holds a lock, and what for. */
export interface LockHolder extends Owner {
  /** What is locked: a group of backups, a restore target. */
  readonly name: string;
  readonly operation: string;
  readonly taken_at: string;
  /** The sign of life beside it (`showLife`); empty where there is none. */
  readonly alive: string;
}

const POLL_MS = 250;
/** A takeover is a matter of milliseconds; one that lies there longer was itself cut short. */
const TAKEOVER_EXPIRES_MS = 10_000;

/**
 * Takes the lock `name` of this host, so that no other dguard does the same work at the same time. One whose
 * owner is provably dead is taken over with a warning. Waits up to `waitMs` for a living one. Errors: locked.
 * `release` never throws.
 *
 * @param next what to do about a lock that is held, whose file lies there
 */
export async function takeLock(
  name: string,
  operation: string,
  waitMs: number,
  runtime: Runtime,
  next: (path: string) => string = () =>
    'wait for it (--wait-lock 30m); if it is certain that it does not run any more: `dguard unlock JOB`',
): Promise<{ release(): Promise<void> }> {
  await makeLockFolder(runtime.lockDir);
  const path = lockPath(name, runtime);
  const life = await showLife(runtime.lockDir);
  const holder: LockHolder = {
    ...ownerOf(runtime.host),
    name,
    operation,
    taken_at: runtime.now().toISOString(),
    alive: life.name,
  };
  try {
    await takeAs(holder, path, waitMs, runtime, next);
  } catch (error) {
    await life.end();
    throw error;
  }
  const release = async () => {
    await removeOwn(path, holder);
    await life.end();
  };
  return { release };
}

async function takeAs(
  holder: LockHolder,
  path: string,
  waitMs: number,
  runtime: Runtime,
  next: (path: string) => string,
): Promise<void> {
  const { name } = holder;
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    if (await publish(path, holder)) return;
    const current = await readLock(path);
    if (current === 'released') continue;
    if (await isDead(current, runtime)) {
      if (await removeDead(path, runtime)) {
        const dead = holderIn(current);
        const message = dead
          ? `the lock of ${ownerText(dead)}, which is gone, is taken over (${dead.operation} since ${dead.taken_at})`
          : 'a lock that says nothing, as after a power cut, is taken over';
        runtime.emit({ type: 'log', level: 'warning', subject: name, message });
      }
      continue;
    }
    if (performance.now() >= giveUpAt) {
      const holder = holderIn(current);
      const who = holder ? await holderText(holder, runtime) : 'another run';
      throw locked(name, who, waitMs, next(path));
    }
    await sleep(POLL_MS, undefined, { signal: runtime.signal }).catch(() => {
      throw abortError(runtime.signal);
    });
  }
}

/** Who holds the lock `name` of this host, or undefined. */
export function lockHolder(name: string, runtime: Runtime): Promise<LockHolder | undefined> {
  return readHolder(lockPath(name, runtime));
}

/** Whether who holds a lock of this host lives: by its number, and out of another container by its sign of life. */
export async function lockState(holder: LockHolder, { host, lockDir }: Runtime): Promise<OwnerState> {
  const state = ownerState(holder, host);
  return state === 'unknown' && isOfThisKernel(holder, host) ? askLife(lockDir, holder.alive) : state;
}

/** Who holds a lock, since when, and from where no process of that number is to be seen here: for people. */
export function lockText(holder: LockHolder, { host }: Runtime): string {
  const where =
    isOfThisKernel(holder, host) && !isOfThisNamespace(holder, host)
      ? ', by the numbers of another container,'
      : '';
  return `${ownerText(holder)}${where} (${holder.operation} since ${holder.taken_at})`;
}

async function holderText(holder: LockHolder, runtime: Runtime): Promise<string> {
  const state = await lockState(holder, runtime);
  return `${lockText(holder, runtime)}${state === 'alive' ? '' : ', of which cannot be seen from here whether it runs,'}`;
}

/** All locks of this host and user, as far as they can be read. */
export async function listLocks(runtime: Runtime): Promise<readonly LockHolder[]> {
  const names = await readdir(runtime.lockDir).catch(() => []);
  const holders = await Promise.all(
    names
      .filter((name) => name.endsWith('.lock'))
      .sort()
      .map((name) => readHolder(join(runtime.lockDir, name))),
  );
  return holders.filter((holder) => holder !== undefined);
}

/** Removes the lock `name`, whoever holds it. True where there was one. */
export async function breakLock(name: string, runtime: Runtime): Promise<boolean> {
  const path = lockPath(name, runtime);
  const holder = await readHolder(path);
  try {
    await unlink(path);
    await removeLife(runtime.lockDir, holder?.alive ?? '');
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw toDguardError(error, 'internal', { operation: 'unlock', subject: name });
  }
}

function lockPath(name: string, runtime: Runtime): string {
  const readable = name.replace(/[^A-Za-z0-9._-]+/g, '_').slice(0, 60);
  return join(runtime.lockDir, `${readable}-${hash('sha256', name, 'hex').slice(0, 12)}.lock`);
}

/** A shared folder could be laid out by somebody else: then what lies in it proves nothing. */
async function makeLockFolder(folder: string): Promise<void> {
  try {
    makeFolders(folder);
    const facts = await lstat(folder);
    const uid = process.getuid?.();
    if (!facts.isDirectory() || (uid !== undefined && facts.uid !== uid)) {
      throw new Error('it is not a folder of this user');
    }
  } catch (error) {
    throw new DguardError('internal', `locks cannot be kept in ${folder}: ${(error as Error).message}`, {
      operation: 'lock',
      subject: folder,
      hint: 'make it a folder of this user, mode 0700 (or set XDG_RUNTIME_DIR to one)',
      cause: error,
    });
  }
}

/** Not the lock of who took it after this one was unlocked by force. */
async function removeOwn(path: string, holder: LockHolder): Promise<void> {
  const own = textOf(holder);
  // One that cannot be read is ours as far as anybody knows.
  if ((await readFile(path, 'utf8').catch(() => own)) === own) await unlink(path).catch(() => undefined);
}

function textOf(holder: LockHolder): string {
  return `${JSON.stringify(holder, null, 2)}\n`;
}

/** Whole or not at all, and only where nothing is: a link, not a write. */
async function publish(path: string, holder: LockHolder): Promise<boolean> {
  const temp = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(temp, textOf(holder), { flag: 'wx', mode: 0o600 });
    await link(temp, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw toDguardError(error, 'internal', { operation: 'lock', subject: path });
  } finally {
    await unlink(temp).catch(() => undefined);
  }
}

/** `cut`: no JSON of ours; `unknown`: nobody can look. */
type ReadLock = LockHolder | 'released' | 'cut' | 'unknown';

const holderIn = (lock: ReadLock): LockHolder | undefined => (typeof lock === 'string' ? undefined : lock);

const readHolder = async (path: string): Promise<LockHolder | undefined> => holderIn(await readLock(path));

/** A lock is linked when it is whole: one that is cut outlived the power, and its owner did not. */
async function isDead(lock: ReadLock, runtime: Runtime): Promise<boolean> {
  return lock === 'cut' || (typeof lock !== 'string' && (await lockState(lock, runtime)) === 'dead');
}

async function readLock(path: string): Promise<ReadLock> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown> | null;
    if (value === null || typeof value !== 'object') return 'cut';
    const text = (field: string) => (typeof value[field] === 'string' ? value[field] : '');
    const of = { name: text('name'), operation: text('operation'), taken_at: text('taken_at') };
    return { ...of, ...readOwner(value), alive: text('alive') };
  } catch (error) {
    if (error instanceof SyntaxError) return 'cut';
    return errnoOf(error) === 'ENOENT' ? 'released' : 'unknown';
  }
}

/**
 * Removes a dead owner's lock. Two that find it at once must not remove each other's new one: who removes
 * holds `PATH.takeover` meanwhile, and looks again under it.
 */
async function removeDead(path: string, runtime: Runtime): Promise<boolean> {
  const mutex = `${path}.takeover`;
  try {
    await writeFile(mutex, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw toDguardError(error, 'internal', { operation: 'lock' });
    const facts = await lstat(mutex).catch(() => undefined);
    if (facts && runtime.now().getTime() - facts.mtimeMs > TAKEOVER_EXPIRES_MS) {
      await unlink(mutex).catch(() => undefined);
    } else await sleep(POLL_MS);
    return false;
  }
  try {
    const current = await readLock(path);
    if (!(await isDead(current, runtime))) return false;
    await unlink(path);
    await removeLife(runtime.lockDir, holderIn(current)?.alive ?? '');
    return true;
  } finally {
    await unlink(mutex).catch(() => undefined);
  }
}

function locked(name: string, who: string, waitMs: number, hint: string): DguardError {
  const waited = waitMs > 0 ? ` and did not let go within ${formatDuration(waitMs)}` : '';
  return new DguardError('locked', `${who} holds the lock${waited}`, {
    operation: 'lock',
    subject: name,
    hint,
  });
}
