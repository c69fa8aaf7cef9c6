import type { Member } from '../engines/member.ts';
import type { SourceRoot, Warning } from '../engines/types.ts';
import { throwIfAborted, toDguardError } from '../errors.ts';
import type { ManifestArtifact } from '../manifest/types.ts';
import { originOf } from '../plan/naming.ts';
import { createArtifactOutput, type StoredArtifact } from './artifact-output.ts';
import { type ArtifactTotals, type BlockRef, createBlockPipeline, type Seal } from './blocks.ts';
import { createCodec } from './codecs/registry.ts';
import type { Fanout } from './fanout.ts';
import {
  artifactName,
  CHUNKER,
  type ChunkerParameters,
  type CodecName,
  MAX_LISTED_OBJECTS,
  SUMS_NAME,
} from './format.ts';
import { collectLessOften } from './heap.ts';
import { tableEntries } from './index/tables.ts';
import { createIndexWriter, type IndexSummary } from './index/writer.ts';
import { type MemberSink, writeStream, writeTree } from './members.ts';
import { artifactLines, artifactsSummary, checksumLines } from './objects.ts';
import { createPendingEntries } from './pending.ts';

/** Index lines are so alike that level 3 takes three times as long, to write and to read, and 7 % more room. */
const INDEX_LEVEL = 1;

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

/** Writes members as artifacts, then the index and SHA256SUMS. Leases and the manifest are the caller's. */
export async function createArchiveWriter(options: ArchiveOptions) {
  collectLessOften(100);
  const origin = originOf(options.id);
  const codec = await createCodec(options.codec, options.level);
  const indexCodec = await createCodec('zstd', INDEX_LEVEL);
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
    const name = artifactName(member.path, options.codec, names);
    names.add(name);
    const output = createArtifactOutput(options.fanout, name, options.partBytes);
    const number = artifacts.length;
    const pending = createPendingEntries();
    pipeline.begin({
      artifact: number,
      write: (bytes, released) => {
        storedBytes += bytes.length;
        return output.write(bytes, released);
      },
      onBlock: pending.onBlock,
      onStored: (line, block) => index.block(number, block, line),
    });
    const sink: MemberSink = { pipeline, index, pending, warn: options.warn, onFiles, breathe };
    try {
      if (member.kind === 'tree') await writeTree(member, sink);
      else await writeStream(member, sink);
      const totals = await pipeline.end();
      pending.end();
      index.endArtifact();
      const stored = await output.close();
      sizeBytes += totals.size;
      artifacts.push(artifactOf(name, member, totals, stored));
      if (member.kind === 'stream' && member.tables) {
        for (const { path, fact } of tableEntries(member.path, await member.tables())) {
          index.table(member.path, fact, path);
        }
      }
    } catch (thrown) {
      const reason = toDguardError(thrown, 'source_failed', { operation: 'backup' });
      await output.abort(reason);
      await pipeline.quiesce();
      throw reason;
    }
  }

  function onFiles(count: number): void {
    filesDone += count;
  }

  async function breathe(): Promise<void> {
    throwIfAborted(options.signal);
    options.onProgress(sizeBytes + pipeline.position, storedBytes, filesDone);
    if (pipeline.full) await pipeline.drain();
    if (index.busy) await index.settled();
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

/** An artifact as the manifest names it. */
function artifactOf(
  name: string,
  member: Member,
  totals: ArtifactTotals,
  stored: StoredArtifact,
): ManifestArtifact {
  const parts = stored.parts?.map(({ size, sha256 }, i) => ({ number: i + 1, size, sha256 }));
  return {
    name,
    member: Buffer.from(member.path, 'latin1').toString('utf8'),
    media: member.media,
    format: member.format,
    size: totals.size,
    blocks: totals.blocks,
    digest: totals.digest,
    stored_size: stored.size,
    sha256: stored.sha256,
    ...(parts && { parts }),
  };
}
