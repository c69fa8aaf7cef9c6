import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs';
import type { EntryKind } from '../../../archive/entry.ts';
import { errnoOf } from '../../../errors.ts';
import { fsPath } from '../../fs-paths.ts';

/** A name in a folder, with the kind that the listing says it is of. */
export interface FolderChild {
  readonly name: string;
  readonly kind: EntryKind;
}

/** Not on every system. */
const O_NOATIME = constants.O_NOATIME ?? 0;
/** A fifo must not block, a link must not be followed. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Opens without following a link, without blocking, and where permitted without changing the access time. */
export function openForReading(path: string): number {
  const name = fsPath(path);
  try {
    return openSync(name, READ_FLAGS | O_NOATIME);
  } catch (error) {
    // Only the owner and root may read without a trace.
    if (O_NOATIME === 0 || errnoOf(error) !== 'EPERM') throw error;
    return openSync(name, READ_FLAGS);
  }
}

/**
 * The names in a folder, sorted by their bytes: in the folder that is open, where the system can say so, and
 * not in what its path may mean by now.
 */
export function listFolder(fd: number, path: string): FolderChild[] {
  const name = process.platform === 'linux' ? `/proc/self/fd/${fd}` : fsPath(path);
  const children = readdirSync(name, { withFileTypes: true, encoding: 'latin1' }).map((entry) => ({
    name: entry.name,
    kind: kindOf(entry),
  }));
  // Latin-1 strings compare as their bytes do.
  return children.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The kind of entry that a stat or a folder's listing tells of. */
export function kindOf(of: BigIntStats | Dirent): EntryKind {
  if (of.isFile()) return 'file';
  if (of.isDirectory()) return 'directory';
  if (of.isSymbolicLink()) return 'symlink';
  if (of.isFIFO()) return 'fifo';
  if (of.isSocket()) return 'socket';
  return of.isBlockDevice() ? 'block_device' : 'char_device';
}

/** Linux: makedev(3) in glibc. */
export function deviceNumbers(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}

const CACHE_SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55';

/** Does a CACHEDIR.TAG begin as https://bford.info/cachedir/ demands? */
export function isCacheTag(path: string): boolean {
  let fd: number | undefined;
  try {
    fd = openForReading(path);
    const bytes = Buffer.alloc(CACHE_SIGNATURE.length);
    readSync(fd, bytes, 0, bytes.length, 0);
    return bytes.toString('latin1') === CACHE_SIGNATURE;
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
