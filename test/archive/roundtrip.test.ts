import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/archive/codecs/types.ts';
import { decodeBlocks } from '../../src/archive/decode.ts';
import type { ContentEntry } from '../../src/archive/entry.ts';
import type { CodecName } from '../../src/archive/format.ts';
import { openContent } from '../../src/archive/reader.ts';
import { DguardError } from '../../src/errors.ts';
import { readRange } from '../../src/storages/read.ts';
import { collect, fileEntry, noise, streamMember, treeMember, writeBackup } from './support.ts';

const CODECS: readonly CodecName[] = ['zstd', 'gzip', 'lz4', 'brotli', 'deflate', 'none'];
const NO_ANCESTOR = async () => undefined;

async function entriesOf(content: { entries(): AsyncIterable<ContentEntry> }): Promise<ContentEntry[]> {
  const all: ContentEntry[] = [];
  for await (const entry of content.entries()) all.push(entry);
  return all;
}

describe('a backup written and read again', () => {
  it.each(CODECS)('%s: streams and trees come back byte for byte, their tables too', async (codec) => {
    const big = noise(9_000_000, 3, 40);
    const files = Array.from({ length: 500 }, (_, i) =>
      fileEntry(`d${String(i).padStart(4, '0')}`, noise(i * 37, i + 1, 60)),
    );
    files.push(fileEntry('e-large', noise(5_000_000, 9, 90)));
    const backup = await writeBackup([streamMember('database.db', big), treeMember([])].slice(0, 1), {
      codec,
    });
    const content = await openContent(backup, NO_ANCESTOR);
    const entries = await entriesOf(content);
    expect(entries.map((e) => e.path)).toEqual(['database.db', 'database.db/a', 'database.db/b']);
    expect((await collect(content.read(entries[0]!))).equals(big)).toBe(true);

    const tree = await writeBackup([treeMember(files)], { codec });
    const treeContent = await openContent(tree, NO_ANCESTOR);
    const got = new Map<string, Buffer[]>();
    for await (const chunk of treeContent.readAll(treeContent.entries())) {
      got.set(chunk.entry.path, [...(got.get(chunk.entry.path) ?? []), Buffer.from(chunk.bytes)]);
    }
    for (const { entry, content: expected } of files) {
      expect(Buffer.concat(got.get(entry.path) ?? []).equals(expected as Buffer), entry.path).toBe(true);
    }
  });

  it.each(['zstd', 'gzip', 'lz4'] as const)(
    '%s: parts joined by cat are what the ordinary tool reads',
    async (codec) => {
      const big = noise(6_000_000, 3, 40);
      const { storage, folder, manifest } = await writeBackup([streamMember('x.bin', big)], {
        codec,
        partBytes: 1_000_000,
      });
      const [artifact] = manifest.artifacts as { name: string; parts: { number: number; size: number }[] }[];
      expect(artifact!.parts.length).toBeGreaterThan(2);
      const parts: Buffer[] = [];
      for (const part of artifact!.parts) {
        const key = `${folder}/${artifact!.name}.${String(part.number).padStart(3, '0')}`;
        parts.push(await readRange(storage, key, 0, part.size));
      }
      const output = execFileSync(codec, ['-d', '-c'], { input: Buffer.concat(parts), maxBuffer: 1e8 });
      expect(output.equals(big)).toBe(true);
      const content = await openContent({ storage, folder, manifest }, NO_ANCESTOR);
      expect((await collect(content.read((await content.entry('x.bin'))!))).equals(big)).toBe(true);
    },
  );

  it('the artifact of a tree is a tar that tar reads', async () => {
    const files = [fileEntry('a', Buffer.from('alpha')), fileEntry('b', noise(2_000_000))];
    const { storage, folder, manifest } = await writeBackup([treeMember(files)], { codec: 'none' });
    const [artifact] = manifest.artifacts as { name: string; stored_size: number }[];
    const tar = await readRange(storage, `${folder}/${artifact!.name}`, 0, artifact!.stored_size);
    expect(execFileSync('tar', ['-xOf', '-', 'a'], { input: tar, maxBuffer: 1e8 }).toString()).toBe('alpha');
    expect(
      execFileSync('tar', ['-xOf', '-', 'b'], { input: tar, maxBuffer: 1e8 }).equals(noise(2_000_000)),
    ).toBe(true);
  });

  it('an index of many levels finds every entry, in order', async () => {
    const files = Array.from({ length: 30_000 }, (_, i) =>
      fileEntry(`f${String(i).padStart(6, '0')}`, Buffer.from(`${i}`)),
    );
    const backup = await writeBackup([treeMember(files)]);
    const content = await openContent(backup, NO_ANCESTOR);
    const entries = await entriesOf(content);
    expect(entries.length).toBe(30_000);
    expect(entries.map((e) => e.path)).toEqual(files.map((f) => f.entry.path));
    expect(backup.manifest.index!.frames).toBeGreaterThan(100);
  });

  it('more than fifty objects are listed in the index, not in the manifest', async () => {
    const members = Array.from({ length: 60 }, (_, i) =>
      streamMember(`t${String(i).padStart(3, '0')}.jsonl`, noise(100, i + 1)),
    );
    const backup = await writeBackup(members);
    expect(Array.isArray(backup.manifest.artifacts)).toBe(false);
    const content = await openContent(backup, NO_ANCESTOR);
    expect((await collect(content.read((await content.entry('t059.jsonl'))!))).equals(noise(100, 60))).toBe(
      true,
    );
  });
});

describe('what a reader would refuse is never written', () => {
  it('an engine whose members are out of order fails instead of publishing', async () => {
    const members = [treeMember([fileEntry('z', noise(10))]), streamMember('a.dump', noise(10))];
    await expect(writeBackup(members)).rejects.toThrow('out of order');
  });
});

it('a decompressor that could not work at all is no damage', async () => {
  const backup = await writeBackup([streamMember('x.bin', noise(1_000_000))]);
  const { chain } = await openContent(backup, NO_ANCESTOR);
  const place = await chain.place(chain.own, 0, 0);
  const failing = (error: Error) => {
    const codec: Codec = { ...place.link.codec, decompress: () => Promise.reject(error) };
    const needs = (async function* () {
      yield { place: { ...place, link: { ...place.link, codec } }, uses: [null] };
    })();
    return decodeBlocks(needs).next();
  };
  await expect(failing(new Error('no frame'))).rejects.toMatchObject({ code: 'corrupt' });
  const noThread = new DguardError('internal', 'no thread');
  await expect(failing(noThread)).rejects.toBe(noThread);
});

it('members that are read one after the other share the memory that blocks are read into', async () => {
  const members = Array.from({ length: 40 }, (_, i) => streamMember(`t${100 + i}`, noise(1000, i + 1)));
  const content = await openContent(
    await writeBackup(members.map((one) => ({ ...one, tables: async () => [] }))),
    NO_ANCESTOR,
  );
  const entries = await entriesOf(content);
  const Shared = globalThis.SharedArrayBuffer;
  let made = 0;
  globalThis.SharedArrayBuffer = class extends Shared {
    constructor(bytes: number) {
      super(bytes);
      if (bytes > 1024 * 1024) made++;
    }
  } as typeof Shared;
  try {
    for (const [i, entry] of entries.entries())
      expect((await collect(content.read(entry))).equals(noise(1000, i + 1))).toBe(true);
  } finally {
    globalThis.SharedArrayBuffer = Shared;
  }
  expect(made).toBeLessThanOrEqual(1);
});
