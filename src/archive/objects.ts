import { hash } from 'node:crypto';
import type { Manifest, ManifestArtifact } from '../manifest/types.ts';
import type { Storage } from '../storages/types.ts';
import { corrupt, isArtifactName, partName } from './format.ts';

/** A backup as it lies at a destination. */
export interface StoredBackup {
  readonly storage: Storage;
  readonly folder: string;
  readonly manifest: Manifest;
}

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

/**
 * Reads what `artifactLines` wrote, as hostile input: whose line is whose. The caller checks the fields.
 * Errors: `corrupt` naming `subject`.
 */
export function parseArtifactLines(lines: readonly string[], subject: string): unknown[] {
  const artifacts: Record<string, unknown>[] = [];
  let parts: unknown[] = [];
  let missing = 0;
  for (const line of lines) {
    const value = parseObject(line);
    const follows = value !== undefined && value['artifact'] === artifacts.length - (missing > 0 ? 1 : 0);
    if (!follows || (value['part'] !== undefined) !== missing > 0) {
      throw corrupt(subject, 'a line of the table of artifacts is not the one that follows');
    }
    const { artifact: _, part, parts: count, ...rest } = value;
    if (missing > 0) {
      parts.push(part);
      missing--;
      continue;
    }
    parts = [];
    missing = count === undefined ? 0 : Number(count);
    if (!Number.isSafeInteger(missing) || missing < 0) {
      throw corrupt(subject, 'a line of the table of artifacts has a wrong parts');
    }
    artifacts.push(count === undefined ? rest : { ...rest, parts });
  }
  if (missing > 0) throw corrupt(subject, 'the table of artifacts ends early');
  return artifacts;
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** What no writer lets a table of artifacts say, or undefined: names that collide or are taken, parts that do not add up. */
export function wrongArtifact(artifacts: readonly ManifestArtifact[]): string | undefined {
  const taken = new Set<string>();
  for (const artifact of artifacts) {
    const { name, parts } = artifact;
    if (!isArtifactName(name)) return `an artifact has the name ${name}, which none may have`;
    if (parts?.some(({ number }, at) => number !== at + 1))
      return `the parts of ${name} are not numbered from 1`;
    if (parts && parts.reduce((sum, { size }) => sum + size, 0) !== artifact.stored_size) {
      return `the parts of ${name} do not add up to it`;
    }
    for (const object of artifactObjects(artifact)) {
      if (taken.has(object.name)) return `two objects are called ${object.name}`;
      taken.add(object.name);
    }
  }
  return undefined;
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
