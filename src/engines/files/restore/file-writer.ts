import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { TAKES_NO_MORE } from '../../../direct-io.ts';
import { fsPath } from '../../fs-paths.ts';
import type { Metadata } from '../system/metadata.ts';
import { corrupt } from './corrupt.ts';
import type { TreeEntry } from './entry-check.ts';
import type { WriteBehind } from './write-behind.ts';

/** Pages of zeros are left as holes in a file that was sparse. */
const HOLE_BYTES = 4096;
const ZEROS = Buffer.alloc(HOLE_BYTES);
/** Never an existing file, never through a link. */
const WRITE_FLAGS = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY;

/** From this size on a file is written beside this thread. */
const LARGE_BYTES = 1024 * 1024;

/** One regular file being restored: exactly its bytes in their order, then its metadata. */
export interface FileWriter {
  readonly entry: TreeEntry;
  write(position: number, bytes: Uint8Array): void;
  /** Checks that all bytes came; what is still being written keeps the file open until it gets its metadata. */
  finish(): void;
  /** Closes what is left open. */
  abandon(): void;
}

export function openFileWriter(
  path: string,
  entry: TreeEntry,
  metadata: Metadata,
  behind: WriteBehind,
): FileWriter {
  const fd = openSync(fsPath(path), WRITE_FLAGS, 0o600);
  const sparse = entry.sparse === true;
  const large = !sparse && entry.size >= LARGE_BYTES ? behind.open(fd) : undefined;
  let written = 0;
  let open = true;

  const close = (whole: boolean) => {
    try {
      if (!whole) return;
      if (sparse) ftruncateSync(fd, entry.size);
      metadata.applyToOpen(fd, entry);
    } finally {
      closeSync(fd);
    }
  };
  const end = (whole: boolean) => {
    if (!open) return;
    open = false;
    if (large === undefined) close(whole);
    else large.end((written) => close(whole && written));
  };
  return {
    entry,
    write(position, bytes) {
      if (position !== written || written + bytes.length > entry.size) {
        throw corrupt(entry.path, 'its content is not as long as its entry says');
      }
      if (sparse) writeSparse(fd, position, bytes);
      else if (large !== undefined) large.write(bytes);
      else writeAll(fd, bytes, 0, bytes.length, position);
      written += bytes.length;
    },
    finish() {
      end(written === entry.size);
      if (written !== entry.size) throw corrupt(entry.path, 'its content ends early');
    },
    abandon: () => end(false),
  };
}

function writeSparse(fd: number, position: number, bytes: Uint8Array): void {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let from = 0;
  let at = 0;
  while (at < view.length) {
    // Pages of the file, wherever the chunk begins in it: its first and last piece may be shorter.
    const end = Math.min(at + HOLE_BYTES - ((position + at) % HOLE_BYTES), view.length);
    if (view.compare(ZEROS, 0, end - at, at, end) === 0) {
      if (from < at) writeAll(fd, view, from, at, position + from);
      from = end;
    }
    at = end;
  }
  if (from < view.length) writeAll(fd, view, from, view.length, position + from);
}

function writeAll(fd: number, bytes: Uint8Array, from: number, to: number, position: number): void {
  for (let at = from; at < to; ) {
    const count = writeSync(fd, bytes, at, to - at, position + at - from);
    if (count === 0) throw new Error(TAKES_NO_MORE);
    at += count;
  }
}
