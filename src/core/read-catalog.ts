import { MANIFEST_NAME } from '../archive/format.ts';
import { type DguardError, toDguardError } from '../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../manifest/parse.ts';
import type { Manifest } from '../manifest/types.ts';
import { readObject } from '../storages/read.ts';
import type { StoredObject } from '../storages/types.ts';
import { type Catalog, type CatalogEntry, type Destination, newestFirst } from './catalog.ts';
import { compareObjects } from './compare-objects.ts';
import { type Folder, wholeFolders } from './folders.ts';
import { withReferences } from './intact.ts';
import { leaseKeys, readLease } from './lease.ts';
import { markKeys, newestMark } from './marks.ts';
import { readVerified } from './verified.ts';

const CONCURRENT_READS = 16;

/**
 * All backups of a destination. A listing error throws: it is never an empty catalog. So does an object that the
 * storage does not give: it may be a pin, or name what somebody needs.
 */
export async function readCatalog(destination: Destination, signal: AbortSignal): Promise<Catalog> {
  const catalog = await readCatalogWithGaps(destination, signal);
  for (const { unread } of catalog.entries) if (unread) throw unread;
  return catalog;
}

/**
 * As `readCatalog`, for who takes nothing away: one object that the storage does not give (a bad sector, another
 * user's file) costs its own backup alone, which is then `unread`.
 */
export async function readCatalogWithGaps(destination: Destination, signal: AbortSignal): Promise<Catalog> {
  const entries: CatalogEntry[] = [];
  const leased: Folder[] = [];
  let held: Folder[] = [];
  const readHeld = async () => {
    const read = ({ folder, objects }: Folder) => readEntry(destination, folder, objects, signal);
    entries.push(...(await inBatches(held, read)));
    held = [];
  };
  // Manifests are read while the listing goes on: a thread may be ahead with it.
  const listing = destination.storage.list('', { signal, readNext: MANIFEST_NAME });
  for await (const found of wholeFolders(listing, destination.name)) {
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
    bytes =
      objects.find((object) => object.key === key)?.bytes ??
      (await readObject(destination.storage, key, MAX_MANIFEST_BYTES, signal));
    manifest = parseManifest(bytes, `${destination.name}:${key}`);
  } catch (thrown) {
    const error = toDguardError(thrown, 'storage_failed', { operation: 'read manifest', subject: key });
    const unread = error.code === 'storage_failed' ? error : undefined;
    if (!unread && error.code !== 'corrupt' && error.code !== 'too_new') throw error;
    return {
      ...(unread && { unread }),
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
      proof: undefined,
      accepted: false,
      pinned: false,
      intact: false,
      good: false,
    };
  }
  const { storage } = destination;
  let unread: DguardError | undefined;
  /**
   * What is taken for granted where the storage does not give what would tell. A failed proof that is overlooked does
   * no harm here: whoever reads the content proves it anew, and who deletes sees that something is unread.
   */
  const readOr = async <T>(otherwise: T, read: Promise<T>): Promise<T> => {
    try {
      return await read;
    } catch (thrown) {
      const error = toDguardError(thrown, 'storage_failed', { operation: 'read backup', subject: folder });
      if (error.code !== 'storage_failed') throw error;
      unread ??= error;
      return otherwise;
    }
  };
  const { problems, foreign } = await readOr(
    { problems: [], foreign: [] },
    compareObjects({ storage, folder, manifest }, objects, signal),
  );
  const { verified, proof } = await readOr(
    { verified: undefined, proof: undefined },
    readVerified(storage, objects, bytes, signal),
  );
  const accepted =
    manifest.status === 'suspect' &&
    (await readOr(
      undefined,
      newestMark(storage, objects, 'accepted', bytes, () => true, signal),
    )) === true;
  const pinned =
    (await readOr(true, newestMark(storage, objects, 'pinned', bytes, pinnedOf, signal))) ??
    (manifest.type === 'checkpoint' && manifest.status !== 'failed');
  const intact = problems.length === 0 && verified?.result !== 'fail' && manifest.status !== 'failed';
  return {
    destination,
    folder,
    objects,
    deleting,
    manifest,
    manifestBytes: bytes,
    error: undefined,
    ...(unread && { unread }),
    foreign,
    state: problems.length > 0 ? 'broken' : verified?.result === 'fail' ? 'verify failed' : manifest.status,
    problems,
    verified,
    proof,
    accepted,
    pinned,
    intact,
    good: intact && (manifest.status === 'completed' || accepted),
  };
}

function pinnedOf(value: Readonly<Record<string, unknown>>): boolean | undefined {
  return typeof value['pinned'] === 'boolean' ? value['pinned'] : undefined;
}
