import type { Member, StreamMember, TreeMember } from '../engines/member.ts';
import type { SourceRoot, Warning } from '../engines/types.ts';
import { DguardError, throwIfAborted, toDguardError } from '../errors.ts';
import type { ManifestArtifact } from '../manifest/types.ts';
import { type BlockRef, createBlockPipeline, type Seal } from './blocks.ts';
import { createCodec } from './codecs/registry.ts';
import type { EntryRecord, Slice } from './entry.ts';
import { createArtifactOutput, type Fanout } from './fanout.ts';
import {
  artifactName,
  CHUNKER,
  type ChunkerParameters,
  type CodecName,
  LARGE_FILE_BYTES,
  MAX_LISTED_OBJECTS,
  originOf,
  SUMS_NAME,
} from './format.ts';
import { collectLessOften } from './heap.ts';
import { createIndexWriter, type IndexSummary } from './index/writer.ts';
import { artifactLines, artifactsSummary, checksumLines } from './objects.ts';
import { isPacked, type PackedRun, PLACE_FIELDS, packedTexts } from './packed.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';

export interface ArchiveOptions {
  readonly id: string;
  readonly fanout: Fanout;
  readonly codec: CodecName;
  readonly level?: number;
  readonly partBytes?: number;
  readonly chunker?: ChunkerParameters;
  readonly tempDir: string;
  readonly signal: AbortSignal;
  readonly warn: (warning: Warning) => void;
  readonly onProgress: (bytesDone: number, bytesStored: number, filesDone: number) => void;
  /** "Is this block known?" A full backup knows none. */
  readonly known?: (name: string, length: number) => BlockRef | undefined;
  readonly seal?: Seal;
}

export interface ArchiveSummary {
  readonly artifacts: readonly ManifestArtifact[] | ReturnType<typeof artifactsSummary>;
  readonly index: IndexSummary;
  /** Bytes of all members. */
  readonly sizeBytes: number;
  /** Bytes of all artifacts as stored. */
  readonly compressedBytes: number;
  readonly level: number | undefined;
}

/** Between two looks at whether the pipeline is full: no more than one block is cut in so many bytes. */
const WRITE_BYTES = 256 * 1024;

/** Something whose content was written but whose line waits until its blocks are cut. */
interface Pending {
  readonly start: number;
  end: number;
  readonly slices: OpenSlice[];
  /** True until all is known about it. */
  held: boolean;
  write: (slices: readonly Slice[]) => void;
}

