import type { CodecName } from '../format.ts';
import type { Codec } from './types.ts';

const CODECS: Readonly<Record<CodecName, (level?: number) => Promise<Codec>>> = {
  zstd: async (level) => (await import('./zstd.ts')).zstdCodec(level),
  gzip: async (level) => (await import('./zlib.ts')).gzipCodec(level),
  deflate: async (level) => (await import('./zlib.ts')).deflateCodec(level),
  brotli: async (level) => (await import('./zlib.ts')).brotliCodec(level),
  lz4: async () => (await import('./lz4.ts')).lz4Codec(),
  none: async () => ({
    name: 'none',
    level: undefined,
    compress: async (block) => Buffer.from(block),
    decompress: async (stored) => stored,
  }),
};

/** The codec of that name; without a level, its default. Errors: `tool_missing` where its module cannot be loaded. */
export function createCodec(name: CodecName, level?: number): Promise<Codec> {
  return CODECS[name](level);
}
