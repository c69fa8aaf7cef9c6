import type { Compression } from './types/jobs.ts';

/** The levels of each codec; undefined: it has none. */
export const COMPRESSION_LEVELS: Readonly<
  Record<Compression, { min: number; max: number; usual: number } | undefined>
> = {
  zstd: { min: 1, max: 22, usual: 3 },
  gzip: { min: 1, max: 9, usual: 6 },
  deflate: { min: 1, max: 9, usual: 6 },
  brotli: { min: 0, max: 11, usual: 5 },
  lz4: undefined,
  none: undefined,
};

export const DEFAULT_COMPRESSION: Compression = 'zstd';
