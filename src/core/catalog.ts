import { MANIFEST_NAME, SUMS_NAME } from '../archive/format.ts';
import type { StoredBackup } from '../archive/objects.ts';
import { artifactObjects } from '../archive/objects.ts';
import { DguardError, toDguardError } from '../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../manifest/parse.ts';
import type { Manifest, ManifestArtifact } from '../manifest/types.ts';
import { readObject } from '../storages/read.ts';
import type { Storage, StoredObject } from '../storages/types.ts';
import { type Lease, leaseKeys, readLease } from './lease.ts';
import { markKeys, newestMark } from './marks.ts';

/** A destination that was opened. */
export interface Destination {
  readonly name: string;
  readonly storage: Storage;
  readonly pathTemplate: string;
  /** It may be offline: that it cannot be read is no failure. */
  readonly optional?: boolean;
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
  /** A suspect one that a person has accepted. */
  readonly accepted: boolean;
  /** A checkpoint, or pinned by name, and not unpinned since. */
  readonly pinned: boolean;
  /** It carries the mark of a prune or delete that has not ended, or was interrupted. */
  readonly deleting: boolean;
  /** All its bytes are there as far as listing and verify know, and those of all that it refers to. */
  readonly intact: boolean;
  /** Intact, and completed or accepted. */
  readonly good: boolean;
}

/** A folder without a manifest in which a lease lies: a run under way, or what one has left. */
export interface UnfinishedFolder {
  readonly destination: Destination;
  readonly folder: string;
  readonly objects: readonly StoredObject[];
  /** Undefined where no lease can be read, or none names this very folder: never ours to sweep. */
  readonly lease: Lease | undefined;
  /** Of its newest object, by the storage's own clock. */
  readonly newestAt: Date;
}

/** All that is dguard's at one destination. */
export interface Catalog {
  readonly destination: Destination;
  /** Newest first. */
  readonly entries: readonly CatalogEntry[];
  readonly unfinished: readonly UnfinishedFolder[];
}

const BESIDES = /^(lease|verified|accepted|pinned|deleting|key)-[A-Za-z0-9._-]+\.json$/;
const CONCURRENT_READS = 16;

/** All backups of a destination. A listing error throws: it is never an empty catalog. */
export async function readCatalog(destination: Destination, signal: AbortSignal): Promise<Catalog> {
  const entries: CatalogEntry[] = [];
  const leased: Folder[] = [];
  let held: Folder[] = [];
  const readHeld = async () => {
    const read = ({ folder, objects }: Folder) => readEntry(destination, folder, objects, signal);
    entries.push(...(await inBatches(held, read)));
    held = [];
  };
  // Manifests are read while the listing goes on: a thread may be ahead with it.
  for await (const found of wholeFolders(destination.storage.list('', { signal }), destination.name)) {
    const { folder, objects } = found;
    if (objects.some(({ key }) => key === `${folder}/${MANIFEST_NAME}`)) held.push(found);
    else if (leaseKeys(objects).length > 0) leased.push(found);
    if (held.length >= CONCURRENT_READS) await readHeld();
  }
  await readHeld();
  const unfinished = await inBatches(leased, async ({ folder, objects }) => ({
    destination,
    folder,
    objects,
    lease: await readLease(destination.storage, folder, objects, signal),
    newestAt: new Date(Math.max(...objects.map(({ modifiedAt }) => modifiedAt.getTime()))),
  }));
  return { destination, entries: withReferences(entries).sort(newestFirst), unfinished };
}

interface Folder {
  readonly folder: string;
  readonly objects: readonly StoredObject[];
}

/**
 * Folders with the objects that lie in them directly, each as soon as all of it has been listed: by the order
 * of keys that is when a key comes which is not below it. What lies in no folder is left out.
 */
async function* wholeFolders(listing: AsyncIterable<StoredObject>, label: string): AsyncGenerator<Folder> {
  const open: { folder: string; objects: StoredObject[] }[] = [];
  let before = '';
  for await (const object of listing) {
    // A folder that comes in two parts would seem to hold a lease and no manifest, and prune sweeps such.
    if (object.key <= before) {
      throw new DguardError('storage_failed', `${object.key} is listed after ${before}: out of order`, {
        operation: 'list',
        subject: label,
        hint: 'list again; nothing was changed',
      });
    }
    before = object.key;
    const slash = object.key.lastIndexOf('/');
    if (slash === -1) continue;
    const folder = object.key.slice(0, slash);
    let top = open.at(-1);
    while (top && !`${folder}/`.startsWith(`${top.folder}/`)) {
      yield top;
      open.pop();
      top = open.at(-1);
    }
    if (top?.folder === folder) top.objects.push(object);
    else open.push({ folder, objects: [object] });
  }
  yield* open;
}

/** Newest first; what cannot be read comes last. */
export function newestFirst(a: CatalogEntry, b: CatalogEntry): number {
  const left = a.manifest?.created_at ?? '';
  const right = b.manifest?.created_at ?? '';
  if (left === right) return a.folder < b.folder ? 1 : a.folder > b.folder ? -1 : 0;
  return left < right ? 1 : -1;
}

