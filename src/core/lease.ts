import type { Fanout, Target } from '../archive/fanout.ts';
import { leaseName } from '../archive/format.ts';
import { canonicalJson } from '../manifest/canonical.ts';
import type { Runtime } from '../runtime.ts';
import { readObject } from '../storages/read.ts';
import type { Storage, StoredObject } from '../storages/types.ts';
import { putBytes } from '../storages/write.ts';
import { type Owner, ownerOf, readOwner } from './owner.ts';

const RENEW_MS = 60 * 60 * 1000;
/** A lease that was not renewed for this long is nobody's any more: two renewals were missed. */
export const LEASE_EXPIRES_MS = 2.5 * RENEW_MS;
const MAX_LEASE_BYTES = 1024 * 1024;
/** Begins the folders that a check writes to and removes again; each holds one lease, of no job. */
export const PROBE_FOLDER = 'dguard-check';

/** Who writes a backup, and what it will refer to. */
export interface Lease extends Owner {
  readonly id: string;
  readonly namespace: string;
  readonly job: string;
  readonly datasource: string;
  readonly started_at: string;
  readonly references: readonly string[];
}

/**
 * Says at every destination who writes here and what it will refer to: the first object of a folder,
 * renewed hourly by a further one. `stop` ends the renewal and waits for one under way.
 */
export async function holdLease(
  fanout: Fanout,
  targets: readonly Target[],
  facts: Omit<Lease, keyof Owner | 'started_at'> & { startedAt: Date },
  runtime: Runtime,
) {
  let number = 0;
  const objects = new Map<Target, Map<string, StoredObject>>(targets.map((target) => [target, new Map()]));
  let renewal: Promise<void> = Promise.resolve();
  const { startedAt, ...known } = facts;

  async function put(): Promise<void> {
    const name = leaseName(number++);
    await Promise.all(
      targets
        .filter((target) => !fanout.dropped.has(target))
        .map(async (target) => {
          const text = canonicalJson({
            format: 1,
            ...known,
            references: [...known.references],
            folder: target.folder,
            ...ownerOf(runtime.host),
            started_at: startedAt.toISOString(),
          });
          const key = `${target.folder}/${name}`;
          const stored = await fanout.attempt(target, (signal) =>
            putBytes(target.storage, key, Buffer.from(text), { signal }),
          );
          if (stored) objects.get(target)?.set(name, stored);
        }),
    );
  }

  await put();
  const timer = setInterval(() => {
    renewal = renewal.then(put);
  }, RENEW_MS);
  timer.unref();
  return {
    /** The leases at a destination, by name. */
    objects: (target: Target): ReadonlyMap<string, StoredObject> => objects.get(target) ?? new Map(),
    async stop(): Promise<void> {
      clearInterval(timer);
      await renewal;
    },
  };
}

/** The keys of a folder's leases, newest first. A reader's lease (`lease-read-…`) is not a writer's. */
export function leaseKeys(objects: readonly StoredObject[]): string[] {
  return objects
    .map(({ key }) => key)
    .filter((key) => /\/lease-\d{4,}\.json$/.test(key))
    .sort()
    .reverse();
}

/** The newest lease that names this very folder, or undefined: then the folder is not known to be ours. */
export async function readLease(
  storage: Storage,
  folder: string,
  objects: readonly StoredObject[],
  signal?: AbortSignal,
): Promise<Lease | undefined> {
  for (const key of leaseKeys(objects)) {
    const bytes = await readObject(storage, key, MAX_LEASE_BYTES, signal).catch((error: unknown) => {
      const code = (error as { code?: string }).code;
      if (code === 'corrupt' || code === 'storage_not_found') return undefined;
      throw error;
    });
    const lease = bytes && parseLease(bytes, folder);
    if (lease) return lease;
  }
  return undefined;
}

function parseLease(bytes: Buffer, folder: string): Lease | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const text = (field: string) => (typeof value[field] === 'string' ? (value[field] as string) : '');
  const { references } = value;
  if (value['folder'] !== folder || text('id') === '' || !Array.isArray(references)) return undefined;
  return {
    id: text('id'),
    namespace: text('namespace'),
    job: text('job'),
    datasource: text('datasource'),
    ...readOwner(value),
    started_at: text('started_at'),
    references: references.filter((id): id is string => typeof id === 'string'),
  };
}
