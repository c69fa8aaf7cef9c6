import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { byteRange } from '../range.ts';
import type { GetOptions } from '../types.ts';

const SMALL_BYTES = 64 * 1024;
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The bytes of a range of a small object, or undefined where it is not small, or is none: then the way that
 * waits finds out. Synchronous, because a listing reads ten thousand manifests, and four promises for each
 * cost several times what their bytes do.
 */
export function readSmall(file: string, range: GetOptions): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, FLAGS);
    const facts = fstatSync(fd);
    if (!isAt(fd, file) || !facts.isFile() || facts.size > SMALL_BYTES) return undefined;
    const { start, end } = byteRange(range, facts.size);
    const buffer = Buffer.allocUnsafe(Math.max(0, end - start));
    let filled = 0;
    while (filled < buffer.length) {
      const count = readSync(fd, buffer, filled, buffer.length - filled, start + filled);
      if (count === 0) break;
      filled += count;
    }
    return buffer.subarray(0, filled);
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** False where a link led to what is open. Linux tells the place of an open file in one call; realpath takes ten. */
function isAt(fd: number, file: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === file;
  } catch {
    const folder = dirname(file);
    return realpathSync.native(folder) === folder;
  }
}
