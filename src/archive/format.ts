import { DguardError } from '../errors.ts';

/** Names and limits of format 1; FORMAT.md is their specification. */

export const MANIFEST_NAME = 'manifest.json';
export const INDEX_NAME = 'index.zst';
export const SUMS_NAME = 'SHA256SUMS';

/** More artifacts and parts than this are listed in the index, not in the manifest. */
export const MAX_LISTED_OBJECTS = 50;
/** A block never decodes to more than this, an index frame or line neither. */
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
export const MAX_FRAME_BYTES = 1024 * 1024;
export const MAX_LINE_BYTES = 64 * 1024;
/** Slices on one line; the rest follows on continuation lines. */
export const MAX_SLICES_PER_LINE = 256;

export type CodecName = 'zstd' | 'gzip' | 'lz4' | 'brotli' | 'deflate' | 'none';

/** Suffix of an artifact's name per codec. */
export const CODEC_SUFFIX: Readonly<Record<CodecName, string>> = {
  zstd: '.zst',
  gzip: '.gz',
  lz4: '.lz4',
  brotli: '.br',
  deflate: '.zz',
  none: '',
};

export interface ChunkerParameters {
  readonly algorithm: 'gear';
  readonly version: 1;
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

export const CHUNKER: ChunkerParameters = {
  algorithm: 'gear',
  version: 1,
  min: 256 * 1024,
  avg: 1024 * 1024,
  max: MAX_BLOCK_BYTES,
};

/** Files of this size or more begin and end a block of their own. */
export const LARGE_FILE_BYTES = 1024 * 1024;

const ARTIFACT_NAME = /^[a-z0-9][a-z0-9._%-]{0,120}$/;

/** The object names of an artifact: itself, or its parts, numbered from 001. */
export function partName(artifact: string, number: number): string {
  return `${artifact}.${String(number).padStart(3, '0')}`;
}

export function leaseName(number: number): string {
  return `lease-${String(number).padStart(4, '0')}.json`;
}

/**
 * An artifact's name from its member's path: percent-encoded lower case, cut to 80 with an ordinal
 * where it is longer or already taken, plus the codec's suffix. The true name is data (`member`).
 */
export function artifactName(memberPath: string, codec: CodecName, taken: ReadonlySet<string>): string {
  const encoded = Buffer.from(memberPath, 'latin1')
    .toString('utf8')
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, (c) =>
      [...Buffer.from(c)].map((b) => `%${b.toString(16).padStart(2, '0')}`).join(''),
    )
    .replace(/^[^a-z0-9]/, 'x$&');
  const suffix = CODEC_SUFFIX[codec];
  const plain = encoded + suffix;
  if (encoded.length <= 80 && !taken.has(plain) && !isReservedName(plain)) return plain;
  for (let ordinal = 1; ; ordinal++) {
    const name = `${encoded.slice(0, 80)}-${ordinal}${suffix}`;
    if (!taken.has(name)) return name;
  }
}

/** True for a name that artifacts may have. */
export function isArtifactName(name: string): boolean {
  return ARTIFACT_NAME.test(name) && !isReservedName(name);
}

function isReservedName(name: string): boolean {
  return (
    name === MANIFEST_NAME ||
    name === INDEX_NAME ||
    /^(lease|verified|accepted|pinned|deleting|key)-.*\.json$/.test(name)
  );
}

/** What is still to be had of a backup that is damaged, where there is no other. */
export const SALVAGE =
  '`restore ID --only` and `cat` read what is intact of this one, and recover.py (see README) restores all of that';

/** A `corrupt` error with its subject. */
export function corrupt(subject: string, reason: string, cause?: unknown): DguardError {
  return new DguardError('corrupt', reason, {
    operation: 'read backup',
    subject,
    hint: `restore from another copy or another backup; without one: ${SALVAGE}`,
    cause,
  });
}
