import type { CodecName } from '../archive/format.ts';
import type { ManifestArtifact } from '../manifest/types.ts';

const DECOMPRESS: Readonly<Record<CodecName, string | undefined>> = {
  zstd: 'zstd -dc',
  gzip: 'gzip -dc',
  lz4: 'lz4 -dc',
  none: 'cat',
  brotli: undefined,
  deflate: undefined,
};

/** Commands for people who have the folder but not dguard. */
export function recoverCommands(artifacts: unknown, codec: CodecName): string[] {
  if (!Array.isArray(artifacts)) return ['see FORMAT.md: the artifacts are listed in the index'];
  const decompress = DECOMPRESS[codec];
  if (!decompress) return [`${codec} has no concatenation: use dguard, or recover.py (FORMAT.md)`];
  return [
    'sha256sum -c SHA256SUMS',
    ...(artifacts as ManifestArtifact[]).map((artifact) => {
      // No codec's tool takes an empty file for an empty stream.
      if (artifact.stored_size === 0) return `: > ${artifact.name.replace(/\.(zst|gz|lz4)$/, '')}`;
      const input = artifact.parts ? `cat ${artifact.name}.[0-9]*` : `cat ${artifact.name}`;
      const output =
        artifact.media === 'application/x-tar'
          ? 'tar -xpf -'
          : `cat > ${artifact.name.replace(/\.(zst|gz|lz4)$/, '')}`;
      return decompress === 'cat' ? `${input} | ${output}` : `${input} | ${decompress} | ${output}`;
    }),
  ];
}
