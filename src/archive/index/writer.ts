import { hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SourceRoot, TableFact } from '../../engines/types.ts';
import { DguardError } from '../../errors.ts';
import type { BlockLine } from '../blocks.ts';
import type { Codec } from '../codecs/types.ts';
import type { EntryRecord, Slice } from '../entry.ts';
import type { Fanout } from '../fanout.ts';
import { INDEX_NAME, MAX_LINE_BYTES, MAX_SLICES_PER_LINE } from '../format.ts';
import { compareEntryPaths, displayPath } from '../paths.ts';
import { createSection, type FramePlace, type StoreFrame } from './frames.ts';
import { blockLine, continuationHead, slicesText, streamHead, tableLine, treeHead } from './lines.ts';
import { rootHeaderText, rowText } from './rows.ts';

/** More of the index than this waits in a temporary file, not in memory. */
const SPOOL_BYTES = 16 * 1024 * 1024;

export interface IndexSummary {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  readonly root: { offset: number; stored: number; length: number; sha256: string };
  readonly frames: number;
  readonly entries: number;
  readonly blocks: number;
}

/**
 * Writes one backup's index: lines come in while the artifacts are written, frames are compressed and
 * spooled as they end, `finish` puts the object. `knownFrame` finds frames that the chain already holds.
 */
