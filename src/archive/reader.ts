import { setImmediate } from 'node:timers/promises';
import type { BackupContent, ContentChunk, DumpFacts } from '../engines/types.ts';
import { copyShared } from '../threads.ts';
import type { BlockPlace, Chain } from './chain.ts';
import { createChain } from './chain.ts';
import { createCodec } from './codecs/registry.ts';
import { decodeBlocks, type Need } from './decode.ts';
import type { ContentEntry, Slice } from './entry.ts';
import { corrupt, INDEX_NAME } from './format.ts';
import { parseEntryLine } from './index/parse-lines.ts';
import type { StoredBackup } from './objects.ts';
import { compareEntryPaths } from './paths.ts';
import { createSelection } from './select.ts';

/** From so many bytes, as stored, on. */
const MUCH_BYTES = 16 * 1024 * 1024;
/** Between two turns of the event loop. */
const LINES_AT_ONCE = 256;

/** A run of an entry's bytes within one block. */
interface Use {
  readonly entry: ContentEntry;
  readonly position: number;
  readonly from: number;
  readonly length: number;
  readonly last: boolean;
}

/** A backup's content, and the chain that it lies in. */
export type OpenContent = BackupContent & { readonly chain: Chain };

/** A backup is about to be read whole: where that is much work, what decodes it starts while the rest gets ready. */
export async function startAhead({ manifest }: StoredBackup): Promise<void> {
  if ((manifest.stored_size_bytes ?? 0) < MUCH_BYTES) return;
  (await createCodec(manifest.compression.codec)).startAhead?.();
}

/**
 * Opens a backup's content for reading. Every byte that comes out was proven: manifest → root → frames →
 * block lines → blocks. Errors: `corrupt` naming the object.
 */