/** Writes members as artifacts, then the index and SHA256SUMS. Leases and the manifest are the caller's. */
export async function createArchiveWriter(options: ArchiveOptions) {
  collectLessOften(100);
  const origin = originOf(options.id);
  const codec = await createCodec(options.codec, options.level);
  const indexCodec = await createCodec('zstd', 3);
  const chunker = options.chunker ?? CHUNKER;
  const index = createIndexWriter({ id: options.id, origin, codec: indexCodec, tempDir: options.tempDir });
  const pipeline = createBlockPipeline({
    origin,
    codec,
    chunker,
    seal: options.seal ?? ((frame) => frame),
    ...(options.known && { known: options.known }),
  });
  const artifacts: ManifestArtifact[] = [];
  const names = new Set<string>();
  let sizeBytes = 0;
  let storedBytes = 0;
  let filesDone = 0;

  async function addMember(member: Member): Promise<void> {
    const number = artifacts.length;
    const name = artifactName(member.path, options.codec, names);
    names.add(name);
    const output = createArtifactOutput(options.fanout, name, options.partBytes);
    const pending: Pending[] = [];
    let head = 0;

    function flush(): void {
      while (head < pending.length) {
        const item = pending[head]!;
        if (item.held || item.end > cutTo) break;
        item.write(item.slices);
        head++;
      }
      if (head > 1024 && head * 2 > pending.length) {
        pending.splice(0, head);
        head = 0;
      }
    }
    let cutTo = 0;
    pipeline.begin({
      artifact: number,
      write: (bytes, released) => {
        storedBytes += bytes.length;
        return output.write(bytes, released);
      },
      onBlock(ref, start, length) {
        cutTo = start + length;
        for (let i = head; i < pending.length; i++) {
          const item = pending[i]!;
          if (item.start >= cutTo) break;
          const from = Math.max(item.start, start);
          const to = Math.min(item.end, cutTo);
          if (from < to) addSlice(item.slices, ref, from - start, to - from, length);
        }
        flush();
      },
      onStored: (line, block) => index.block(number, block, line),
    });

    const push = (item: Pending) => {
      pending.push(item);
      flush();
    };
    try {
      if (member.kind === 'tree') await writeTree(member, push, flush);
      else await writeStream(member, push, flush);
      const totals = await pipeline.end();
      flush();
      if (head < pending.length) throw new DguardError('internal', 'an entry was left without its blocks');
      index.endArtifact();
      const stored = await output.close();
      sizeBytes += totals.size;
      artifacts.push({
        name,
        member: Buffer.from(member.path, 'latin1').toString('utf8'),
        media: member.media,
        format: member.format,
        size: totals.size,
        blocks: totals.blocks,
        digest: totals.digest,
        stored_size: stored.size,
        sha256: stored.sha256,
        ...(stored.parts
          ? {
              parts: stored.parts.map((part, i) => ({ number: i + 1, size: part.size, sha256: part.sha256 })),
            }
          : {}),
      });
      if (member.kind === 'stream' && member.tables) {
        for (const table of sortedTables(member.path, await member.tables())) {
          index.table(member.path, table.fact, table.path);
        }
      }
    } catch (thrown) {
      const reason = toDguardError(thrown, 'source_failed', { operation: 'backup' });
      await output.abort(reason);
      await pipeline.quiesce();
      throw reason;
    }
  }

  async function breathe(): Promise<void> {
    throwIfAborted(options.signal);
    options.onProgress(sizeBytes + pipeline.position, storedBytes, filesDone);
    if (pipeline.full) await pipeline.drain();
    if (index.busy) await index.settled();
  }

  async function writeStream(
    member: StreamMember,
    push: (item: Pending) => void,
    flush: () => void,
  ): Promise<void> {
    const item: Pending = {
      start: 0,
      end: Number.MAX_SAFE_INTEGER,
      slices: [],
      held: true,
      write: () => {},
    };
    push(item);
    for await (const chunk of member.open()) {
      for (let at = 0; at < chunk.length; at += WRITE_BYTES) {
        pipeline.write(chunk.subarray(at, at + WRITE_BYTES));
        await breathe();
      }
    }
    pipeline.cut();
    const { path, media, format } = member;
    const size = pipeline.position;
    item.write = (slices) => index.stream({ path, size, media, format }, slices);
    item.end = size;
    item.held = false;
    filesDone++;
    flush();
  }

  async function writeTree(
    member: TreeMember,
    push: (item: Pending) => void,
    flush: () => void,
  ): Promise<void> {
    for await (const batch of member.entries()) {
      if (isPacked(batch)) {
        await writePacked(batch.packed, push);
        continue;
      }
      for (const { entry, content } of batch) {
        pipeline.write(tarHeader(entry));
        const start = pipeline.position;
        const item: Pending = {
          start,
          end: start + (content ? entry.size : 0),
          slices: [],
          held: true,
          write: (slices) => writeEntry(entry, slices),
        };
        push(item);
        if (content instanceof Uint8Array) {
          if (content.length !== entry.size)
            throw new DguardError('internal', 'content of another length than its entry');
          if (content.length >= LARGE_FILE_BYTES) pipeline.cut();
          pipeline.write(content);
          if (content.length >= LARGE_FILE_BYTES) pipeline.cut();
        } else if (content) {
          pipeline.cut();
          try {
            for (;;) {
              const read = content.read(pipeline.space());
              if (read === 0) break;
              pipeline.advance(read);
              await breathe();
            }
          } finally {
            if (content.finish().unsure) entry.unsure = true;
          }
          pipeline.cut();
        }
        if (pipeline.position !== item.end)
          throw new DguardError('internal', 'content of another length than its entry');
        item.held = false;
        flush();
        if (entry.size > 0) pipeline.write(tarPadding(content ? entry.size : 0));
        filesDone++;
        if (pipeline.full) await breathe();
      }
      await breathe();
    }
    pipeline.write(tarEnd());
  }

  async function writePacked(run: PackedRun, push: (item: Pending) => void): Promise<void> {
    const base = pipeline.position;
    const { heads, paths } = packedTexts(run);
    for (let i = 0; i < run.count; i++) {
      const start = base + run.places[i * PLACE_FIELDS]!;
      const end = start + run.places[i * PLACE_FIELDS + 1]!;
      const size = run.places[i * PLACE_FIELDS + 2]!;
      const write = (slices: readonly Slice[]) => index.treeHead(heads[i]!, paths[i]!, size, slices);
      push({ start, end, slices: [], held: false, write });
    }
    for (let at = 0; at < run.tar.length; at += WRITE_BYTES) {
      pipeline.write(run.tar.subarray(at, at + WRITE_BYTES));
      await breathe();
    }
    filesDone += run.count;
  }

  function writeEntry(entry: EntryRecord, slices: readonly Slice[]): void {
    if (index.tree(entry, slices)) return;
    const { xattrs: _, ...rest } = entry;
    options.warn({
      message: 'its extended attributes are too large to be recorded',
      subject: entry.path,
      partial: true,
    });
    index.tree(rest, slices);
  }

  return {
    addMember,
    async finish(sources: readonly SourceRoot[]): Promise<ArchiveSummary> {
      const objects = artifacts.reduce((sum, artifact) => sum + (artifact.parts?.length ?? 1), 0);
      const lines = artifactLines(artifacts);
      const listed = objects <= MAX_LISTED_OBJECTS;
      if (!listed) for (const [i, line] of lines.entries()) index.artifact(line, i);
      const summary = await index.finish(options.fanout, sources);
      const sums = checksumLines([...artifacts], summary);
      await options.fanout.put(SUMS_NAME, Buffer.from(sums));
      return {
        artifacts: listed ? artifacts : artifactsSummary(artifacts, lines),
        index: summary,
        sizeBytes,
        compressedBytes: storedBytes,
        level: codec.level,
      };
    },
    dispose: () => index.dispose(),
  };
}

