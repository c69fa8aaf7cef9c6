import { DguardError } from '../../../errors.ts';
import { copyShared } from '../../../threads.ts';

/**
 * Bytes of an entry's data as a directory has them in a file, or, with `end`, that they are all. They are good until
 * the next piece is asked for.
 */
export interface DataPiece {
  readonly entry: number;
  readonly bytes: Uint8Array;
  readonly end: boolean;
}

const DATA_BLOCK = 1;
const INT_BYTES = 5;

/**
 * Takes data out of the blocks of a custom archive (pg_backup_custom.c: the kind, the entry's number, pieces
 * with their length, a piece of none), of tables alone. A chunk is copied before the next is asked for. Throws
 * `corrupt` for anything else, and for an end within a block.
 */
export async function* dataOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<DataPiece> {
  /** Undefined: between two blocks. */
  let entry: number | undefined;
  /** Bytes of a piece that are still to come. */
  let left = 0;
  /** What came of a head that the chunk before ended in. */
  const head = new Uint8Array(INT_BYTES + 1);
  let headBytes = 0;
  let room = Buffer.alloc(0);
  for await (const chunk of chunks) {
    // A piece is a row: what is done for each must make no garbage. So they move together in a copy of the chunk,
    // and the copies are made in the same memory.
    if (room.length < chunk.length) room = Buffer.allocUnsafeSlow(chunk.length);
    const bytes = copyShared(room, chunk);
    let filled = 0;
    let from = 0;
    let at = 0;
    while (at < bytes.length) {
      if (entry !== undefined && left === 0 && headBytes === 0) {
        const moved = moveWhole(bytes, at, filled);
        filled += moved.bytes;
        at += moved.bytes + INT_BYTES * moved.pieces;
        if (at === bytes.length) break;
      }
      if (left > 0) {
        const take = Math.min(left, bytes.length - at);
        bytes.copyWithin(filled, at, at + take);
        filled += take;
        at += take;
        left -= take;
        continue;
      }
      const wanted = entry === undefined ? INT_BYTES + 1 : INT_BYTES;
      let value: number;
      if (headBytes === 0 && at + wanted <= bytes.length) {
        value = readHead(bytes, at, wanted);
        at += wanted;
      } else {
        const take = Math.min(wanted - headBytes, bytes.length - at);
        head.set(bytes.subarray(at, at + take), headBytes);
        headBytes += take;
        at += take;
        if (headBytes < wanted) break;
        headBytes = 0;
        value = readHead(head, 0, wanted);
      }
      if (entry === undefined) entry = value;
      else if (value > 0) left = value;
      else {
        yield { entry, bytes: bytes.subarray(from, filled), end: true };
        from = filled;
        entry = undefined;
      }
    }
    if (entry !== undefined && filled > from)
      yield { entry, bytes: bytes.subarray(from, filled), end: false };
  }
  if (entry !== undefined || headBytes > 0) throw notOfTables();
}

/** Moves the pieces that lie whole at `from`, without their heads, to `to`. */
function moveWhole(bytes: Uint8Array, from: number, to: number): { pieces: number; bytes: number } {
  let at = from;
  let put = to;
  let pieces = 0;
  const last = bytes.length - INT_BYTES;
  while (at <= last && bytes[at] === 0) {
    const length = bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 24);
    if (length <= 0 || length > last - at) break;
    bytes.copyWithin(put, at + INT_BYTES, at + INT_BYTES + length);
    put += length;
    at += INT_BYTES + length;
    pieces++;
  }
  return { pieces, bytes: put - to };
}

/** A length, or, where a block begins, its kind and entry. */
function readHead(bytes: Uint8Array, at: number, length: number): number {
  const int = at + length - INT_BYTES;
  const isBlock = length > INT_BYTES;
  if (bytes[int] !== 0 || (isBlock && bytes[at] !== DATA_BLOCK)) throw notOfTables();
  return (bytes[int + 1]! | (bytes[int + 2]! << 8) | (bytes[int + 3]! << 16) | (bytes[int + 4]! << 24)) >>> 0;
}

function notOfTables(): DguardError {
  return new DguardError('corrupt', "the archive's data are not where they should be", {
    operation: 'read dump',
  });
}
