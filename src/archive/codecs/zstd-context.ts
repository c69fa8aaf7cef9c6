import type { ZstdContexts } from '../../native.ts';

/** zstd in the thread that calls, its contexts used again. Results lie in the caller's room. */
export function createZstd(zstd: ZstdContexts) {
  const compressor = new zstd.CCtx();
  const decompressor = new zstd.DCtx();
  let setLevel: number | undefined;
  return {
    /** Room that a frame of so many bytes may need. */
    bound: (length: number) => zstd.compressBound(length),
    /** Writes a frame into `room`; its length. */
    compress(room: Uint8Array, data: Uint8Array, level: number): number {
      if (level !== setLevel) compressor.setParameter(zstd.CParameter.compressionLevel, level);
      setLevel = level;
      return compressor.compress2(room, data);
    },
    /** Writes what `frame` holds into `room`; its length. Throws where that is more than there is room for. */
    decompress: (room: Uint8Array, frame: Uint8Array) => decompressor.decompress(room, frame),
  };
}
