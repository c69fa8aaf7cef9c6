import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DguardError, errnoOf } from '../../errors.ts';
import { TEMP_PREFIX } from '../key.ts';
import { syncFolder } from './folders.ts';

/** What link(2) answers where the file system has no hard links (FAT, exFAT, many FUSE and SMB ones). */
const NO_HARD_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL'];

/** Gives the finished file its name and makes the name durable; a name that is not is taken back. */
export async function publishDurably(temp: string, final: string): Promise<void> {
  await publish(temp, final);
  try {
    await syncFolder(dirname(final));
  } catch (error) {
    await removeTemp(final);
    throw error;
  }
}

/**
 * Gives the finished file `temp` its name `final` in the same folder, which must be free, else
 * `storage_exists`. Atomic: `final` is there with all its bytes or not at all. `temp` is gone afterwards.
 */
export async function publish(temp: string, final: string): Promise<void> {
  try {
    await link(temp, final); // exclusive, unlike rename
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (NO_HARD_LINKS.includes(errno)) return publishByRename(temp, final);
    if (errno !== 'EEXIST') throw error;
    // Over NFS a repeated request may find the link that its first sending made.
    if (!(await isSameFile(temp, final))) throw taken(final);
  }
  await removeTemp(temp);
}

/**
 * The same without hard links. rename(2) would replace an existing object, and opening `final` itself
 * exclusively would show an empty object for a moment. So the name is reserved by a file of its own, made
 * exclusively in the same folder: only its holder looks whether `final` is free, and renames.
 * A process that dies in between leaves the reservation, which blocks this one key and nothing else.
 */
export async function publishByRename(temp: string, final: string): Promise<void> {
  const reservation = reservationOf(final);
  try {
    const handle = await open(reservation, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    await handle.close();
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    throw taken(final, `if no dguard is writing there, remove ${reservation}`);
  }
  try {
    if (await exists(final)) throw taken(final);
    await rename(temp, final);
  } finally {
    await removeTemp(reservation);
  }
}

/** The file that reserves a name. Folded: most file systems without hard links do not tell `A` from `a`. */
export function reservationOf(final: string): string {
  const hash = createHash('sha256').update(basename(final).toLowerCase()).digest('hex').slice(0, 32);
  return join(dirname(final), `${TEMP_PREFIX}name-${hash}`);
}

/** Whatever stands under this name, link or folder included. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** A leftover under a temporary name is never listed; failing to remove it must not fail, or hide, anything. */
export async function removeTemp(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

export function taken(final: string, hint?: string): DguardError {
  const details = { operation: 'put', subject: final };
  return new DguardError('storage_exists', `${final} exists`, hint ? { ...details, hint } : details);
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const a = await lstat(one, { bigint: true });
  const b = await lstat(other, { bigint: true });
  return a.dev === b.dev && a.ino === b.ino;
}
