import { loadZstd } from '../../native.ts';
import type { Codec } from './types.ts';

/** zstd, one frame a block. Levels 1 to 22. */
export function zstdCodec(level = 3): Codec {
  const zstd = loadZstd();
  return {
    name: 'zstd',
    level,
    async compress(block) {
      const frame = await zstd.compress(block, level);
      // Levels from 16 on split blocks finely; a frame that our own reader would refuse is made anew.
      return frameBound(frame) <= outputCap(block.length) ? frame : zstd.compress(block, 15);
    },
    async decompress(stored, maxBytes) {
      if (frameBound(stored) > outputCap(maxBytes)) throw new Error('zstd frame claims more than it may');
      return zstd.decompress(stored);
    },
  };
}

/** What a frame of a block of `length` bytes may claim: the bound below counts 128 KiB for any split block. */
function outputCap(length: number): number {
  return 8 * length + 1024 * 1024;
}

/**
 * How much a frame can put out at the most, from its block headers alone (RFC 8878, section 3.1.1): raw and
 * RLE blocks say their size, a compressed one gives at most 128 KiB. Throws unless the bytes are one whole frame.
 */
export function frameBound(frame: Uint8Array): number {
  const byte = (at: number) => {
    const value = frame[at];
    if (value === undefined) throw new Error('zstd frame ends early');
    return value;
  };
  if (byte(0) !== 0x28 || byte(1) !== 0xb5 || byte(2) !== 0x2f || byte(3) !== 0xfd)
    throw new Error('not a zstd frame');
  const descriptor = byte(4);
  const singleSegment = (descriptor >> 5) & 1;
  let at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  at += [singleSegment, 2, 4, 8][descriptor >> 6]!;
  let bound = 0;
  for (;;) {
    const header = byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3) throw new Error('zstd block of a reserved type');
    bound += type === 2 ? 128 * 1024 : size;
    at += 3 + (type === 1 ? 1 : size);
    if (header & 1) break;
  }
  at += descriptor & 4 ? 4 : 0;
  if (at !== frame.length) throw new Error('zstd frame has another length than its bytes');
  return bound;
}
