import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { frameBound as lz4Bound } from '../../src/archive/codecs/lz4.ts';
import { createCodec } from '../../src/archive/codecs/registry.ts';
import { frameBound as zstdBound, zstdCodec } from '../../src/archive/codecs/zstd.ts';
import { createZstd } from '../../src/archive/codecs/zstd-context.ts';
import { loadZstdContexts } from '../../src/native.ts';
import { noise } from './support.ts';

const KIB = 1024;
const contexts = loadZstdContexts();
const BLOCKS = [
  Buffer.alloc(0),
  Buffer.from('a'),
  Buffer.alloc(255, 'ab'),
  noise(256, 1),
  noise(70_000, 2),
  Buffer.alloc(300_000),
  Buffer.concat([noise(200_000, 3), Buffer.alloc(400_000, 'some text '), noise(100, 4)]),
];

const pipe = (program: string, args: readonly string[], input: Buffer): Buffer =>
  execFileSync(program, args, { input, maxBuffer: 1e8 });

/** Whole frames of other programs, with every header and checksum that they can write. */
const PROGRAMS = {
  zstd: {
    bound: zstdBound,
    arguments: [
      ['-c', '-1', '--no-check'],
      ['-c', '-3', '--check'],
      ['-c', '--ultra', '-22', '--check'],
      ['-c', '-3', '--check', '--no-content-size'],
      ['-c', '-3', '--no-check', '--stream-size=SIZE'],
    ],
  },
  lz4: {
    bound: lz4Bound,
    arguments: [
      ['-c', '-B4'],
      ['-c', '-B7', '--no-frame-crc'],
      ['-c', '-B4', '-BX'],
      ['-c', '-B5', '-BD', '-9'],
    ],
  },
} as const;

describe.each(Object.entries(PROGRAMS))('the bound of a %s frame', (name, { bound, arguments: all }) => {
  it.each<readonly string[]>(all)(
    'that the program makes with %s %s %s %s is never less than what comes out',
    async (...args) => {
      const codec = await createCodec(name as 'zstd' | 'lz4');
      for (const block of BLOCKS) {
        if (block.length === 0 && args.includes('--stream-size=SIZE')) continue;
        const given = args
          .filter((arg) => arg !== undefined)
          .map((arg) => arg.replace('SIZE', `${block.length}`));
        const frame = pipe(name, given, block);
        expect(bound(frame)).toBeGreaterThanOrEqual(block.length);
        expect(Buffer.from(await codec.decompress(frame, block.length)).equals(block)).toBe(true);
        // One whole frame, and nothing else.
        expect(() => bound(frame.subarray(0, -1))).toThrow();
        expect(() => bound(Buffer.concat([frame, Buffer.from([0])]))).toThrow();
        expect(() => bound(Buffer.concat([frame, frame]))).toThrow();
      }
    },
  );
});

/** RFC 8878, 3.1.1.1: a descriptor and the fields that it says are there. */
function zstdHeaders(): { header: number[]; checksum: number }[] {
  const found: { header: number[]; checksum: number }[] = [];
  for (const [flag, sizeBytes] of [1, 2, 4, 8].entries())
    for (const single of [0, 1])
      for (const check of [0, 1])
        for (const [dictionary, idBytes] of [0, 1, 2, 4].entries()) {
          const content = flag === 0 && single === 0 ? 0 : sizeBytes;
          const fields = (single ? 0 : 1) + idBytes + content;
          const descriptor = (flag << 6) | (single << 5) | (check << 2) | dictionary;
          found.push({ header: [descriptor, ...Array<number>(fields).fill(0)], checksum: check * 4 });
        }
  return found;
}

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** A block's header: 0 raw, 1 one byte that repeats, 2 compressed, 3 reserved. */
const zstdBlock = (type: number, size: number, last: boolean, body: Buffer) => {
  const head = Buffer.alloc(3);
  head.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3);
  return Buffer.concat([head, body]);
};

