import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChunkerParameters, CodecName } from '../../src/archive/format.ts';
import { compareEntryPaths } from '../../src/archive/paths.ts';
import { openContent } from '../../src/archive/reader.ts';
import type { Member } from '../../src/engines/member.ts';
import { DguardError } from '../../src/errors.ts';
import { parseManifest } from '../../src/manifest/parse.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { putBytes } from '../../src/storages/write.ts';
import { entryLine, forge, hostileId, sliceOf } from '../hostile/forge.ts';
import { fileEntry, noise, streamMember, treeMember, writeBackup } from './support.ts';

/** A failure prints its seed: DGUARD_TEST_SEED=… repeats it. */
const SEED = process.env['DGUARD_TEST_SEED'];
const settings = (numRuns: number) => ({ numRuns, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
const MINUTES = { timeout: 300_000 };

/** Small blocks, so that a few kilobytes have every border that there is. */
const CHUNKER: ChunkerParameters = { algorithm: 'gear', version: 1, min: 512, avg: 2048, max: 8192 };
const BORDERS = [0, 1, 31, 32, 33, 511, 512, 513, 2048, 8191, 8192, 8193, 16_384, 20_000];
const LARGE = [2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1];

const LEVELS: Readonly<Record<CodecName, readonly (number | undefined)[]>> = {
  zstd: [undefined, 1, 3, 9],
  gzip: [undefined, 1, 9],
  deflate: [undefined, 1, 9],
  brotli: [undefined, 0, 5],
  lz4: [undefined],
  none: [undefined],
};

const content = fc
  .record({
    length: fc.oneof(
      { weight: 40, arbitrary: fc.constantFrom(...BORDERS) },
      { weight: 20, arbitrary: fc.nat(30_000) },
      { weight: 1, arbitrary: fc.constantFrom(...LARGE) },
    ),
    seed: fc.nat(1000),
    alphabet: fc.constantFrom(1, 2, 30, 256),
  })
  .map(({ length, seed, alphabet }) => noise(length, seed, alphabet));

/** A name of any bytes that a name can have. */
const name = fc
  .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 12 })
  .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x2f)).toString('latin1'))
  .filter((text) => text !== '' && text !== '.' && text !== '..');

const files = fc
  .uniqueArray(fc.tuple(name, content), { selector: ([path]) => path, maxLength: 12 })
  .map((all) => all.sort(([a], [b]) => compareEntryPaths(a, b)));

const options = fc
  .record({
    codec: fc.constantFrom<CodecName>('zstd', 'gzip', 'deflate', 'brotli', 'lz4', 'none'),
    level: fc.nat(3),
    partBytes: fc.option(fc.integer({ min: 700, max: 50_000 }), { nil: undefined }),
  })
  .map(({ codec, level, partBytes }) => {
    const chosen = LEVELS[codec][level % LEVELS[codec].length];
    return {
      codec,
      chunker: CHUNKER,
      ...(chosen === undefined ? {} : { level: chosen }),
      ...(partBytes === undefined ? {} : { partBytes }),
    };
  });

/** All that a backup gives: contents by path. */
async function readAll(storage: Storage, folder: string): Promise<Map<string, string>> {
  const bytes = await readObject(storage, `${folder}/manifest.json`, 1 << 20);
  const manifest = parseManifest(bytes, folder);
  const opened = await openContent({ storage, folder, manifest }, async () => undefined);
  const pieces = new Map<string, Buffer[]>();
  for await (const entry of opened.entries()) pieces.set(entry.path, []);
  for await (const chunk of opened.readAll(opened.entries())) {
    pieces.get(chunk.entry.path)!.push(Buffer.from(chunk.bytes));
  }
  return new Map([...pieces].map(([path, parts]) => [path, Buffer.concat(parts).toString('latin1')]));
}

