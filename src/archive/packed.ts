import type { TreeItem } from '../engines/member.ts';
import type { ContentEntry, EntryRecord } from './entry.ts';
import { treeHead } from './index/lines.ts';
import { parseEntryLine } from './index/parse-lines.ts';
import { tarHeader, writeTarHeader } from './tar/header.ts';
import { BLOCK_BYTES } from './tar/ustar.ts';

/**
 * A run of small entries as they go into the archive: their piece of the tar, and the heads of their index
 * lines. Made where the files are read (a thread of its own), so that the writer has little left to do.
 * It is also what it stands for, the items themselves.
 */
export interface PackedItems extends Iterable<TreeItem> {
  readonly packed: PackedRun;
}

export interface PackedRun {
  readonly count: number;
  /** Those that are no folders. */
  readonly files: number;
  /** Headers, contents and padding, one after the other. */
  readonly tar: Uint8Array;
  /** One head a line (`treeHead`), UTF-8. Bytes, because long-lived strings made of pieces are garbage that is moved. */
  readonly heads: Uint8Array;
  /** The paths, each followed by a NUL. */
  readonly paths: Uint8Array;
  /** For each entry: where its content begins in `tar`, its length, its size. */
  readonly places: Float64Array;
}

export const PLACE_FIELDS = 3;

/** A head that is longer leaves no room for slices: such an entry cannot be packed. */
const MAX_HEAD_BYTES = 32 * 1024;

export function packedItems(run: PackedRun): PackedItems {
  return { packed: run, [Symbol.iterator]: () => unpack(run) };
}

export function isPacked(batch: Iterable<TreeItem>): batch is PackedItems {
  return 'packed' in batch;
}

/** Where a packer puts what it packs. */
export interface PackerRoom {
  readonly tar: Uint8Array;
  readonly heads: Uint8Array;
  readonly paths: Uint8Array;
}

/** Room where a file's content may be read to. */
export interface ContentRoom {
  readonly bytes: Buffer;
  /** Where it begins; it runs to the end of `bytes`. */
  readonly at: number;
}

/** Packs entries one by one into buffers of the caller's. */
export function createPacker(room: PackerRoom) {
  const tar = bufferOf(room.tar);
  const heads = bufferOf(room.heads);
  const paths = bufferOf(room.paths);
  const places: number[] = [];
  let count = 0;
  let files = 0;
  let at = 0;
  let headsEnd = 0;
  let pathsEnd = 0;

  /** `content` may lie in `tar` itself. */
  function place(content: Uint8Array, start: number): void {
    if (content.buffer === tar.buffer && content.byteOffset === tar.byteOffset + start) return;
    tar.set(content, start);
  }

  return {
    get count() {
      return count;
    },
    get usedBytes() {
      return at;
    },
    /** Where the next entry's content goes behind a common header: what lies there already is not copied. */
    contentRoom: (): ContentRoom => ({ bytes: tar, at: at + BLOCK_BYTES }),
    /** False where the entry does not fit, or cannot be packed: nothing was added. */
    add(entry: EntryRecord, content: Uint8Array | undefined): boolean {
      const { path } = entry;
      const head = treeHead(entry);
      // A character is at most three bytes of UTF-8.
      if (head.length > MAX_HEAD_BYTES || headsEnd + 3 * head.length + 1 > heads.length) return false;
      if (pathsEnd + path.length + 1 > paths.length) return false;
      const length = content?.length ?? 0;
      const padded = Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;
      let start = at + BLOCK_BYTES;
      if (start + padded > tar.length) return false;
      if (!writeTarHeader(entry, tar, at)) {
        const header = tarHeader(entry);
        start = at + header.length;
        if (start + padded > tar.length) return false;
        // Before the header: it may be written over content that lies where a common one would end.
        if (content !== undefined) place(content, start);
        header.copy(tar, at);
      } else if (content !== undefined) place(content, start);
      count++;
      if (entry.kind !== 'directory') files++;
      headsEnd += heads.write(head, headsEnd, 'utf8');
      heads[headsEnd++] = NEWLINE;
      pathsEnd += paths.write(path, pathsEnd, 'latin1');
      paths[pathsEnd++] = 0;
      places.push(start, length, entry.size);
      at = start + padded;
      if (padded > length) tar.fill(0, start + length, at);
      return true;
    },
    run: (): PackedRun => ({
      count,
      files,
      tar: tar.subarray(0, at),
      heads: heads.subarray(0, headsEnd),
      paths: paths.subarray(0, pathsEnd),
      places: Float64Array.from(places),
    }),
  };
}

const NEWLINE = 0x0a;

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The heads of a run as texts, and its paths as byte strings. */
export function packedTexts({ heads, paths }: PackedRun): { heads: string[]; paths: string[] } {
  return {
    heads: bufferOf(heads).toString('utf8').split('\n'),
    paths: bufferOf(paths).toString('latin1').split('\0'),
  };
}

export type Packer = ReturnType<typeof createPacker>;

function* unpack(run: PackedRun): Generator<TreeItem> {
  const { count, tar, places } = run;
  const { heads: lines } = packedTexts(run);
  for (let i = 0; i < count; i++) {
    const parsed = parseEntryLine(`${lines[i]}}`, 'a packed entry');
    const { type: _, slices: __, ...entry } = (parsed as { entry: ContentEntry & { type: 'tree' } }).entry;
    if (entry.kind !== 'file') yield { entry };
    else {
      const start = places[i * PLACE_FIELDS]!;
      yield { entry, content: tar.subarray(start, start + places[i * PLACE_FIELDS + 1]!) };
    }
  }
}