describe('the bound of a zstd frame', () => {
  it('finds the blocks behind every header, and counts each kind for the most that it can give', () => {
    const headers = zstdHeaders();
    expect(headers).toHaveLength(64);
    for (const { header, checksum } of headers) {
      const frame = Buffer.concat([
        Buffer.from([...MAGIC, ...header]),
        zstdBlock(0, 5, false, Buffer.alloc(5, 1)),
        zstdBlock(1, 100_000, false, Buffer.alloc(1, 1)),
        zstdBlock(2, 7, true, Buffer.alloc(7, 1)),
        Buffer.alloc(checksum),
      ]);
      expect(zstdBound(frame), `descriptor ${header[0]}`).toBe(5 + 100_000 + 128 * KIB);
      expect(() => zstdBound(frame.subarray(0, -1))).toThrow();
      expect(() => zstdBound(Buffer.concat([frame, Buffer.alloc(1)]))).toThrow(/another length/);
    }
    const reserved = Buffer.concat([
      Buffer.from([...MAGIC, 0, 0x58]),
      zstdBlock(3, 0, true, Buffer.alloc(0)),
    ]);
    expect(() => zstdBound(reserved)).toThrow(/reserved/);
    expect(() => zstdBound(Buffer.from('no frame at all'))).toThrow(/not a zstd frame/);
  });

  it('keeps one that claims more away from what would make room for it', async () => {
    const frameOf = (blocks: number) =>
      Buffer.concat([
        Buffer.from([...MAGIC, 0, 0x58]),
        ...Array.from({ length: blocks }, (_, at) =>
          zstdBlock(1, 128 * KIB, at === blocks - 1, Buffer.from('A')),
        ),
      ]);
    const codec = zstdCodec();
    for (const maxBytes of [1000, 128 * KIB, 400 * KIB]) {
      const over = frameOf(Math.floor((16 * maxBytes + 1024 * KIB) / (128 * KIB)) + 1);
      await expect(codec.decompress(over, maxBytes)).rejects.toThrow('claims more than it may');
      if (codec.decompressHashed) {
        const hashed = codec.decompressHashed(over, maxBytes, true);
        await expect(hashed).rejects.toThrow('claims more than it may');
      }
    }
  });

  it.skipIf(contexts === undefined).each([1, 3, 6, 8, 10])(
    'of pages that take turns is one that we read again, whichever of our libraries made it, at level %i',
    async (level) => {
      // zstd 1.5.7 begins a block of its own at each page: pages of a database's tables and indexes look like this.
      const own = createZstd(contexts!);
      const codec = zstdCodec(level);
      for (const bytes of [100, 256, 1024, 4096].map((kib) => kib * KIB)) {
        const block = Buffer.alloc(bytes, 'abcdefgh');
        const digits = randomBytes(bytes).map((byte) => 48 + (byte % 16));
        for (let at = 0; at < bytes; at += 16 * KIB) block.set(digits.subarray(at, at + 8 * KIB), at);
        const room = Buffer.alloc(own.bound(bytes));
        for (const frame of [room.subarray(0, own.compress(room, block, level)), await codec.compress(block)])
          expect(Buffer.from(await codec.decompress(frame, bytes)).equals(block)).toBe(true);
      }
    },
  );

  it.each([16, 19, 22])(
    'of our own at level %i is one that we read again, however finely it is split',
    async (level) => {
      // Segments of other statistics each: from these levels on, zstd splits blocks where they meet.
      const block = Buffer.alloc(1024 * KIB);
      const random = noise(block.length, 7);
      for (let at = 0; at < block.length; at++) {
        const segment = Math.floor(at / (8 * KIB));
        const byte = random[at]!;
        block[at] = [48 + (byte % 4), 128 + ((segment * 37) % 64) + (byte % 8), byte][segment % 3]!;
      }
      const codec = zstdCodec(level);
      const frame = await codec.compress(block);
      expect(Buffer.from(await codec.decompress(frame, block.length)).equals(block)).toBe(true);
      const hashed = await codec.compressHashed?.(block);
      if (hashed) expect(Buffer.from(hashed.frame).equals(Buffer.from(frame))).toBe(true);
    },
  );
});

it('an lz4 frame that claims more is kept away from what would make room for it', async () => {
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73]);
  const block = Buffer.from([11, 0, 0, 0, 0x1f, 0x41, 0x01, 0x00, 0xff, 0x50, 0x41, 0x41, 0x41, 0x41, 0x41]);
  const frame = Buffer.concat([head, block, block, Buffer.alloc(4)]);
  expect(lz4Bound(frame)).toBe(8 * KIB * KIB);
  const codec = await createCodec('lz4');
  await expect(codec.decompress(frame, 4 * KIB * KIB - 1)).rejects.toThrow('claims more than it may');
});

it.each(['zstd', 'lz4', 'gzip', 'deflate', 'brotli'] as const)(
  '%s gives a block of as many bytes as it may have; what it gave stays what it is',
  async (name) => {
    const codec = await createCodec(name);
    for (const block of [noise(1000, 5), Buffer.alloc(200_000, 'text '), noise(300_000, 6)]) {
      const frame = await codec.compress(block);
      const one = await codec.decompress(frame, block.length);
      const other = noise(block.length, 9);
      await codec.decompress(await codec.compress(other), other.length);
      expect(Buffer.from(one).equals(block)).toBe(true);
    }
  },
);

it.each(['gzip', 'deflate', 'brotli'] as const)(
  '%s stops at one byte more than it may give',
  async (name) => {
    const codec = await createCodec(name);
    for (const block of [noise(1000, 5), Buffer.alloc(200_000, 'text ')]) {
      const frame = await codec.compress(block);
      await expect(codec.decompress(frame, block.length - 1)).rejects.toMatchObject({
        code: 'ERR_BUFFER_TOO_LARGE',
      });
    }
  },
);