describe('a backup of any members', () => {
  test('comes back byte for byte, whatever its sizes, codec, level and parts', MINUTES, async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.array(content, { maxLength: 3 }), options, async (tree, streams, how) => {
        const members: Member[] = [treeMember(tree.map(([path, bytes]) => fileEntry(path, bytes)))];
        const expected = new Map(tree.map(([path, bytes]) => [path, bytes.toString('latin1')]));
        for (const [i, bytes] of streams.entries()) {
          // Behind every path of the tree, and in order.
          const path = `\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff${i}`;
          members.push({ ...streamMember(path, bytes), tables: async () => [] } as Member);
          expected.set(path, bytes.toString('latin1'));
        }
        const { storage, folder } = await writeBackup(members, how);
        expect(await readAll(storage, folder)).toEqual(expected);
      }),
      settings(60),
    );
  });

  test('a stream cut anywhere is the same bytes, part by part', MINUTES, async () => {
    const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(content, shares, options, async (bytes, at, how) => {
        const opened = await openContent(
          await writeBackup([streamMember('before', bytes), streamMember('stream', bytes)], how),
          async () => undefined,
        );
        const cuts = at.map((share) => Math.round(share * bytes.length)).sort((a, b) => a - b);
        const parts = await opened.parts((await opened.entry('stream'))!, cuts);
        expect(parts).toHaveLength(cuts.length + 1);
        for (const [index, part] of parts.entries()) {
          const chunks: Uint8Array[] = [];
          for await (const chunk of opened.read(part)) chunks.push(chunk);
          const expected = bytes.subarray(cuts[index - 1] ?? 0, cuts[index] ?? bytes.length);
          expect(Buffer.concat(chunks).equals(expected)).toBe(true);
        }
      }),
      settings(60),
    );
  });
});

/** One change of an object's bytes; the number is a share of its length. */
type Mutation = { kind: 'flip' | 'set' | 'cut' | 'insert' | 'append' | 'remove'; at: number; value: number };

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'flip', 'flip', 'set', 'cut', 'insert', 'append', 'remove'),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  value: fc.integer({ min: 1, max: 255 }),
});

function mutated(bytes: Buffer, { kind, at, value }: Mutation): Buffer | undefined {
  const place = Math.floor(at * bytes.length);
  if (kind === 'remove') return undefined;
  if (kind === 'cut') return bytes.subarray(0, place);
  if (kind === 'append') return Buffer.concat([bytes, Buffer.from([value])]);
  if (kind === 'insert')
    return Buffer.concat([bytes.subarray(0, place), Buffer.from([value]), bytes.subarray(place)]);
  const copy = Buffer.from(bytes);
  copy[place] = kind === 'flip' ? (copy[place] ?? 0) ^ value : value;
  return copy;
}

