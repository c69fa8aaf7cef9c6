import { MANIFEST_NAME, SUMS_NAME } from '../archive/format.ts';
import { artifactObjects, type StoredBackup } from '../archive/objects.ts';
import { toDguardError } from '../errors.ts';
import type { ManifestArtifact } from '../manifest/types.ts';
import type { StoredObject } from '../storages/types.ts';

/** What is lost without it is `sha256sum -c`, and nothing of what was backed up. */
export const SUMS_MISSING = `${SUMS_NAME} is missing`;

/** Objects of dguard's own that no manifest names: leases and marks. */
const BESIDES = /^(lease|verified|accepted|pinned|deleting|key)-[A-Za-z0-9._-]+\.json$/;

/**
 * The manifest against the folder's listing: what is missing or of another size, and what is foreign. Where
 * the index lists the artifacts, it is read only if their number or bytes are not those that are recorded.
 */
export async function compareObjects(
  stored: StoredBackup,
  objects: readonly StoredObject[],
  signal: AbortSignal,
): Promise<{ problems: readonly string[]; foreign: readonly string[] }> {
  const { manifest, folder } = stored;
  const present = new Map(objects.map((object) => [object.key.slice(folder.length + 1), object.sizeBytes]));
  const problems: string[] = [];
  const expected = new Map<string, number | undefined>([[MANIFEST_NAME, undefined]]);
  if (manifest.status !== 'failed') expected.set(SUMS_NAME, undefined);
  if (manifest.index) expected.set(manifest.index.name, manifest.index.size);
  const others = () => [...present.keys()].filter((name) => !expected.has(name) && !BESIDES.test(name));
  let artifacts: readonly ManifestArtifact[] = [];
  if (Array.isArray(manifest.artifacts)) artifacts = manifest.artifacts as ManifestArtifact[];
  else {
    const { objects: count, bytes } = manifest.artifacts as { objects: number; bytes: number };
    const names = others();
    const found = names.reduce((sum, name) => sum + (present.get(name) ?? 0), 0);
    try {
      if (names.length !== count || found !== bytes) artifacts = await indexedArtifacts(stored, signal);
    } catch (thrown) {
      const error = toDguardError(thrown, 'storage_failed', { operation: 'read index', subject: folder });
      if (error.code !== 'corrupt' && error.code !== 'storage_not_found') throw error;
      problems.push(`${names.length} data objects with ${found} bytes, not ${count} with ${bytes}`);
    }
    if (artifacts.length === 0) for (const name of names) expected.set(name, undefined);
  }
  for (const { name, size } of artifacts.flatMap(artifactObjects)) expected.set(name, size);
  for (const [name, size] of expected) {
    const found = present.get(name);
    if (found === undefined) problems.push(`${name} is missing`);
    else if (size !== undefined && found !== size) problems.push(`${name} has ${found} bytes, not ${size}`);
  }
  return { problems, foreign: others() };
}

async function indexedArtifacts(
  stored: StoredBackup,
  signal: AbortSignal,
): Promise<readonly ManifestArtifact[]> {
  const { openContent } = await import('../archive/reader.ts'); // a listing seldom needs it
  const { chain } = await openContent(stored, async () => undefined, signal);
  return (await chain.link(chain.own)).artifacts;
}
