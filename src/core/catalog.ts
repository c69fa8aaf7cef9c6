import { MANIFEST_NAME, SUMS_NAME } from '../archive/format.ts';
import { artifactObjects } from '../archive/objects.ts';
import { type DguardError, toDguardError } from '../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../manifest/parse.ts';
import type { Manifest, ManifestArtifact } from '../manifest/types.ts';
import { readObject } from '../storages/read.ts';
import type { Storage, StoredObject } from '../storages/types.ts';

/** A destination that was opened. */
export interface Destination {
  readonly name: string;
  readonly storage: Storage;
  readonly pathTemplate: string;
}

export type BackupState = Manifest['status'] | 'broken' | 'damaged' | 'verify failed';

/** The newest stored result of a verify of one copy. */
export interface VerifyResult {
  readonly level: string;
  readonly result: 'pass' | 'fail';
  readonly checked_at: string;
}

/** One copy of one backup as listing finds it. */
export interface CatalogEntry {
  readonly destination: Destination;
  readonly folder: string;
  /** Undefined where the manifest cannot be read (`damaged`). */
  readonly manifest: Manifest | undefined;
  readonly manifestBytes: Uint8Array | undefined;
  readonly error: DguardError | undefined;
  readonly objects: readonly StoredObject[];
  /** Names in the folder that no backup has there: reported, never touched. */
  readonly foreign: readonly string[];
  readonly state: BackupState;
  /** Why it is broken or damaged. */
  readonly problems: readonly string[];
  readonly verified: VerifyResult | undefined;
  readonly good: boolean;
}

const BESIDES = /^(lease|verified|accepted|pinned|deleting|key)-[A-Za-z0-9._-]+\.json$/;
const CONCURRENT_READS = 16;

/** All backups of a destination, newest first. A listing error throws: it is never an empty catalog. */
export async function readCatalog(destination: Destination, signal: AbortSignal): Promise<CatalogEntry[]> {
  const folders = new Map<string, StoredObject[]>();
  for await (const object of destination.storage.list('', { signal })) {
    const slash = object.key.lastIndexOf('/');
    const folder = slash === -1 ? '' : object.key.slice(0, slash);
    let objects = folders.get(folder);
    if (!objects) {
      objects = [];
      folders.set(folder, objects);
    }
    objects.push(object);
  }
  const held = [...folders].filter(
    ([folder, objects]) => folder !== '' && objects.some(({ key }) => key === `${folder}/${MANIFEST_NAME}`),
  );
  const entries: CatalogEntry[] = [];
  for (let at = 0; at < held.length; at += CONCURRENT_READS) {
    const batch = held.slice(at, at + CONCURRENT_READS);
    entries.push(
      ...(await Promise.all(
        batch.map(([folder, objects]) => readEntry(destination, folder, objects, signal)),
      )),
    );
  }
  return withReferences(entries).sort((a, b) => {
    const left = a.manifest?.created_at ?? '';
    const right = b.manifest?.created_at ?? '';
    return left === right ? (a.folder < b.folder ? 1 : -1) : left < right ? 1 : -1;
  });
}

async function readEntry(
  destination: Destination,
  folder: string,
  objects: readonly StoredObject[],
  signal: AbortSignal,
): Promise<CatalogEntry> {
  const key = `${folder}/${MANIFEST_NAME}`;
  const base = { destination, folder, objects };
  let bytes: Uint8Array | undefined;
  let manifest: Manifest;
  try {
    bytes = await readObject(destination.storage, key, MAX_MANIFEST_BYTES, signal);
    manifest = parseManifest(bytes, `${destination.name}:${key}`);
  } catch (thrown) {
    const error = toDguardError(thrown, 'storage_failed', { operation: 'read manifest', subject: key });
    if (error.code !== 'corrupt' && error.code !== 'too_new') throw error;
    return {
      ...base,
      manifest: undefined,
      manifestBytes: bytes,
      error,
      foreign: [],
      state: 'damaged',
      problems: [error.message],
      verified: undefined,
      good: false,
    };
  }
  const { problems, foreign } = compareObjects(manifest, folder, objects);
  const verified = await newestResult(destination.storage, objects, signal);
  const state =
    problems.length > 0
      ? 'broken'
      : verified?.result === 'fail'
        ? 'verify failed'
        : (manifest.status as BackupState);
  return {
    ...base,
    manifest,
    manifestBytes: bytes,
    error: undefined,
    foreign,
    state,
    problems,
    verified,
    good: state === 'completed',
  };
}

/** The manifest against the folder's listing: what is missing or of another size, and what is foreign. */
export function compareObjects(manifest: Manifest, folder: string, objects: readonly StoredObject[]) {
  const present = new Map(objects.map((object) => [object.key.slice(folder.length + 1), object.sizeBytes]));
  const problems: string[] = [];
  const expected = new Map<string, number | undefined>([[MANIFEST_NAME, undefined]]);
  if (manifest.status !== 'failed') expected.set(SUMS_NAME, undefined);
  if (manifest.index) expected.set(manifest.index.name, manifest.index.size);
  const listed = Array.isArray(manifest.artifacts);
  if (listed) {
    for (const artifact of manifest.artifacts as ManifestArtifact[]) {
      for (const { name, size } of artifactObjects(artifact)) expected.set(name, size);
    }
  }
  for (const [name, size] of expected) {
    const found = present.get(name);
    if (found === undefined) problems.push(`${name} is missing`);
    else if (size !== undefined && found !== size) problems.push(`${name} has ${found} bytes, not ${size}`);
  }
  const others = [...present.keys()].filter((name) => !expected.has(name) && !BESIDES.test(name));
  if (listed) return { problems, foreign: others };
  const summary = manifest.artifacts as { objects: number; bytes: number };
  const bytes = others.reduce((sum, name) => sum + (present.get(name) ?? 0), 0);
  if (others.length !== summary.objects || bytes !== summary.bytes) {
    problems.push(
      `${others.length} data objects with ${bytes} bytes, not ${summary.objects} with ${summary.bytes}`,
    );
  }
  return { problems, foreign: [] };
}

async function newestResult(
  storage: Storage,
  objects: readonly StoredObject[],
  signal: AbortSignal,
): Promise<VerifyResult | undefined> {
  const names = objects.map(({ key }) => key).filter((key) => /\/verified-[^/]+\.json$/.test(key));
  const newest = names.sort().at(-1);
  if (newest === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(
      (await readObject(storage, newest, 64 * 1024, signal)).toString('utf8'),
    );
    const { level, result, checked_at } = value as Record<string, unknown>;
    if (
      typeof level === 'string' &&
      (result === 'pass' || result === 'fail') &&
      typeof checked_at === 'string'
    ) {
      return { level, result, checked_at };
    }
  } catch {
    // An unreadable result says nothing about the backup.
  }
  return undefined;
}

/** A backup whose ancestor is missing or not intact is itself broken. */
function withReferences(entries: readonly CatalogEntry[]): CatalogEntry[] {
  const byId = new Map(
    entries.flatMap((entry) => (entry.manifest ? [[entry.manifest.id, entry] as const] : [])),
  );
  return entries.map((entry) => {
    const lost = (entry.manifest?.references ?? []).filter(({ id }) => {
      const ancestor = byId.get(id);
      return !ancestor || ancestor.state === 'broken' || ancestor.state === 'verify failed';
    });
    if (lost.length === 0) return entry;
    const problems = [
      ...entry.problems,
      ...lost.map(({ id }) => `the backup ${id}, which it needs, is not intact`),
    ];
    return { ...entry, problems, state: 'broken' as const, good: false };
  });
}
