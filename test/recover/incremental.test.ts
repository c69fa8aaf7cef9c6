import { hash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createArtifactOutput } from '../../src/archive/artifact-output.ts';
import type { BlockLine } from '../../src/archive/blocks.ts';
import { createCodec } from '../../src/archive/codecs/registry.ts';
import type { ContentEntry, Slice } from '../../src/archive/entry.ts';
import { createFanout } from '../../src/archive/fanout.ts';
import { type CodecName, SUMS_NAME } from '../../src/archive/format.ts';
import type { FrameRow } from '../../src/archive/index/frames.ts';
import { createIndexWriter } from '../../src/archive/index/writer.ts';
import type { StoredBackup } from '../../src/archive/objects.ts';
import { checksumLines } from '../../src/archive/objects.ts';
import { openContent } from '../../src/archive/reader.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { ManifestDraft } from '../../src/manifest/types.ts';
import { originOf } from '../../src/plan/naming.ts';
import { collect, fileEntry, ID, noise, streamMember, treeMember } from '../archive/support.ts';
import { MTIME_NS, readTree, recover, tempFolder, writeFolder } from './support.ts';

const NEXT_ID = 'incremental-2026-01-03T03-04-05Z-bcdefgh2';

let temp: string;
beforeEach(() => {
  temp = tempFolder();
});
afterEach(() => {
  rmSync(temp, { recursive: true, force: true });
});

describe('an incremental written by hand from the pieces of the format', () => {
  it.each([
    ['zstd', 'zstd', undefined],
    ['gzip', 'brotli', 50_000],
    ['none', 'lz4', 300_000],
  ] as const)(
    'of %s and %s blocks (parts of %s) is restored by recover.py and by dguard',
    async (firstCodec, codec, partBytes) => {
      const { first, next, files, ownFrames, sharedFrames } = await writeChain(firstCodec, codec, partBytes);
      expect(sharedFrames).toBeGreaterThan(0);
      expect(ownFrames).toBeGreaterThan(0);

      const content = await openContent(next, async (id) => (id === ID ? first : undefined));
      const read = new Map<string, Buffer>();
      for await (const { entry, bytes } of content.readAll(content.entries())) {
        // A chunk is valid until the next one is asked for.
        read.set(entry.path, Buffer.concat([read.get(entry.path) ?? Buffer.alloc(0), bytes]));
      }
      expectSame(read, files);

      const target = join(temp, 'target');
      expect(recover(next.path, target, [first.path])).toMatchObject({ status: 0 });
      expectSame(readTree(target), files);
    },
  );

  it('is refused without the backup that it refers to, by name', async () => {
    const { next } = await writeChain('zstd', 'zstd', undefined);
    const { status, stderr } = recover(next.path, join(temp, 'target'));
    expect(status).toBe(4);
    expect(stderr).toContain(ID);
    const opened = openContent(next, async () => undefined);
    await expect(opened.then((content) => collect(content.read(anyFile())))).rejects.toThrow(ID);
  });

  it('is refused where the ancestor of that id has another root', async () => {
    const { next } = await writeChain('zstd', 'zstd', undefined);
    const other = await writeFolder(join(temp, 'other'), [treeMember([fileEntry('x', noise(10))])]);
    expect(other.manifest.id).toBe(ID);
    const { status, stderr } = recover(next.path, join(temp, 'target'), [other.path]);
    expect(status).toBe(4);
    expect(stderr).toMatch(/its root is not the one that is referred to/);
    const opened = openContent(next, async () => other);
    await expect(opened.then((content) => collect(content.read(anyFile())))).rejects.toThrow(/root/);
  });

  it('names what a damaged block of the ancestor takes with it, and restores the rest', async () => {
    const { first, next, files } = await writeChain('none', 'zstd', undefined);
    const object = join(first.path, 'files.tar');
    const bytes = readFileSync(object);
    const at = bytes.indexOf(files.get('g-large')!.subarray(0, 64)) + 10;
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(object, bytes);
    const target = join(temp, 'target');
    const { status, stderr } = recover(next.path, target, [first.path]);
    expect(status).toBe(4);
    expect(stderr).toMatch(/'g-large' is not restored/);
    files.delete('g-large');
    expectSame(readTree(target), files);
  });
});

function anyFile(): ContentEntry {
  const slices: Slice[] = [{ origin: originOf(ID), artifact: 0, block: 0, offset: 0, length: 1 }];
  return { type: 'stream', kind: 'stream', path: 'x', size: 1, media: 'x', format: 'x', slices };
}

function expectSame(found: ReadonlyMap<string, Buffer>, files: ReadonlyMap<string, Buffer>): void {
  expect([...found.keys()].sort()).toEqual([...files.keys()].sort());
  for (const [path, content] of files) expect(found.get(path)!.equals(content), path).toBe(true);
}

/**
 * A full backup, and one that refers to it: one small file changed, one large file of 600 slices (so that
 * continuation lines and both origins' blocks take part), one file gone, all other frames the full's own.
 */