export async function openContent(
  backup: StoredBackup,
  resolve: (id: string) => Promise<StoredBackup | undefined>,
  signal?: AbortSignal,
): Promise<OpenContent> {
  const { manifest } = backup;
  const chain = createChain(backup, resolve, signal);
  const own = await chain.link(chain.own);
  const subject = `${backup.folder}/${INDEX_NAME}`;

  /** All entries in order; or those from somewhere before `sought` on, of which what is in the index before is not looked at. */
  async function* lines(sought?: string): AsyncGenerator<ContentEntry> {
    let current: ContentEntry | undefined;
    let slices: readonly Slice[] = [];
    let previous: string | undefined;
    let held = 0;
    let read = 0;
    let count = 0;
    let total = 0;
    /** Many files that share one block would fill a disk out of a backup of a few bytes. */
    const counted = (...of: Parameters<typeof checked>): ContentEntry => {
      const entry = checked(...of);
      if (entry.type !== 'table') total += entry.size;
      if (total > manifest.size_bytes) throw corrupt(subject, 'its entries are larger than the whole backup');
      return entry;
    };
    const frames = sought === undefined ? chain.walkFrames(own, 'entries') : chain.seekFrames(own, sought);
    for await (const frame of frames) {
      for (const line of frame.lines) {
        // Others of this thread (blocks to hand out, Ctrl-C) wait no longer than these lines take.
        if (++read % LINES_AT_ONCE === 0) await setImmediate();
        const parsed = parseEntryLine(line, subject);
        if ('continues' in parsed) {
          if (!current && sought !== undefined) continue; // what it continues is before
          if (!current || current.type === 'table' || current.path !== parsed.continues) {
            throw corrupt(subject, 'an index line continues nothing');
          }
          if (held !== parsed.from) throw corrupt(subject, 'an index line continues elsewhere');
          if (slices === current.slices) slices = [...slices];
          (slices as Slice[]).push(...parsed.slices);
          held += sliceBytes(parsed.slices);
          if (held > current.size) throw corrupt(subject, 'an entry has more content than its size');
          continue;
        }
        if (current) yield counted(current, slices, held);
        current = parsed.entry;
        if (previous !== undefined && compareEntryPaths(previous, current.path) >= 0) {
          throw corrupt(subject, 'the index is not in order, or names a path twice');
        }
        previous = current.path;
        slices = current.type === 'table' ? [] : current.slices;
        held = sliceBytes(slices);
        count++;
      }
    }
    if (current) yield counted(current, slices, held);
    if (sought === undefined && count !== own.header.entries)
      throw corrupt(subject, 'the index has not as many entries as it says');
  }

  function checked(entry: ContentEntry, slices: readonly Slice[], held: number): ContentEntry {
    if (entry.type === 'table') return entry;
    const expected = entry.type === 'stream' || entry.kind === 'file' ? entry.size : 0;
    if (held !== expected) throw corrupt(subject, 'an entry has not the length of its slices');
    return slices === entry.slices ? entry : { ...entry, slices };
  }

  function entries({ only }: { only?: readonly string[] } = {}): AsyncGenerator<ContentEntry> {
    return only?.length ? selectedEntries(only) : lines();
  }

  /** Folders above a match come out too, so they wait until something beneath them matched. */
  async function* selectedEntries(only: readonly string[]): AsyncGenerator<ContentEntry> {
    const selected = await createSelection(only);
    let above: ContentEntry[] = [];
    for await (const entry of lines()) {
      above = above.filter((folder) => isBelow(entry.path, folder.path));
      if (selected(entry)) {
        yield* above;
        above = [];
        yield entry;
      } else if (entry.kind === 'directory') above.push(entry);
    }
  }

  async function* needs(
    wanted: AsyncIterable<ContentEntry> | Iterable<ContentEntry>,
  ): AsyncGenerator<Need<Use>> {
    let place: BlockPlace | undefined;
    let at: { origin: string; artifact: number; block: number } | undefined;
    let uses: Use[] = [];
    for await (const entry of wanted) {
      if (entry.type === 'table') continue;
      let position = 0;
      for (const slice of entry.slices) {
        let { block, offset, length } = slice;
        while (length > 0) {
          const same = at?.origin === slice.origin && at.artifact === slice.artifact && at.block === block;
          if (!same || uses.length >= 4096) {
            if (place && uses.length > 0) yield { place, uses };
            uses = [];
            place = same ? place : await chain.place(slice.origin, slice.artifact, block);
            at = { origin: slice.origin, artifact: slice.artifact, block };
          }
          const take = Math.min(length, place!.length - offset);
          if (take <= 0) throw corrupt(subject, 'a slice begins behind the end of its block');
          uses.push({ entry, position, from: offset, length: take, last: position + take === entry.size });
          position += take;
          length -= take;
          offset = 0;
          block++;
        }
      }
    }
    if (place && uses.length > 0) yield { place, uses };
  }

  async function parts(entry: ContentEntry, cuts: readonly number[]): Promise<ContentEntry[]> {
    if (entry.type === 'table') throw new TypeError('a table has no bytes');
    const found: ContentEntry[] = [];
    let slices: Slice[] = [];
    let start = 0;
    let position = 0;
    const end = () => {
      found.push({ ...entry, size: position - start, slices });
      slices = [];
      start = position;
    };
    for (const slice of entry.slices) {
      let { block, offset, length } = slice;
      while (length > 0) {
        while (cuts[found.length] === position) end();
        const room = (cuts[found.length] ?? Number.POSITIVE_INFINITY) - position;
        let take = length;
        let next = { block, offset };
        if (room < length) {
          // Where in this run of blocks the cut is, only their lengths tell.
          take = 0;
          next = { block, offset };
          while (take < room) {
            const { length: blockLength } = await chain.place(slice.origin, slice.artifact, next.block);
            const left = blockLength - next.offset;
            if (left <= 0) throw corrupt(subject, 'a slice begins behind the end of its block');
            if (take + left > room) next = { block: next.block, offset: next.offset + room - take };
            else next = { block: next.block + 1, offset: 0 };
            take = Math.min(take + left, room);
          }
        }
        slices.push({ ...slice, block, offset, length: take });
        position += take;
        length -= take;
        ({ block, offset } = next);
      }
    }
    while (found.length <= cuts.length) end();
    return found;
  }

  async function* readAll(
    wanted: AsyncIterable<ContentEntry> | Iterable<ContentEntry>,
  ): AsyncGenerator<ContentChunk> {
    for await (const { need, bytes } of decodeBlocks(needs(wanted), signal)) {
      for (const { entry, position, from, length, last } of need.uses) {
        yield { entry, position, bytes: bytes.subarray(from, from + length), last };
      }
    }
  }

  return {
    chain,
    facts: (manifest.facts ?? { consistency: 'none' }) as DumpFacts,
    ...(manifest.database === undefined ? {} : { database: manifest.database }),
    ...(manifest.patterns ? { patterns: manifest.patterns } : {}),
    // A suspect backup is restored only where a person chose or accepted it: it is as whole as it says.
    whole: (manifest.status === 'completed' || manifest.status === 'suspect') && !manifest.patterns,
    sources: own.header.sources,
    entries,
    async entry(path) {
      for await (const entry of lines(path)) {
        const order = compareEntryPaths(entry.path, path);
        if (order >= 0) return order === 0 ? entry : undefined;
      }
      return undefined;
    },
    parts,
    async *read(entry) {
      // As memory of their own: who reads a database's dump may keep pieces of it.
      for await (const chunk of readAll([entry]))
        yield copyShared(Buffer.allocUnsafeSlow(chunk.bytes.length), chunk.bytes);
    },
    readAll,
  };
}

function sliceBytes(slices: readonly Slice[]): number {
  let bytes = 0;
  for (const slice of slices) bytes += slice.length;
  return bytes;
}

function isBelow(path: string, folder: string): boolean {
  return folder === '' || path.startsWith(`${folder}/`);
}