export function createIndexWriter(options: {
  readonly id: string;
  readonly origin: string;
  readonly codec: Codec;
  readonly tempDir: string;
  readonly knownFrame?: (sha256: string) => FramePlace | undefined;
}) {
  const spool = createSpool(options.tempDir);
  let size = 0;
  let frames = 0;
  let entries = 0;
  let blocks = 0;
  let pending = 0;
  let chain: Promise<void> = Promise.resolve();
  let failure: unknown;
  let previous: string | undefined;

  const store: StoreFrame = (raw, _, done) => put(raw, undefined, done);
  /** Only frames of entries may lie in an ancestor: what a backup stores itself is described by itself. */
  const storeEntries: StoreFrame = (raw, sha256, done) => put(raw, options.knownFrame?.(sha256), done);

  function put(raw: Buffer, known: FramePlace | undefined, done: (place: FramePlace) => void): void {
    const compressed = known ? undefined : options.codec.compress(raw);
    compressed?.catch(() => {});
    pending++;
    chain = chain.then(async () => {
      try {
        if (failure !== undefined) return;
        if (known) return done(known);
        const frame = await compressed!;
        await spool.append(frame);
        const place = { origin: options.origin, offset: size, stored: frame.length };
        size += frame.length;
        frames++;
        done(place);
      } catch (error) {
        failure ??= error;
      } finally {
        pending--;
      }
    });
  }

  const artifactLines = createSection('artifacts', store, rowText);
  const blockLines = createSection('blocks', store, rowText);
  const entryLines = createSection('entries', storeEntries, rowText);

  async function settled(): Promise<void> {
    while (pending > 0) await chain;
    if (failure !== undefined) throw failure;
  }

  /** A reader refuses an index that is out of order: an engine that makes one must fail, not publish it. */
  function inOrder(path: string): void {
    if (previous !== undefined && compareEntryPaths(previous, path) >= 0) {
      throw new DguardError('internal', 'the engine gave entries out of order, or a path twice', {
        operation: 'write index',
        subject: displayPath(path),
      });
    }
    previous = path;
  }

  function withSlices(head: string, path: string, bytes: number, slices: readonly Slice[]): void {
    inOrder(path);
    entries++;
    if (slices.length <= 1) {
      // Nearly every entry: nothing but what the line needs.
      const [slice] = slices;
      const text = head + (slice === undefined ? '}' : slicesText(slices));
      const origins = slice === undefined ? [] : [slice.origin];
      entryLines.add(text, { key: path, every: 64, first: path, bytes, origins });
      return;
    }
    const chunks: Slice[][] = [];
    for (let at = 0; at < slices.length; at += MAX_SLICES_PER_LINE) {
      chunks.push(slices.slice(at, at + MAX_SLICES_PER_LINE));
    }
    const origins = (list: readonly Slice[]) => [...new Set(list.map((slice) => slice.origin))];
    const first = chunks.shift() ?? [];
    entryLines.add(head + (first.length > 0 ? slicesText(first) : '}'), {
      key: path,
      every: 64,
      first: path,
      bytes,
      origins: origins(first),
    });
    let from = first.reduce((sum, slice) => sum + slice.length, 0);
    for (const chunk of chunks) {
      const [start] = chunk as [Slice];
      entryLines.add(continuationHead(path, from) + slicesText(chunk), {
        key: `${start.origin}:${start.artifact}:${start.block}:${start.offset}`,
        every: 2,
        first: path,
        bytes: 0,
        origins: origins(chunk),
      });
      from += chunk.reduce((sum, slice) => sum + slice.length, 0);
    }
  }

  return {
    block(artifact: number, number: number, line: BlockLine): void {
      blocks++;
      blockLines.add(blockLine(line), {
        key: `${artifact}:${number}`,
        every: 128,
        artifact,
        block: number,
        bytes: 0,
        origins: [],
      });
    },
    /** Ends the frame of block lines: a frame holds lines of one artifact. */
    endArtifact: () => blockLines.endFrame(),
    /** False where the entry has too much about it for one line (attributes): it is not written. */
    tree(entry: EntryRecord, slices: readonly Slice[]): boolean {
      const head = treeHead(entry);
      if (head.length > MAX_LINE_BYTES - 20_000) return false;
      withSlices(head, entry.path, entry.size, slices);
      return true;
    },
    /** An entry whose head was made before (`treeHead`), and is not too long. */
    treeHead(head: string, path: string, size: number, slices: readonly Slice[]): void {
      withSlices(head, path, size, slices);
    },
    stream(
      entry: { path: string; size: number; media: string; format: string },
      slices: readonly Slice[],
    ): void {
      withSlices(streamHead(entry), entry.path, entry.size, slices);
    },
    table(member: string, table: TableFact, path: string): void {
      inOrder(path);
      entries++;
      const text = tableLine({
        path,
        member,
        table: table.name,
        ...(table.rows === undefined ? {} : { rows: table.rows }),
      });
      entryLines.add(text, { key: path, every: 64, first: path, bytes: 0, origins: [] });
    },
    artifact(text: string, number: number): void {
      artifactLines.add(text, { key: String(number), every: 64, bytes: 0, origins: [] });
    },
    /** True when the caller should `await settled()` before more lines: this bounds memory. */
    get busy() {
      return pending > 16;
    },
    settled,
    /** Puts the index object, root last. */
    async finish(fanout: Fanout, sources: readonly SourceRoot[]): Promise<IndexSummary> {
      const rows = [
        ...(await artifactLines.finish(settled)),
        ...(await blockLines.finish(settled)),
        ...(await entryLines.finish(settled)),
      ];
      const header = rootHeaderText({ index: 1, id: options.id, entries, blocks, sources });
      const raw = Buffer.from(`${[header, ...rows.map(rowText)].join('\n')}\n`);
      const frame = await options.codec.compress(raw);
      await spool.append(frame);
      const root = {
        offset: size,
        stored: frame.length,
        length: raw.length,
        sha256: hash('sha256', raw, 'hex'),
      };
      size += frame.length;
      const object = fanout.open(INDEX_NAME, size);
      for await (const chunk of spool.read()) await object.write(chunk);
      const { sha256 } = await object.close();
      return { name: INDEX_NAME, size, sha256, root, frames: frames + 1, entries, blocks };
    },
    dispose: () => spool.dispose(),
  };
}

export type IndexWriter = ReturnType<typeof createIndexWriter>;

/** Bytes that are written once and read once: in memory first, then in a file of ours. */
function createSpool(tempDir: string) {
  let chunks: Uint8Array[] = [];
  let held = 0;
  let file: FileHandle | undefined;
  let path: string | undefined;
  let inFile = 0;

  return {
    async append(chunk: Uint8Array): Promise<void> {
      chunks.push(chunk);
      held += chunk.length;
      if (held <= SPOOL_BYTES) return;
      if (!file) {
        path = join(tempDir, 'index.spool');
        file = await open(path, 'wx+', 0o600);
      }
      const bytes = Buffer.concat(chunks);
      await file.appendFile(bytes);
      inFile += bytes.length;
      chunks = [];
      held = 0;
    },
    async *read(): AsyncGenerator<Uint8Array> {
      for (let at = 0; file && at < inFile; ) {
        const buffer = Buffer.allocUnsafe(Math.min(1024 * 1024, inFile - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) throw new Error('the spooled index ends early');
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
      yield* chunks;
    },
    async dispose(): Promise<void> {
      await file?.close();
      file = undefined;
      if (path) await rm(path, { force: true });
    },
  };
}
