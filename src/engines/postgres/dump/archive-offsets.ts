import { type ContentsEntry, createHeadReader } from './archive-toc.ts';
import type { LineCounter } from './line-counter.ts';

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
  /**
   * How many rows the archive has of each table, by the table's oid: where that is certain, and lines were counted.
   * COPY writes a row as one line: a line feed in a value is written as `\\n`
   * (https://www.postgresql.org/docs/current/sql-copy.html, Text Format).
   */
  rows(): ReadonlyMap<string, number>;
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
const LINE_FEED = 0x0a;
/** What pg_dump writes behind the rows of a table (`dumpTableData_copy` in pg_dump.c). */
const END_OF_ROWS = Buffer.from('\\.\n\n\n');
const END_LINES = 3;

export function createOffsetScanner(countLines?: LineCounter): OffsetScanner {
  const readHead = createHeadReader();
  let sizeBytes = 0;
  let entries: ReadonlyMap<number, ContentsEntry> = new Map();
  const starts: { readonly entry: number; readonly start: number }[] = [];
  /** Of entries with rows; undefined where it is not certain how many. */
  const rows = new Map<string, number | undefined>();
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
      walk = walkBlocks(contents.end, {
        countLines,
        found(entry, start) {
          if (!entries.has(entry)) return false;
          starts.push({ entry, start });
          return true;
        },
        counted(lines) {
          const { kind, oid, copied } = entries.get(starts.at(-1)!.entry)!;
          if (kind !== 'TABLE DATA') return;
          rows.set(oid, copied && !rows.has(oid) ? lines : undefined);
        },
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
    rows() {
      if (!understood()) return new Map();
      return new Map([...rows].flatMap(([oid, count]) => (count === undefined ? [] : [[oid, count]])));
    },
  };
}

interface BlockWalk {
  readonly countLines: LineCounter | undefined;
  /** A block begins; returns whether it may be there. */
  found(id: number, position: number): boolean;
  /** A block of data ended: how many lines of rows were in it, or undefined where it does not end as rows do. */
  counted(lines: number | undefined): void;
}

/**
 * Walks blocks of data as they come: their kind, the entry's id, then pieces with their length, up to one of 0.
 * Returns whether they are what they should be; with nothing more to come (an empty chunk) whether one had ended.
 */
function walkBlocks(
  start: number,
  { countLines, found, counted }: BlockWalk,
): (chunk: Uint8Array) => boolean {
  let position = start;
  let state: 'kind' | 'id' | 'piece' | 'object' = 'kind';
  let kind = 0;
  let begin = 0;
  /** Bytes of a piece that are still to come. */
  let skip = 0;
  let carry = Buffer.alloc(0);
  /** Line feeds in the pieces of the block, as far as they were counted. */
  let lines = 0;
  /** What the last piece ended with, where that was before this chunk. */
  let tail = Buffer.alloc(0);
  return (chunk) => {
    if (chunk.length === 0) return state === 'kind' && carry.length === 0;
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const passed = Math.min(skip, bytes.length);
    skip -= passed;
    position += passed;
    if (countLines && passed > 0) {
      lines += countLines(bytes.subarray(0, passed));
      tail = Buffer.concat([tail, endOf(bytes, 0, passed)]).subarray(-END_OF_ROWS.length);
    }
    if (skip > 0) return true;
    bytes = bytes.subarray(passed);
    if (carry.length > 0) bytes = Buffer.concat([carry, bytes]);
    let at = 0;
    /** Up to here line feeds were counted. */
    let countedTo = 0;
    /** Of the last piece that begins in these bytes. */
    let pieceBytes = 0;
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
        while (at <= last) {
          if (bytes[at] !== 0) return false;
          const low = bytes[at + 1]!;
          const second = bytes[at + 2]!;
          const third = bytes[at + 3]!;
          const high = bytes[at + 4]!;
          length = low | (second << 8) | (third << 16) | (high << 24);
          if (length < 0) return false;
          at += INT_BYTES + length;
          if (length === 0) break;
          pieceBytes = length;
          // They are counted with what lies around them.
          if (low === LINE_FEED) lines--;
          if (second === LINE_FEED) lines--;
          if (third === LINE_FEED) lines--;
          if (high === LINE_FEED) lines--;
        }
        if (length !== 0) break;
        state = kind === BLOBS_BLOCK ? 'object' : 'kind';
        if (countLines && kind === DATA_BLOCK) {
          lines += countLines(bytes.subarray(countedTo, at));
          const end = at - INT_BYTES;
          const ending = pieceBytes > 0 ? endOf(bytes, end - pieceBytes, end) : tail;
          counted(END_OF_ROWS.equals(ending) ? lines - END_LINES : undefined);
        }
        continue;
      }
      if (at + INT_BYTES > bytes.length) break;
      if (bytes[at] !== 0) return false;
      const value = bytes.readUInt32LE(at + 1);
      at += INT_BYTES;
      if (state === 'id') {
        if (!found(value, begin)) return false;
        state = kind === BLOBS_BLOCK ? 'object' : 'piece';
        lines = 0;
        countedTo = at;
        pieceBytes = 0;
        tail = Buffer.alloc(0);
      } else state = value === 0 ? 'kind' : 'piece';
    }
    skip = Math.max(0, at - bytes.length);
    const used = Math.min(at, bytes.length);
    if (countLines && kind === DATA_BLOCK && state === 'piece') {
      lines += countLines(bytes.subarray(countedTo, used));
      if (pieceBytes > 0) tail = Buffer.from(endOf(bytes, at - pieceBytes, used));
    }
    carry = Buffer.from(bytes.subarray(used));
    position += used;
    return true;
  };
}

/** The last bytes of a piece that lies there, as many as tell whether rows end with it. */
function endOf(bytes: Buffer, start: number, end: number): Buffer {
  return bytes.subarray(Math.max(start, end - END_OF_ROWS.length), end);
}
