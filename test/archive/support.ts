import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EntryRecord } from '../../src/archive/entry.ts';
import { createFanout } from '../../src/archive/fanout.ts';
import { CHUNKER, type ChunkerParameters, type CodecName } from '../../src/archive/format.ts';
import { type ArchiveOptions, createArchiveWriter } from '../../src/archive/writer.ts';
import type { Member, TreeItem } from '../../src/engines/member.ts';
import type { Warning } from '../../src/engines/types.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { ManifestDraft } from '../../src/manifest/types.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import type { Storage } from '../../src/storages/types.ts';

export const ID = 'full-2026-01-02T03-04-05Z-abcdefgh';

/** Pseudo-random bytes, the same everywhere; `alphabet` below 256 makes them compressible. */
export function noise(length: number, seed = 1, alphabet = 256): Buffer {
  const out = Buffer.alloc(length);
  let x = seed;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = (x >>> 24) % alphabet;
  }
  return out;
}

export function fileEntry(path: string, content: Buffer): TreeItem {
  const entry: EntryRecord = {
    path,
    kind: 'file',
    size: content.length,
    mtimeNs: 1_700_000_000_123_456_789n,
    ctimeNs: 1_700_000_000_123_456_789n,
    ino: 7n,
    dev: 1n,
    mode: 0o644,
    uid: 0,
    gid: 0,
  };
  return { entry, content };
}

export function treeMember(items: readonly TreeItem[]): Member {
  return {
    kind: 'tree',
    path: 'files.tar',
    media: 'application/x-tar',
    format: 'tar',
    async *entries() {
      for (let at = 0; at < items.length; at += 100) yield items.slice(at, at + 100);
    },
  };
}

export function streamMember(path: string, content: Buffer): Member {
  return {
    kind: 'stream',
    path,
    media: 'application/octet-stream',
    format: 'test',
    async *open() {
      yield content;
    },
    tables: async () => [
      { name: 'b', rows: 2 },
      { name: 'a', rows: 1 },
    ],
  };
}

/** Writes a whole backup of these members to a storage of its own. */
export async function writeBackup(
  members: Iterable<Member> | AsyncIterable<Member>,
  options: {
    codec?: CodecName;
    level?: number;
    partBytes?: number;
    chunker?: ChunkerParameters;
    storage?: Storage;
    id?: string;
    known?: ArchiveOptions['known'];
  } = {},
) {
  const id = options.id ?? ID;
  const storage = options.storage ?? memoryStorage();
  const folder = `job/source/${id}`;
  const signal = new AbortController().signal;
  const fanout = createFanout([{ name: 'memory', storage, folder }], {
    signal,
    stallMs: 10_000,
    onDrop: () => {},
  });
  const warnings: Warning[] = [];
  const writer = await createArchiveWriter({
    id,
    fanout,
    codec: options.codec ?? 'zstd',
    ...(options.level === undefined ? {} : { level: options.level }),
    ...(options.partBytes === undefined ? {} : { partBytes: options.partBytes }),
    chunker: options.chunker ?? CHUNKER,
    ...(options.known && { known: options.known }),
    tempDir: mkdtempSync(join(tmpdir(), 'dguard-test-')),
    signal,
    warn: (warning) => warnings.push(warning),
    onProgress: () => {},
  });
  for await (const member of members) await writer.addMember(member);
  const summary = await writer.finish([]);
  await writer.dispose();
  const draft: ManifestDraft = {
    ...madeAs(id),
    size_bytes: summary.sizeBytes,
    compressed_size_bytes: summary.compressedBytes,
    stored_size_bytes: summary.compressedBytes + summary.index.size,
    compression: { codec: options.codec ?? 'zstd' },
    chunker: { ...(options.chunker ?? CHUNKER) },
    artifacts: summary.artifacts as ManifestDraft['artifacts'],
    index: summary.index,
    destinations: ['memory'],
  };
  const { manifest, text } = sealManifest(draft);
  await fanout.put('manifest.json', Buffer.from(text));
  return { storage, folder, manifest, warnings };
}

/** What a manifest says of a backup that a test has made, but for what follows from its bytes. */
export function madeAs(id: string) {
  return {
    format: 1 as const,
    dguard_version: 'test',
    id,
    run_id: 'run',
    host: 'host',
    source_identity: 'test',
    job: 'job',
    datasource: { name: 'source', type: 'files' },
    tags: [],
    type: 'full' as const,
    status: 'completed' as const,
    references: [],
    created_at: '2026-01-02T03:04:05Z',
    started_at: '2026-01-02T03:04:05Z',
    finished_at: '2026-01-02T03:04:06Z',
    time_zone: 'UTC',
    duration_ms: 1000,
    facts: { consistency: 'none' as const },
    recover: [],
  };
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}
