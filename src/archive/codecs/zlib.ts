import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import type { Codec } from './types.ts';

/** gzip (RFC 1952), one member a block. Levels 1 to 9. */
export function gzipCodec(level = 6): Codec {
  const compress = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gzip);
  const decompress = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gunzip);
  return {
    name: 'gzip',
    level,
    compress: (block) => compress(block, { level }),
    decompress: (stored, maxBytes) => decompress(stored, { maxOutputLength: maxBytes }),
  };
}

/** deflate in the zlib format (RFC 1950). Levels 1 to 9. */
export function deflateCodec(level = 6): Codec {
  const compress = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflate);
  const decompress = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate);
  return {
    name: 'deflate',
    level,
    compress: (block) => compress(block, { level }),
    decompress: (stored, maxBytes) => decompress(stored, { maxOutputLength: maxBytes }),
  };
}

/** brotli (RFC 7932), which has no checksum of its own: the block's hash is what protects it. Levels 0 to 11. */
export function brotliCodec(level = 4): Codec {
  const compress = promisify<Uint8Array, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
  const decompress = promisify<Uint8Array, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress);
  return {
    name: 'brotli',
    level,
    compress: (block) =>
      compress(block, {
        params: {
          [zlib.constants.BROTLI_PARAM_QUALITY]: level,
          [zlib.constants.BROTLI_PARAM_SIZE_HINT]: block.length,
        },
      }),
    decompress: (stored, maxBytes) => decompress(stored, { maxOutputLength: maxBytes }),
  };
}
