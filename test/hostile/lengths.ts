import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { noise } from '../archive/support.ts';
import { type Cases, refused } from './cases.ts';
import { type HostileEntry, type Recipe, sliceOf } from './forge.ts';

const BLOCKS = [noise(1000, 1), noise(2000, 2), noise(3000, 3)];
const MIB = 1024 * 1024;

/** One file over all three blocks, changed. */
function file(id: string, facts: Partial<HostileEntry>, more: Recipe = {}): Recipe {
  return {
    blocks: BLOCKS,
    entries: [
      { path: '', kind: 'directory' },
      { path: 'a', size: 6000, at: [sliceOf(id, 0, 6000)], ...facts },
    ],
    ...more,
  };
}
const text = (id: string, rest: string) => `["${id.slice(-8)}",${rest}]`;
const lie = (facts: (id: string) => Partial<HostileEntry>, says: RegExp) =>
  refused((id) => file(id, facts(id)), says);
const lines = (change: (lines: string[]) => string[], says: RegExp) =>
  refused((id) => file(id, {}, { blockLines: change }), says);

/** Sizes, places and lengths that lie. */
export const lengths: Cases = {
  'a size above that of its content': lie(() => ({ size: 7000 }), /not the length of its slices/),
  'a size below that of its content': lie(() => ({ size: 5 }), /not the length of its slices/),
  'a size without content': lie(() => ({ at: [] }), /not the length of its slices/),
  'a slice that runs on behind the last block': lie(
    (id) => ({ size: 9000, at: [sliceOf(id, 0, 9000)] }),
    /no block|outside of its blocks/,
  ),
  'a slice that begins behind the end of its block': lie(
    (id) => ({ size: 10, at: [sliceOf(id, 0, 10, { offset: 1000 })] }),
    /behind the end of its block|outside of its blocks/,
  ),
  'a slice of a block that is not there': lie(
    (id) => ({ size: 10, at: [sliceOf(id, 99, 10)] }),
    /no block|outside of its blocks/,
  ),
  'a slice of an artifact that is not there': lie(
    (id) => ({ size: 10, at: [sliceOf(id, 0, 10, { artifact: 9 })] }),
    /no block|no artifact|outside of its blocks/,
  ),
  'a slice of a negative length': lie((id) => ({ size: 10, at: [text(id, '0,0,0,-10')] }), /wrong at/),
  'a slice of no length': lie((id) => ({ size: 0, at: [text(id, '0,0,0,0')] }), /wrong at/),
  'a slice beyond what numbers can count': lie(
    (id) => ({ size: Number.MAX_SAFE_INTEGER, at: [text(id, '0,0,0,9007199254740993')] }),
    /wrong at/,
  ),
  'slices that add up beyond what numbers can count': lie(
    (id) => ({ size: 10, at: [text(id, '0,0,0,9007199254740991'), text(id, '0,0,0,9007199254740991')] }),
    /not the length of its slices/,
  ),
  'a slice with a fraction': lie((id) => ({ size: 10, at: [text(id, '0,0,0.5,10')] }), /wrong at/),
  'a size that is a text': refused(
    () => ({ blocks: BLOCKS, entries: ['{"path":"a","kind":"file","size":"12"}'] }),
    /wrong size/,
  ),
  'a directory with content': lie(() => ({ kind: 'directory' }), /not the length of its slices|impossible/),
  'a block line behind the artifact': lines(
    ([a, b, c]) => [a!, b!, c!.replace(/^\[\d+/, '[999999')],
    /outside of its artifact|do not follow/,
  ),
  'block lines that overlap': lines(([a, , c]) => [a!, a!, c!], /do not follow one another|hash|no block/),
  'a block line that says less than the block holds': lines(
    ([a, b, c]) => [a!.replace(',1000,', ',999,'), b!, c!],
    /cannot be decompressed|hash|no block/,
  ),
  'a block line that says more than the block holds': lines(
    ([a, b, c]) => [a!.replace(',1000,', ',1001,'), b!, c!],
    /cannot be decompressed|hash/,
  ),
  'a block of 4 GiB': lines(
    ([a, b, c]) => [a!.replace(',1000,', ',4294967296,'), b!, c!],
    /impossible lengths/,
  ),
  'a block line of a negative place': lines(
    ([a, b, c]) => [a!.replace('[0,', '[-1,'), b!, c!],
    /impossible lengths/,
  ),
  'a block of nothing': lines(([a, b, c]) => [a!.replace(',1000,', ',0,'), b!, c!], /impossible lengths/),
  'block lines too few': lines(([a, b]) => [a!, b!], /no block|not those that are recorded/),
  'a block line that is an object': lines(([, b, c]) => ['{"offset":0}', b!, c!], /not well-formed/),
};

/** A stored block that claims to be far more than it may. */
function bomb(codec: NonNullable<Recipe['codec']>, stored: () => Buffer) {
  return refused(
    (id) => ({
      codec,
      blocks: [Buffer.alloc(1000)],
      stored,
      entries: [
        { path: '', kind: 'directory' },
        { path: 'a', size: 1000, at: [sliceOf(id, 0, 1000)] },
      ],
    }),
    /cannot be decompressed/,
  );
}

const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** A zstd frame by hand: its header behind the magic, then so many blocks that repeat one byte 128 KiB times. */
function zstdRepeats(header: readonly number[], blocks: number): Buffer {
  const body = Buffer.alloc(blocks * 4);
  for (let at = 0; at < blocks; at++) {
    const last = at === blocks - 1 ? 1 : 0;
    body.writeUIntLE(((128 * 1024) << 3) | 2 | last, at * 4, 3);
    body[at * 4 + 3] = 0x41;
  }
  return Buffer.concat([ZSTD_MAGIC, Buffer.from(header), body]);
}

/** Small objects that would fill any memory. */
export const bombs: Cases = {
  'a zstd block of 128 KiB that becomes 4 GiB': bomb('zstd', () => zstdRepeats([0x00, 0x58], 32_768)),
  'a zstd block whose header claims 4 GiB': bomb('zstd', () =>
    zstdRepeats([0xc0, 0x58, 0, 0, 0, 0, 1, 0, 0, 0], 1),
  ),
  'a zstd block whose one segment is 4 GiB': bomb('zstd', () =>
    zstdRepeats([0xe0, 0, 0, 0, 0, 1, 0, 0, 0], 1),
  ),
  'a zstd block of two frames': bomb('zstd', () =>
    Buffer.concat([zstdRepeats([0x00, 0x58], 1), zstdRepeats([0x00, 0x58], 1)]),
  ),
  'a gzip block of 64 members of 16 MiB': bomb('gzip', () => {
    const member = gzipSync(Buffer.alloc(16 * MIB));
    return Buffer.concat(Array.from({ length: 64 }, () => member));
  }),
  'a deflate block of 128 MiB': bomb('deflate', () => deflateSync(Buffer.alloc(128 * MIB))),
  'a brotli block of 128 MiB': bomb('brotli', () =>
    brotliCompressSync(Buffer.alloc(128 * MIB), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  ),
  'an lz4 block of 4 GiB': bomb('lz4', () => {
    // Each block of this frame may be 4 MiB; a block of five bytes that repeats one of them.
    const block = Buffer.from([0x1f, 0x41, 0x01, 0x00, 0xff, 0x50, 0x41, 0x41, 0x41, 0x41, 0x41]);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(block.length);
    const frame = [Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73])];
    for (let at = 0; at < 1024; at++) frame.push(head, block);
    return Buffer.concat([...frame, Buffer.alloc(4)]);
  }),
  'an index whose root becomes 4 GiB': refused(
    (id) => file(id, {}, { rootFrame: () => zstdRepeats([0x00, 0x58], 32_768) }),
    /cannot be decompressed/,
  ),
  'a hundred tiny blocks of 4 MiB of zeros that are one file of another size': refused((id) => {
    const zeros = Buffer.alloc(4 * MIB);
    return {
      blocks: Array.from({ length: 100 }, () => zeros),
      entries: [
        { path: '', kind: 'directory' },
        { path: 'a', size: 100 * 4 * MIB - 1, at: [sliceOf(id, 0, 100 * 4 * MIB - 1)] },
      ],
      blockLines: (all) => [...all.slice(0, -1), all.at(-1)!.replace(/"[0-9a-f]{8}/, '"00000000')],
    };
  }, /has not the hash/),
};
