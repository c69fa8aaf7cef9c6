import { hash } from 'node:crypto';
import type { ManifestArtifact } from '../manifest/types.ts';
import { partName } from './format.ts';

/** An object that an artifact consists of. */
export interface ArtifactObject {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** The objects of an artifact, in order: itself, or its parts. */
export function artifactObjects(artifact: ManifestArtifact): ArtifactObject[] {
  if (!artifact.parts) return [{ name: artifact.name, size: artifact.stored_size, sha256: artifact.sha256 }];
  return artifact.parts.map((part) => ({
    name: partName(artifact.name, part.number),
    size: part.size,
    sha256: part.sha256,
  }));
}

/** SHA256SUMS as `sha256sum -c` reads it: every artifact's objects, then the index. */
export function checksumLines(
  artifacts: readonly ManifestArtifact[],
  index: { name: string; sha256: string },
): string {
  const objects = [...artifacts.flatMap(artifactObjects), index];
  return objects.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('');
}

/** The artifacts' table as lines of the index: an artifact, then its parts. */
export function artifactLines(artifacts: readonly ManifestArtifact[]): string[] {
  return artifacts.flatMap((artifact, number) => {
    const { parts, ...rest } = artifact;
    return [
      JSON.stringify({ artifact: number, ...rest, ...(parts ? { parts: parts.length } : {}) }),
      ...(parts ?? []).map((part) => JSON.stringify({ artifact: number, part })),
    ];
  });
}

/** Reads what `artifactLines` wrote. The caller checks the result against the manifest's schema. */
export function parseArtifactLines(lines: readonly string[]): unknown[] {
  const artifacts: Record<string, unknown>[] = [];
  for (const line of lines) {
    const { artifact, part, ...rest } = JSON.parse(line) as Record<string, unknown>;
    if (part === undefined) {
      artifacts.push(rest);
      if (rest['parts'] !== undefined) rest['parts'] = [];
    } else (artifacts[Number(artifact)]?.['parts'] as unknown[] | undefined)?.push(part);
  }
  return artifacts;
}

/** What stands in the manifest where the table lies in the index. */
export function artifactsSummary(artifacts: readonly ManifestArtifact[], lines: readonly string[]) {
  const objects = artifacts.flatMap(artifactObjects);
  return {
    count: artifacts.length,
    objects: objects.length,
    bytes: objects.reduce((sum, object) => sum + object.size, 0),
    sha256: hash('sha256', lines.map((line) => `${line}\n`).join(''), 'hex'),
  };
}
