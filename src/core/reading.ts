import { randomBytes } from 'node:crypto';
import { throwIfAborted } from '../errors.ts';
import { canonicalJson } from '../manifest/canonical.ts';
import type { Runtime } from '../runtime.ts';
import { readObject } from '../storages/read.ts';
import type { Storage, StoredObject } from '../storages/types.ts';
import { putBytes } from '../storages/write.ts';
import type { CatalogEntry } from './catalog.ts';
import { type Owner, ownerOf, readOwner } from './owner.ts';

const RENEW_MS = 60 * 60 * 1000;
const MAX_BYTES = 64 * 1024;

/**
 * Says beside a backup, and all that it refers to at that destination, that they are being read, so that a
 * prune elsewhere spares them; renewed hourly, taken away at the end. Where dguard may not write, nothing is
 * said: reading must work there too.
 */
export async function holdReadLease(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  operation: string,
  runtime: Runtime,
): Promise<{ release(): Promise<void> }> {
  const { storage } = copy.destination;
  if (!storage.capabilities.writable) return { release: async () => undefined };
  const needed = new Set(copy.manifest?.references.map(({ id }) => id));
  const folders = [
    copy.folder,
    ...all
      .filter(
        ({ destination, manifest }) =>
          destination === copy.destination && manifest && needed.has(manifest.id),
      )
      .map(({ folder }) => folder),
  ];
  const held: StoredObject[] = [];
  let renewal = put();
  await renewal;
  const timer = setInterval(() => {
    renewal = renewal.then(put);
  }, RENEW_MS);
  timer.unref();

  async function put(): Promise<void> {
    const text = canonicalJson({
      format: 1,
      operation,
      ...ownerOf(runtime.host),
      made_at: runtime.now().toISOString(),
    });
    for (const folder of folders) {
      const key = `${folder}/lease-read-${randomBytes(8).toString('hex')}.json`;
      await putBytes(storage, key, Buffer.from(text)).then(
        (object) => held.push(object),
        () => undefined,
      );
    }
  }

  return {
    async release() {
      clearInterval(timer);
      await renewal;
      for (const { key } of held) await storage.delete(key).catch(() => undefined);
    },
  };
}

export function isReadLease(key: string): boolean {
  return /\/lease-read-[^/]+$/.test(key);
}

/** Who reads, by a lease; undefined where it cannot be read, and `gone` where it was taken away meanwhile. */
export async function readReader(
  storage: Storage,
  key: string,
  signal: AbortSignal,
): Promise<Owner | 'gone' | undefined> {
  try {
    const bytes = await readObject(storage, key, MAX_BYTES, signal);
    return readOwner(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>);
  } catch (error) {
    throwIfAborted(signal);
    return (error as { code?: string }).code === 'storage_not_found' ? 'gone' : undefined;
  }
}
