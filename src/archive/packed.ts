import type { ContentEntry, EntryRecord, TreeItem } from '../engines/types.ts';
import { parseEntryLine, treeHead } from './index/lines.ts';
import { tarHeader, tarPadding } from './tar.ts';

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
  /** One head a line (`treeHead`). */
  readonly heads: string;
  /** Paths as byte strings, each followed by a NUL. */
  readonly paths: string;
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

/** Packs entries one by one into a buffer of the caller's. */
export function createPacker(tar: Uint8Array) {
  const heads: string[] = [];
  const places: number[] = [];
  let paths = '';
  let files = 0;
  let at = 0;
  return {
    get count() {
      return heads.length;
    },
    get usedBytes() {
      return at;
    },
    /** False where the entry does not fit, or cannot be packed: nothing was added. */
    add(entry: EntryRecord, content: Uint8Array | undefined): boolean {
      const head = treeHead(entry);
      if (head.length > MAX_HEAD_BYTES) return false;
      const header = tarHeader(entry);
      const length = content?.length ?? 0;
      const padding = tarPadding(length);
      if (at + header.length + length + padding.length > tar.length) return false;
      heads.push(head);
      if (entry.kind !== 'directory') files++;
      paths += `${entry.path}\0`;
      tar.set(header, at);
      at += header.length;
      places.push(at, length, entry.size);
      if (content !== undefined) tar.set(content, at);
      at += length;
      tar.set(padding, at);
      at += padding.length;
      return true;
    },
    run: (): PackedRun => ({
      count: heads.length,
      files,
      tar: tar.subarray(0, at),
      heads: heads.join('\n'),
      paths,
      places: Float64Array.from(places),
    }),
  };
}

export type Packer = ReturnType<typeof createPacker>;

function* unpack({ count, tar, heads, places }: PackedRun): Generator<TreeItem> {
  const lines = heads.split('\n');
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