async function writeChain(firstCodec: CodecName, codec: CodecName, partBytes: number | undefined) {
  const files = new Map<string, Buffer>();
  for (let i = 0; i < 900; i++) files.set(`f${String(i).padStart(4, '0')}`, noise(500 + i, i + 1, 50));
  files.set('g-large', noise(3_000_000, 77, 70));
  files.set('h-gone', noise(10_000, 78));
  const items = [...files].map(([path, content]) => fileEntry(path, content));
  const stream = noise(2_500_000, 79, 80);
  const first = await writeFolder(temp, [treeMember(items), streamMember('s.dump', stream)], {
    codec: firstCodec,
    ...(partBytes === undefined ? {} : { partBytes }),
  });
  files.set('s.dump', stream);

  const content = await openContent(first, async () => undefined);
  const own = await content.chain.link(content.chain.own);
  const frames = new Map<string, FrameRow>();
  for await (const { row } of content.chain.walk(own, 'entries')) frames.set(row.sha256, row);

  const folder = `job/source/${NEXT_ID}`;
  const signal = new AbortController().signal;
  const { storage } = first;
  const fanout = createFanout([{ name: 'local', storage, folder }], {
    signal,
    stallMs: 10_000,
    onDrop: () => {},
  });
  let sharedFrames = 0;
  const index = createIndexWriter({
    id: NEXT_ID,
    origin: originOf(NEXT_ID),
    codec: await createCodec('zstd', 3),
    tempDir: mkdtempSync(join(temp, 'spool-')),
    knownFrame(sha256) {
      const row = frames.get(sha256);
      if (row) sharedFrames++;
      return row;
    },
  });
  const blocks = [noise(70_000, 90, 60), noise(1, 91), noise(400_000, 92, 60)];
  const name = 'files.delta.zst';
  const output = createArtifactOutput(fanout, name, partBytes);
  const compressor = await createCodec(codec);
  const lines: BlockLine[] = [];
  let offset = 0;
  for (const block of blocks) {
    const frame = await compressor.compress(block);
    await output.write(frame);
    lines.push({ offset, stored: frame.length, length: block.length, name: hash('sha256', block, 'hex') });
    offset += frame.length;
  }
  for (const [number, line] of lines.entries()) index.block(0, number, line);
  index.endArtifact();
  const stored = await output.close();

  for await (const entry of content.entries()) {
    if (entry.path === 'h-gone') {
      files.delete('h-gone');
    } else if (entry.path === 'f0450' && entry.type === 'tree') {
      // All of the first new block and what follows of the two behind it.
      const slices = [slice(NEXT_ID, 0, 5, 70_000 - 5 + 1 + 1234)];
      const changed = Buffer.concat(blocks).subarray(5, 70_001 + 1234);
      files.set(entry.path, changed);
      index.tree({ ...entry, size: changed.length, mtimeNs: MTIME_NS + 1n }, slices);
    } else if (entry.path === 'g-large' && entry.type === 'tree') {
      const large = mixed(entry.slices, files.get('g-large')!, blocks[2]!);
      files.set(entry.path, large.bytes);
      index.tree({ ...entry, size: large.bytes.length }, large.slices);
    } else if (entry.type === 'tree') {
      index.tree(entry, entry.slices);
    } else if (entry.type === 'stream') {
      index.stream(entry, entry.slices);
    } else {
      const { member, table, path, rows } = entry;
      index.table(member, { name: table, ...(rows === undefined ? {} : { rows }) }, path);
    }
  }
  const summary = await index.finish(fanout, []);
  await index.dispose();
  const artifacts = [
    {
      name,
      member: 'files.tar',
      media: 'application/x-tar',
      format: 'tar',
      size: [...files.values()].reduce((sum, { length }) => sum + length, 0),
      blocks: blocks.length,
      digest: hash('sha256', Buffer.from(lines.map((line) => line.name).join(''), 'hex'), 'hex'),
      stored_size: stored.size,
      sha256: stored.sha256,
      ...(stored.parts
        ? { parts: stored.parts.map(({ size, sha256 }, i) => ({ number: i + 1, size, sha256 })) }
        : {}),
    },
  ];
  await fanout.put(SUMS_NAME, Buffer.from(checksumLines(artifacts, summary)));
  const { integrity: _, ...rest } = first.manifest;
  const draft: ManifestDraft = {
    ...rest,
    id: NEXT_ID,
    type: 'incremental',
    parent_backup_id: ID,
    base_backup_id: ID,
    references: [{ id: ID, root_sha256: first.manifest.index!.root.sha256 }],
    compression: { codec },
    artifacts,
    index: summary,
  };
  const { manifest, text } = sealManifest(draft);
  await fanout.put('manifest.json', Buffer.from(text));
  const next: StoredBackup & { path: string } = { storage, folder, manifest, path: join(temp, folder) };
  return { first, next, files, sharedFrames, ownFrames: summary.frames };
}

/** 600 slices that take turns between the old content and a block of the new backup. */
function mixed(old: readonly Slice[], before: Buffer, added: Buffer): { bytes: Buffer; slices: Slice[] } {
  const [whole] = old as [Slice];
  const pieces: Buffer[] = [];
  const slices: Slice[] = [];
  for (let i = 0; i < 300; i++) {
    pieces.push(before.subarray(0, 100 + i), added.subarray(i, i + 200));
    slices.push({ ...whole, length: 100 + i }, slice(NEXT_ID, 2, i, 200));
  }
  // The last one runs on over all blocks of the old file.
  pieces.push(before);
  slices.push(whole);
  return { bytes: Buffer.concat(pieces), slices };
}

function slice(id: string, block: number, offset: number, length: number): Slice {
  return { origin: originOf(id), artifact: 0, block, offset, length };
}