async function inBatches<T, R>(items: readonly T[], read: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += CONCURRENT_READS) {
    results.push(...(await Promise.all(items.slice(at, at + CONCURRENT_READS).map(read))));
  }
  return results;
}

async function readEntry(
  destination: Destination,
  folder: string,
  objects: readonly StoredObject[],
  signal: AbortSignal,
): Promise<CatalogEntry> {
  const key = `${folder}/${MANIFEST_NAME}`;
  const deleting = markKeys(objects, 'deleting').length > 0;
  let bytes: Uint8Array | undefined;
  let manifest: Manifest;
  try {
    bytes = await readObject(destination.storage, key, MAX_MANIFEST_BYTES, signal);
    manifest = parseManifest(bytes, `${destination.name}:${key}`);
  } catch (thrown) {
    const error = toDguardError(thrown, 'storage_failed', { operation: 'read manifest', subject: key });
    if (error.code !== 'corrupt' && error.code !== 'too_new') throw error;
    return {
      destination,
      folder,
      objects,
      deleting,
      manifest: undefined,
      manifestBytes: bytes,
      error,
      foreign: [],
      state: 'damaged',
      problems: [error.message],
      verified: undefined,
      accepted: false,
      pinned: false,
      intact: false,
      good: false,
    };
  }
  const { storage } = destination;
  const { problems, foreign } = await compareObjects({ storage, folder, manifest }, objects, signal);
  const verified = await newestMark(storage, objects, 'verified', bytes, verifyResult, signal);
  const accepted =
    manifest.status === 'suspect' &&
    (await newestMark(storage, objects, 'accepted', bytes, () => true, signal)) === true;
  const pinned =
    (await newestMark(storage, objects, 'pinned', bytes, pinnedOf, signal)) ?? manifest.type === 'checkpoint';
  const intact = problems.length === 0 && verified?.result !== 'fail' && manifest.status !== 'failed';
  return {
    destination,
    folder,
    objects,
    deleting,
    manifest,
    manifestBytes: bytes,
    error: undefined,
    foreign,
    state: problems.length > 0 ? 'broken' : verified?.result === 'fail' ? 'verify failed' : manifest.status,
    problems,
    verified,
    accepted,
    pinned,
    intact,
    good: intact && (manifest.status === 'completed' || accepted),
  };
}

function verifyResult(value: Readonly<Record<string, unknown>>): VerifyResult | undefined {
  const { level, result, made_at } = value;
  const known = typeof level === 'string' && typeof made_at === 'string';
  return known && (result === 'pass' || result === 'fail')
    ? { level, result, checked_at: made_at }
    : undefined;
}

function pinnedOf(value: Readonly<Record<string, unknown>>): boolean | undefined {
  return typeof value['pinned'] === 'boolean' ? value['pinned'] : undefined;
}

/**
 * The manifest against the folder's listing: what is missing or of another size, and what is foreign. Where
 * the index lists the artifacts, it is read only if their number or bytes are not those that are recorded.
 */
async function compareObjects(stored: StoredBackup, objects: readonly StoredObject[], signal: AbortSignal) {
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

/** A backup that refers to one which is missing or not intact is not intact either, however far up that is. */
function withReferences(entries: readonly CatalogEntry[]): CatalogEntry[] {
  const intact = intactIds(entries);
  return entries.map((entry) => {
    const lost = (entry.manifest?.references ?? []).filter(({ id }) => !intact.has(id));
    if (lost.length === 0) return entry;
    const problems = [
      ...entry.problems,
      ...lost.map(({ id }) => `the backup ${id}, which it needs, is not intact`),
    ];
    return { ...entry, problems, state: 'broken' as const, intact: false, good: false };
  });
}

/** From those that refer to nothing upwards, so what goes in a circle is never reached. */
function intactIds(entries: readonly CatalogEntry[]): Set<string> {
  const byId = new Map(
    entries.flatMap(({ manifest, intact }) =>
      manifest ? [[manifest.id, { manifest, intact }] as const] : [],
    ),
  );
  const missing = new Map([...byId].map(([id, { manifest }]) => [id, manifest.references.length]));
  const dependents = new Map<string, string[]>();
  for (const [id, { manifest }] of byId) {
    for (const reference of manifest.references) {
      const before = dependents.get(reference.id);
      if (before) before.push(id);
      else dependents.set(reference.id, [id]);
    }
  }
  const found = new Set<string>();
  const open = [...byId.keys()].filter((id) => missing.get(id) === 0);
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (!byId.get(id)?.intact) continue;
    found.add(id);
    for (const dependent of dependents.get(id) ?? []) {
      const left = missing.get(dependent)! - 1;
      missing.set(dependent, left);
      if (left === 0) open.push(dependent);
    }
  }
  return found;
}
