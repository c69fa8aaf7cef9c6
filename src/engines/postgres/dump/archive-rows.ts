import { DguardError } from '../../../errors.ts';

/** Bytes of an entry's data as a directory has them in a file, or, with `end`, that they are all. */
export interface DataPiece {
  readonly entry: number;
  readonly bytes: Uint8Array;
  readonly end: boolean;
}

const DATA_BLOCK = 1;
const INT_BYTES = 5;

/**
 * Takes data out of the blocks of a custom archive (pg_backup_custom.c: the kind, the entry's number, pieces
 * with their length, a piece of none), of tables alone. Throws `corrupt` for anything else, and for an end
 * within a block.
 */
export async function* dataOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<DataPiece> {
  /** Undefined: between two blocks. */
  let entry: number | undefined;
  /** Bytes of a piece that are still to come. */
  let left = 0;
  /** What came of a head that the chunk before ended in. */
  const head = Buffer.alloc(INT_BYTES + 1);
  let headBytes = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const data = Buffer.allocUnsafeSlow(bytes.length);
    let filled = 0;
    let from = 0;
    let at = 0;
    while (at < bytes.length) {
      if (left > 0) {
        const take = Math.min(left, bytes.length - at);
        filled += bytes.copy(data, filled, at, at + take);
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
        bytes.copy(head, headBytes, at, at + take);
        headBytes += take;
        at += take;
        if (headBytes < wanted) break;
        headBytes = 0;
        value = readHead(head, 0, wanted);
      }
      if (entry === undefined) entry = value;
      else if (value > 0) left = value;
      else {
        yield { entry, bytes: data.subarray(from, filled), end: true };
        from = filled;
        entry = undefined;
      }
    }
    if (entry !== undefined && filled > from) yield { entry, bytes: data.subarray(from, filled), end: false };
  }
  if (entry !== undefined || headBytes > 0) throw notOfTables();
}

/** A length, or, where a block begins, its kind and entry. */
function readHead(bytes: Buffer, at: number, length: number): number {
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
