import { loadLz4 } from '../../native.ts';
import type { Codec } from './types.ts';

/** lz4 in its frame format, one frame a block; it has no levels here. */
export function lz4Codec(): Codec {
  const lz4 = loadLz4();
  return {
    name: 'lz4',
    level: undefined,
    compress: (block) => lz4.compressFrame(block, { contentChecksum: true }),
    async decompress(stored, maxBytes) {
      if (frameBound(stored) > maxBytes + 4 * 1024 * 1024)
        throw new Error('lz4 frame claims more than it may');
      return lz4.decompressFrame(stored);
    },
  };
}

/**
 * How much a frame can put out at the most, from its block headers alone (LZ4 Frame Format 1.6): each block
 * at most the maximum that the frame declares. Throws unless the bytes are one whole frame.
 */
export function frameBound(frame: Uint8Array): number {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const word = (at: number) => {
    if (at + 4 > view.length) throw new Error('lz4 frame ends early');
    return view.readUInt32LE(at);
  };
  if (word(0) !== 0x184d2204) throw new Error('not an lz4 frame');
  const flags = view[4] ?? 0;
  const blockMaximum = 2 ** (8 + 2 * (((view[5] ?? 0) >> 4) & 7));
  let at = 7 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0);
  let bound = 0;
  for (;;) {
    const header = word(at);
    at += 4;
    if (header === 0) break;
    const size = header & 0x7fffffff;
    bound += header & 0x80000000 ? size : blockMaximum;
    at += size + (flags & 0x10 ? 4 : 0);
  }
  at += flags & 4 ? 4 : 0;
  if (at !== view.length) throw new Error('lz4 frame has another length than its bytes');
  return bound;
}