describe('a backup of which anything was changed', () => {
  test('gives an error that says so, or exactly what was backed up', MINUTES, async () => {
    const tree = () => [
      treeMember(
        Array.from({ length: 300 }, (_, i) =>
          fileEntry(`f${String(i).padStart(4, '0')}`, noise(i * 3, i + 1, 60)),
        ),
      ),
    ];
    const many = () =>
      Array.from({ length: 60 }, (_, i) => streamMember(`t${10 + i}.jsonl`, noise(700, i + 1, 20)));
    const bases = await Promise.all([
      writeBackup(tree(), { codec: 'zstd', chunker: CHUNKER, partBytes: 3000 }),
      writeBackup([streamMember('a.db', noise(60_000, 3, 90))], { codec: 'lz4', chunker: CHUNKER }),
      writeBackup([streamMember('a.db', noise(30_000, 3, 9))], { codec: 'brotli', chunker: CHUNKER }),
      writeBackup(tree(), { codec: 'none', chunker: CHUNKER }),
      writeBackup(many(), { codec: 'gzip', chunker: CHUNKER }),
    ]);
    const originals = await Promise.all(
      bases.map(async ({ storage, folder }) => {
        const objects = new Map<string, Buffer>();
        for await (const { key } of storage.list(''))
          objects.set(key, await readObject(storage, key, 1 << 24));
        return { folder, objects, content: await readAll(storage, folder) };
      }),
    );
    let errors = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(originals.length - 1),
        fc.nat(1000),
        fc.array(mutation, { minLength: 1, maxLength: 2 }),
        async (which, object, mutations) => {
          const { folder, objects, content: expected } = originals[which]!;
          const chosen = [...objects.keys()][object % objects.size]!;
          const storage = memoryStorage();
          for (const [key, bytes] of objects) {
            let changed: Buffer | undefined = bytes;
            if (key === chosen) for (const each of mutations) changed = changed && mutated(changed, each);
            if (changed) await putBytes(storage, key, changed);
          }
          let found: Map<string, string>;
          try {
            found = await readAll(storage, folder);
          } catch (error) {
            errors++;
            expect(error).toBeInstanceOf(DguardError);
            expect(['corrupt', 'storage_not_found', 'too_new']).toContain((error as DguardError).code);
            return;
          }
          expect(found).toEqual(expected);
        },
      ),
      settings(500),
    );
    expect(errors).toBeGreaterThan(100);
  });

  test('and sealed again by who changed it, ends in an answer or in an error of ours', MINUTES, async () => {
    const id = hostileId(1000);
    const blocks = [noise(900, 1), noise(1500, 2), noise(10, 3)];
    const entries = [
      { path: '', kind: 'directory' as const },
      {
        path: 'a',
        size: 2400,
        at: [sliceOf(id, 0, 2400)],
        linkGroup: 3,
        xattrs: [{ name: 'user.x', value: blocks[2]! }],
      },
      { path: 'b', kind: 'hardlink' as const, link: 'a', linkGroup: 3 },
      { path: 'c', kind: 'char_device' as const, device: { major: 1, minor: 3 } },
      { path: 'd', size: 1510, at: [sliceOf(id, 1, 1510)] },
    ];
    const change = (lines: readonly string[], { kind, at, value }: Mutation): string[] => {
      const line = Math.floor(at * lines.length);
      const bytes = Buffer.from(lines[line] ?? '');
      const place = (at * 7919) % 1;
      // What keeps it JSON gets further than noise does.
      const text = bytes.toString();
      const numbers = [
        '-1',
        '0',
        '1',
        '9007199254740991',
        '9007199254740993',
        '1e3',
        '0.5',
        'null',
        '"x"',
        '[]',
        '{}',
      ];
      const number = text.replace(/\d+/g, (digits, offset: number) =>
        Math.abs(offset / text.length - place) < 0.04 ? numbers[value % numbers.length]! : digits,
      );
      const replacement =
        kind === 'flip' ? number : (mutated(bytes, { kind, at: place, value })?.toString() ?? '');
      return lines.map((each, n) => (n === line ? replacement.replaceAll('\n', ' ') : each));
    };
    const section = fc.constantFrom('blockLines', 'entries', 'root', 'table');
    await fc.assert(
      fc.asyncProperty(section, mutation, async (where, how) => {
        const honest = { blocks, entries };
        const { folder, objects } = await forge(id, {
          ...honest,
          ...(where === 'blockLines' ? { blockLines: (lines) => change(lines, how) } : {}),
          ...(where === 'root' ? { root: (lines) => change(lines, how) } : {}),
          ...(where === 'table' ? { table: (lines) => change(lines, how) } : {}),
          ...(where === 'entries' ? { entries: change(entries.map(entryLine), how) } : {}),
        });
        const storage = memoryStorage();
        for (const [name, bytes] of objects) await putBytes(storage, `${folder}/${name}`, bytes);
        try {
          await readAll(storage, folder);
        } catch (error) {
          expect(error).toBeInstanceOf(DguardError);
          expect((error as DguardError).code).toBe('corrupt');
        }
      }),
      settings(500),
    );
  });
});
