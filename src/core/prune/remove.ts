import { leaseName, MANIFEST_NAME } from '../../archive/format.ts';
import type { Runtime } from '../../runtime.ts';
import type { Storage, StoredObject } from '../../storages/types.ts';
import type { Catalog, CatalogEntry, Destination } from '../catalog.ts';
import { LEASE_EXPIRES_MS } from '../lease.ts';
import { putMark } from '../marks.ts';
import { ownerText, sharedOwnerState } from '../owner.ts';
import { readCatalog } from '../read-catalog.ts';
import { isReadLease, readReader } from '../reading.ts';
import { ownNames } from './names.ts';

export interface Removal {
  readonly removed: readonly CatalogEntry[];
  /** What was spared at the last moment, and why. */
  readonly spared: readonly { entry: CatalogEntry; reason: string }[];
  /** Keys in the removed folders that are not dguard's, and were left alone. */
  readonly left: readonly string[];
}

/**
 * Removes copies of backups at one destination without taking one away from a backup that is being written
 * on top of it, without locks or clocks: first a mark beside each victim, then everything is listed again,
 * then what nobody needs is deleted: the manifest first, the data, the lease last, so that an interrupted
 * removal is no half backup and stays sweepable. A writer for its part puts its lease before it reads a
 * parent, and looks for marks before its manifest.
 */
export async function removeCopies(
  destination: Destination,
  victims: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<Removal> {
  const { storage } = destination;
  const removed: CatalogEntry[] = [];
  const spared: Removal['spared'][number][] = [];
  const left: string[] = [];
  const marks = new Map<CatalogEntry, StoredObject>();
  try {
    for (const entry of victims) {
      const id = entry.manifest?.id ?? entry.folder;
      const fields = { id, manifestBytes: entry.manifestBytes };
      marks.set(entry, await putMark(storage, entry.folder, 'deleting', fields, runtime));
    }
    const now = await readCatalog(destination, runtime.signal);
    const doomed = new Set(victims.map(({ folder }) => folder));
    // What refers to others goes before what it refers to.
    const ordered = [...victims].sort((a, b) =>
      (a.manifest?.created_at ?? '') < (b.manifest?.created_at ?? '') ? 1 : -1,
    );
    for (const entry of ordered) {
      const mark = marks.get(entry)!;
      const reason =
        whyNeeded(entry, now, doomed, mark.modifiedAt) ??
        (await whyRead(entry, now, mark.modifiedAt, runtime));
      if (reason !== undefined) {
        doomed.delete(entry.folder);
        await storage.delete(mark.key);
        marks.delete(entry);
        spared.push({ entry, reason });
      }
    }
    for (const entry of ordered) {
      if (!marks.has(entry)) continue;
      const current = now.entries.find(({ folder }) => folder === entry.folder) ?? entry;
      const own = await ownNames(current, now.entries, runtime.signal);
      await removeNames(storage, entry.folder, own);
      marks.delete(entry);
      removed.push(entry);
      for (const { key } of current.objects) {
        if (!own.includes(key.slice(entry.folder.length + 1))) left.push(key);
      }
    }
  } catch (error) {
    // A mark left behind would make the next backup look for another parent: take back what can be.
    for (const [entry, mark] of marks) {
      const there = await storage.stat(`${entry.folder}/${MANIFEST_NAME}`).catch(() => undefined);
      if (there) await storage.delete(mark.key).catch(() => undefined);
    }
    throw error;
  }
  return { removed, spared, left };
}

/** Deletes objects of one folder in the order that leaves nothing half: the manifest, the data, marks, leases. */
export async function removeNames(storage: Storage, folder: string, names: readonly string[]): Promise<void> {
  const rank = (name: string) => {
    if (name === MANIFEST_NAME) return 0;
    if (name === leaseName(0)) return 4;
    if (name.startsWith('lease-')) return 3;
    return name.startsWith('deleting-') ? 2 : 1;
  };
  for (const name of [...names].sort((a, b) => rank(a) - rank(b))) await storage.delete(`${folder}/${name}`);
}

function whyNeeded(
  victim: CatalogEntry,
  now: Catalog,
  doomed: ReadonlySet<string>,
  storageNow: Date,
): string | undefined {
  const id = victim.manifest?.id;
  for (const { manifest, folder } of now.entries) {
    if (doomed.has(folder) || id === undefined) continue;
    if (manifest?.references.some((reference) => reference.id === id)) return `${manifest.id} needs it`;
  }
  for (const { lease, folder, newestAt } of now.unfinished) {
    if (!lease) {
      // An old one is somebody else's file of that name, or of a run that is long over.
      if (storageNow.getTime() - newestAt.getTime() >= LEASE_EXPIRES_MS) continue;
      return `${folder} holds a lease that cannot be read: it may need it`;
    }
    if (id !== undefined && lease.references.includes(id))
      return `${lease.id}, which is being written, needs it`;
  }
  return undefined;
}

/** That somebody reads it, as far as their leases say, and not of a process of this host that has ended. */
async function whyRead(
  victim: CatalogEntry,
  now: Catalog,
  storageNow: Date,
  { host, signal }: Runtime,
): Promise<string | undefined> {
  const { storage } = now.destination;
  const current = now.entries.find(({ folder }) => folder === victim.folder);
  for (const { key, modifiedAt } of current?.objects ?? []) {
    const until = new Date(modifiedAt.getTime() + LEASE_EXPIRES_MS);
    if (!isReadLease(key) || storageNow >= until) continue;
    const reader = await readReader(storage, key, signal);
    if (reader === 'gone' || (reader && sharedOwnerState(reader, host) === 'dead')) continue;
    const who = reader === undefined || reader.host === '' ? '' : `, by ${ownerText(reader)}`;
    return `it is being read (restore, verify or sync)${who}; its lease ends at ${until.toISOString()}, unless it is renewed`;
  }
  return undefined;
}
