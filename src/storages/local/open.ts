import {
  close,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { dirname } from 'node:path';
import { byteRange } from '../range.ts';
import type { GetOptions } from '../types.ts';
import { unlessMissing } from './errors.ts';

const SMALL_BYTES = 64 * 1024;
/** Not blocking: what stands there could be a pipe. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** An object's file, open until it is closed. */
export interface OpenFile {
  readonly sizeBytes: number;
  /** Reads from `position` into the buffer's start; how many bytes came, 0 at the end. */
  read(buffer: Buffer, position: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * The bytes of a range of an object where it is small, else its open file; undefined where there is none. Throws what
 * the system says of others. Synchronous, because a listing reads ten thousand manifests and a restore thousands of
 * ranges, and four promises for each cost several times what their bytes do.
 */
export function openOrRead(file: string, range: GetOptions): Buffer | OpenFile | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, FLAGS);
    const facts = fstatSync(fd);
    if (!isAt(fd, facts, file) || !facts.isFile()) return undefined;
    if (facts.size <= SMALL_BYTES) return readNow(fd, byteRange(range, facts.size));
    const opened = openFile(fd, facts.size);
    fd = undefined;
    return opened;
  } catch (error) {
    return unlessMissing(error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The bytes of a small object, or undefined where it is not small, or cannot be read: whoever asks for it finds out. */
export function readSmall(file: string): Buffer | undefined {
  try {
    const opened = openOrRead(file, {});
    if (opened === undefined || Buffer.isBuffer(opened)) return opened;
    void opened.close().catch(() => undefined);
  } catch {}
  return undefined;
}

function readNow(fd: number, { start, end }: { start: number; end: number }): Buffer {
  const buffer = Buffer.allocUnsafe(Math.max(0, end - start));
  let filled = 0;
  while (filled < buffer.length) {
    const count = readSync(fd, buffer, filled, buffer.length - filled, start + filled);
    if (count === 0) break;
    filled += count;
  }
  return buffer.subarray(0, filled);
}

function openFile(fd: number, sizeBytes: number): OpenFile {
  return {
    sizeBytes,
    read: (buffer, position) =>
      new Promise((resolve, reject) => {
        read(fd, buffer, 0, buffer.length, position, (error, count) =>
          error ? reject(error) : resolve(count),
        );
      }),
    close: () =>
      new Promise((resolve, reject) => {
        close(fd, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

/**
 * False where a link led to what is open. Linux tells the place of an open file in one call; realpath takes ten, and
 * decides where there is no such answer or another one (a mount seen by two names).
 */
function isAt(fd: number, facts: Stats, file: string): boolean {
  try {
    if (readlinkSync(`/proc/self/fd/${fd}`) === file) return true;
  } catch {}
  const folder = dirname(file);
  if (realpathSync.native(folder) !== folder) return false;
  const there = lstatSync(file);
  return there.dev === facts.dev && there.ino === facts.ino;
}
