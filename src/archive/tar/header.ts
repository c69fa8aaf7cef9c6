import type { EntryRecord } from '../entry.ts';
import { extendedHeader } from './pax.ts';
import { BLOCK_BYTES, fitsUstar, headerFields, writeUstar } from './ustar.ts';

/**
 * The tar header of an entry: ustar (POSIX.1-1988) where the entry fits, preceded by a pax extended header
 * (POSIX.1-2001) where it does not. Content and `tarPadding(size)` follow a file's. A socket has no tar
 * form: the buffer is empty, the entry lives in the index alone.
 */
export function tarHeader(entry: EntryRecord): Buffer {
  const fields = headerFields(entry);
  if (fields === undefined) return EMPTY;
  if (!fitsUstar(fields)) return extendedHeader(fields);
  const header = Buffer.allocUnsafe(BLOCK_BYTES);
  writeUstar(fields, header, 0);
  return header;
}

/** Writes the header of an entry where it is the one block of ustar; false: it is not, and nothing was written. */
export function writeTarHeader(entry: EntryRecord, into: Uint8Array, at: number): boolean {
  const fields = headerFields(entry);
  if (fields === undefined || !fitsUstar(fields)) return false;
  writeUstar(fields, into, at);
  return true;
}

/** The zero bytes that fill content up to a whole tar block. Shared: not to be written to. */
export function tarPadding(sizeBytes: number): Buffer {
  const over = sizeBytes % BLOCK_BYTES;
  return over === 0 ? EMPTY : ZEROS.subarray(0, BLOCK_BYTES - over);
}

/** What ends a tar: two blocks of zeros. Shared: not to be written to. */
export function tarEnd(): Buffer {
  return ZEROS;
}

const EMPTY = Buffer.alloc(0);
const ZEROS = Buffer.alloc(2 * BLOCK_BYTES);
