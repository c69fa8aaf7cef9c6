import { INDEX_NAME, isArtifactName, MANIFEST_NAME, SUMS_NAME } from '../../archive/format.ts';
import { artifactObjects } from '../../archive/objects.ts';
import { openContent } from '../../archive/reader.ts';
import type { ManifestArtifact } from '../../manifest/types.ts';
import { readObject } from '../../storages/read.ts';
import type { CatalogEntry } from '../catalog.ts';
import { asStored, resolver } from '../find.ts';

/** What dguard puts beside the data of a backup. */
const BESIDE = /^(lease|verified|accepted|pinned|deleting|key)-[A-Za-z0-9._-]+\.json$/;
const MAX_SUMS_BYTES = 4 * 1024 * 1024;

/** True for a name that a backup's folder may hold by the format: what an unfinished one is swept of. */
export function isOfGrammar(name: string): boolean {
  return name === MANIFEST_NAME || name === SUMS_NAME || isBeside(name) || isArtifactName(name);
}

function isBeside(name: string): boolean {
  return name === INDEX_NAME || BESIDE.test(name);
}

/**
 * The names in a backup's folder that are its own, whatever else lies there: from its manifest, or where
 * that cannot be read from its SHA256SUMS. A failed run's leftovers are told by the grammar alone.
 */
export async function ownNames(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const present = copy.objects.map(({ key }) => key.slice(copy.folder.length + 1));
  if (copy.manifest?.status === 'failed') return present.filter(isOfGrammar);
  const data = copy.manifest ? await artifactNames(copy, all, signal) : await summedNames(copy, signal);
  return present.filter(
    (name) => name === MANIFEST_NAME || name === SUMS_NAME || isBeside(name) || data.has(name),
  );
}

async function artifactNames(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  signal: AbortSignal,
): Promise<Set<string>> {
  const manifest = copy.manifest!;
  if (Array.isArray(manifest.artifacts)) {
    return new Set(
      (manifest.artifacts as ManifestArtifact[]).flatMap(artifactObjects).map(({ name }) => name),
    );
  }
  try {
    const content = await openContent(asStored(copy), resolver(all, copy), signal);
    const { artifacts } = await content.chain.link(content.chain.own);
    return new Set(artifacts.flatMap(artifactObjects).map(({ name }) => name));
  } catch {
    return summedNames(copy, signal);
  }
}

async function summedNames(copy: CatalogEntry, signal: AbortSignal): Promise<Set<string>> {
  const key = `${copy.folder}/${SUMS_NAME}`;
  if (!copy.objects.some((object) => object.key === key)) return new Set();
  const text = await readObject(copy.destination.storage, key, MAX_SUMS_BYTES, signal).then(
    (bytes) => bytes.toString('latin1'),
    () => '',
  );
  const names = text.split('\n').flatMap((line) => /^[0-9a-f]{64} [ *](.+)$/.exec(line)?.[1] ?? []);
  return new Set(names.filter(isArtifactName));
}
