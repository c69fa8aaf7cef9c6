import { leaseName, MANIFEST_NAME } from '../archive/format.ts';
import { artifactObjects } from '../archive/objects.ts';
import { openContent } from '../archive/reader.ts';
import { DguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { CatalogEntry } from './catalog.ts';
import { resolver } from './find.ts';

/** What else dguard puts into a backup's folder. */
const OURS = /^(SHA256SUMS|index\.zst|(lease|verified|accepted|pinned|deleting|key)-[A-Za-z0-9._-]+\.json)$/;

/**
 * Deletes one copy of one backup: the manifest first, then the data, the lease last, so that an
 * interrupted delete is no half backup and stays sweepable. Foreign objects stay. Refuses a backup that
 * others refer to. Returns the names that were left alone.
 */
export async function deleteCopy(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<readonly string[]> {
  const { storage } = copy.destination;
  const id = copy.manifest?.id;
  const dependents = all.filter(
    (entry) =>
      entry.destination === copy.destination && entry.manifest?.references.some((ref) => ref.id === id),
  );
  if (dependents.length > 0) {
    throw new DguardError(
      'target_refused',
      `${id} is needed by ${dependents.map((d) => d.manifest!.id).join(', ')}`,
      {
        operation: 'delete',
        subject: id ?? copy.folder,
        hint: 'delete those first, or use --with-dependents',
      },
    );
  }
  const names = copy.objects.map(({ key }) => key.slice(copy.folder.length + 1));
  const ours = await ownNames(copy, all, runtime);
  const removable = names.filter((name) => name !== MANIFEST_NAME && (ours.has(name) || OURS.test(name)));
  const lease = (name: string) => (name.startsWith('lease-') ? (name === leaseName(0) ? 2 : 1) : 0);
  removable.sort((a, b) => lease(a) - lease(b));
  for (const name of [MANIFEST_NAME, ...removable]) await storage.delete(`${copy.folder}/${name}`);
  return names.filter((name) => name !== MANIFEST_NAME && !removable.includes(name));
}

async function ownNames(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<Set<string>> {
  const { manifest } = copy;
  if (!manifest) return new Set();
  if (Array.isArray(manifest.artifacts)) {
    return new Set(
      (manifest.artifacts as Parameters<typeof artifactObjects>[0][])
        .flatMap(artifactObjects)
        .map(({ name }) => name),
    );
  }
  const stored = { storage: copy.destination.storage, folder: copy.folder, manifest };
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const { artifacts } = await content.chain.link(content.chain.own);
  return new Set(artifacts.flatMap(artifactObjects).map(({ name }) => name));
}
