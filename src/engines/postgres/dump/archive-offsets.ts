import { type ContentsEntry, createHeadReader } from './archive-toc.ts';

/**
 * Where the data of each entry of a custom archive lies. pg_dump writes that into its table of contents only
 * where it can seek. Found while the archive passes by; what this does not understand has no blocks.
 */
export interface OffsetScanner {
  push(chunk: Uint8Array): void;
  /** After the last chunk, in their order: they fill the archive from its head to its end. */
  blocks(): readonly DataBlock[];
  /**
   * What makes the archive one that pg_dump could seek in, once it lies in a file: without it every worker of
   * a parallel pg_restore reads all of it, and none knows which table is the largest.
   */
  patches(): readonly OffsetPatch[];
}

/** The data of one entry, as it lies in the archive: a head, pieces, an end. */
export interface DataBlock {
  readonly entry: number;
  readonly start: number;
  readonly end: number;
}

export interface OffsetPatch {
  readonly position: number;
  readonly bytes: Uint8Array;
}

const POSITION_KNOWN = 2;
const [DATA_BLOCK, BLOBS_BLOCK] = [1, 3];
const INT_BYTES = 5;

export function createOffsetScanner(): OffsetScanner {
  const readHead = createHeadReader();
  let sizeBytes = 0;
  let entries: ReadonlyMap<number, ContentsEntry> = new Map();
  const starts: { readonly entry: number; readonly start: number }[] = [];
  let walk: ((chunk: Uint8Array) => boolean) | undefined;
  let lost = false;
  // One that was not understood to its end may have been misunderstood before.
  const understood = () => !lost && walk !== undefined && walk(new Uint8Array(0));
  return {
    push(chunk) {
      sizeBytes += chunk.length;
      if (lost) return;
      if (walk !== undefined) {
        lost = !walk(chunk);
        return;
      }
      const head = readHead(chunk);
      if (head === undefined) return;
      if (head === 'unknown') {
        lost = true;
        return;
      }
      const { bytes, contents } = head;
      entries = new Map(
        contents.entries.flatMap((entry) => (entry.data === 'somewhere' ? [[entry.id, entry]] : [])),
      );
      walk = walkBlocks(contents.end, (entry, start) => {
        if (!entries.has(entry)) return false;
        starts.push({ entry, start });
        return true;
      });
      lost = !walk(bytes.subarray(contents.end));
    },
    blocks() {
      if (!understood()) return [];
      return starts.map((block, index) => ({ ...block, end: starts[index + 1]?.start ?? sizeBytes }));
    },
    patches() {
      if (!understood()) return [];
      return starts.map(({ entry, start }) => {
        const bytes = Buffer.alloc(9);
        bytes[0] = POSITION_KNOWN;
        bytes.writeBigUInt64LE(BigInt(start), 1);
        return { position: entries.get(entry)!.place, bytes };
      });
    },
  };
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
