/**
 * Where the data of each entry of a custom archive begins. pg_dump writes that into its table of contents only
 * where it can seek; without it every worker of a parallel pg_restore reads the whole archive, and none knows
 * which table is the largest. Found while the archive is written to a file, it is patched in afterwards: nothing
 * else of the archive changes, and what this does not understand stays as it was.
 *
 * Format: src/bin/pg_dump/pg_backup_archiver.c (WriteHead, WriteToc) and pg_backup_custom.c of PostgreSQL 12 to 18.
 */
export interface OffsetScanner {
  push(chunk: Uint8Array): void;
  /** After the last chunk; empty where there is nothing to patch, or nothing that is understood. */
  patches(): readonly OffsetPatch[];
}

export interface OffsetPatch {
  readonly position: number;
  readonly bytes: Uint8Array;
}

const MAGIC = Buffer.from('PGDMP');
const CUSTOM_FORMAT = 1;
const [POSITION_UNKNOWN, POSITION_KNOWN] = [1, 2];
const [DATA_BLOCK, BLOBS_BLOCK] = [1, 3];
const INT_BYTES = 5;
const MAX_CONTENTS_BYTES = 64 * 1024 * 1024;

export function createOffsetScanner(): OffsetScanner {
  let head: Buffer | undefined = Buffer.alloc(0);
  let tryAt = 0;
  /** Position of the offset of each entry that has data, by its dump id. */
  let places: ReadonlyMap<number, number> | undefined;
  const patches: OffsetPatch[] = [];
  let walk: ((chunk: Uint8Array) => boolean) | undefined;
  let lost = false;
  return {
    push(chunk) {
      if (lost) return;
      if (head === undefined) {
        lost = !walk!(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < tryAt) return;
      const contents = readContents(head);
      if (contents === 'more' && head.length < MAX_CONTENTS_BYTES) {
        tryAt = head.length * 2;
        return;
      }
      if (typeof contents === 'string') {
        lost = true;
        return;
      }
      places = contents.places;
      walk = walkBlocks(contents.end, (id, position) => {
        const place = places!.get(id);
        if (place === undefined) return false;
        const bytes = Buffer.alloc(9);
        bytes[0] = POSITION_KNOWN;
        bytes.writeBigUInt64LE(BigInt(position), 1);
        patches.push({ position: place, bytes });
        return true;
      });
      const rest = head.subarray(contents.end);
      head = undefined;
      lost = !walk(rest);
    },
    // One that was not understood to its end may have been misunderstood before.
    patches: () => (lost || head !== undefined || !walk!(new Uint8Array(0)) ? [] : patches),
  };
}

/** The places of offsets in the table of contents, and where it ends. */
function readContents(bytes: Buffer): { places: Map<number, number>; end: number } | 'more' | 'unknown' {
  const more = Symbol('more');
  let at = 0;
  const byte = (): number => {
    if (at >= bytes.length) throw more;
    return bytes[at++]!;
  };
  const int = (): number => {
    const negative = byte() !== 0;
    if (at + 4 > bytes.length) throw more;
    at += 4;
    const value = bytes.readUInt32LE(at - 4);
    return negative ? -value : value;
  };
  const text = (): string | undefined => {
    const length = int();
    if (length < 0) return undefined;
    if (at + length > bytes.length) throw more;
    at += length;
    return bytes.toString('latin1', at - length, at);
  };
  const times = (count: number, read: () => unknown) => {
    for (let i = 0; i < count; i++) read();
  };
  try {
    for (const expected of MAGIC) if (byte() !== expected) return 'unknown';
    const version = byte() * 100 + byte();
    byte();
    const [intBytes, offsetBytes, format] = [byte(), byte(), byte()];
    if (version < 114 || version > 116 || intBytes !== 4 || offsetBytes !== 8 || format !== CUSTOM_FORMAT)
      return 'unknown';
    // How it is compressed: an algorithm, once a level.
    if (version >= 115) byte();
    else int();
    times(7, int);
    times(3, text);
    const places = new Map<number, number>();
    for (let left = int(); left > 0; left--) {
      const id = int();
      int();
      times(4, text);
      int();
      times(6, text);
      if (version >= 116) int();
      times(2, text);
      while (text() !== undefined);
      const place = at;
      const state = byte();
      times(8, byte);
      if (state === POSITION_UNKNOWN) places.set(id, place);
    }
    return { places, end: at };
  } catch (thrown) {
    if (thrown === more) return 'more';
    throw thrown;
  }
}

/**
 * Walks blocks of data as they come: their kind, the entry's id, then pieces with their length, up to one of 0.
 * Returns whether they are what they should be; with nothing more to come (an empty chunk) whether one had ended.
 */
function walkBlocks(
  start: number,
  found: (id: number, position: number) => boolean,
): (chunk: Uint8Array) => boolean {
  let position = start;
  let state: 'kind' | 'id' | 'piece' | 'object' = 'kind';
  let kind = 0;
  let begin = 0;
  /** Bytes of a piece that are still to come. */
  let skip = 0;
  let carry = Buffer.alloc(0);
  return (chunk) => {
    if (chunk.length === 0) return state === 'kind' && carry.length === 0;
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const passed = Math.min(skip, bytes.length);
    skip -= passed;
    position += passed;
    if (skip > 0) return true;
    bytes = bytes.subarray(passed);
    if (carry.length > 0) bytes = Buffer.concat([carry, bytes]);
    let at = 0;
    while (at < bytes.length) {
      if (state === 'kind') {
        kind = bytes[at]!;
        if (kind !== DATA_BLOCK && kind !== BLOBS_BLOCK) return false;
        begin = position + at;
        at++;
        state = 'id';
        continue;
      }
      if (state === 'piece') {
        // A piece is a row: this is where the time goes.
        const last = bytes.length - INT_BYTES;
        let length = 1;
        while (length !== 0 && at <= last) {
          if (bytes[at] !== 0) return false;
          length = bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 24);
          if (length < 0) return false;
          at += INT_BYTES + length;
        }
        if (length !== 0) break;
        state = kind === BLOBS_BLOCK ? 'object' : 'kind';
        continue;
      }
      if (at + INT_BYTES > bytes.length) break;
      if (bytes[at] !== 0) return false;
      const value = bytes.readUInt32LE(at + 1);
      at += INT_BYTES;
      if (state === 'id') {
        if (!found(value, begin)) return false;
        state = kind === BLOBS_BLOCK ? 'object' : 'piece';
      } else state = value === 0 ? 'kind' : 'piece';
    }
    skip = Math.max(0, at - bytes.length);
    const used = Math.min(at, bytes.length);
    carry = Buffer.from(bytes.subarray(used));
    position += used;
    return true;
  };
}