/** A slice that may grow while its blocks are cut. */
interface OpenSlice extends Slice {
  length: number;
  /** Blocks that it runs over. */
  blocks: number;
  /** It ends with the end of its last block, so that it may run on into the next. */
  full: boolean;
}

function addSlice(
  slices: OpenSlice[],
  ref: BlockRef,
  offset: number,
  length: number,
  blockLength: number,
): void {
  const { origin, artifact, block } = ref;
  const full = offset + length === blockLength;
  const last = slices.length > 0 ? slices[slices.length - 1] : undefined;
  if (
    last?.full &&
    offset === 0 &&
    last.block + last.blocks === block &&
    last.artifact === artifact &&
    last.origin === origin
  ) {
    last.length += length;
    last.blocks += 1;
    last.full = full;
    return;
  }
  slices.push({ origin, artifact, block, offset, length, blocks: 1, full });
}

/** Tables of a member as entries beneath it, in the order of entries. */
function sortedTables(member: string, tables: readonly { name: string; rows?: number }[]) {
  return tables
    .map((fact) => {
      const encoded = fact.name.replace(/[/%\x00-\x1f\x7f]/g, (c) => encodeURIComponent(c));
      return { path: `${member}/${Buffer.from(encoded, 'utf8').toString('latin1')}`, fact };
    })
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    .map(({ path, fact }) => ({
      path,
      fact: { ...fact, name: Buffer.from(fact.name, 'utf8').toString('latin1') },
    }));
}
