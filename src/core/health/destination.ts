import { randomBytes } from 'node:crypto';
import { leaseName } from '../../archive/format.ts';
import { abortError, DguardError, toDguardError } from '../../errors.ts';
import { canonicalJson } from '../../manifest/canonical.ts';
import type { Runtime } from '../../runtime.ts';
import { readObject } from '../../storages/read.ts';
import type { Storage, StorageSpace } from '../../storages/types.ts';
import { putBytes } from '../../storages/write.ts';
import type { Destination } from '../catalog.ts';
import { PROBE_FOLDER } from '../lease.ts';
import { ownerOf } from '../owner.ts';
import { withTimeLimit } from './limit.ts';

export interface DestinationHealth extends StorageSpace {
  readonly name: string;
  readonly type: string;
  /** Where it is; undefined where it could not be opened. */
  readonly label?: string;
  /** `unreachable`: it cannot be used as it is, whatever the reason: `error` says it. */
  readonly status: 'healthy' | 'full' | 'unreachable';
  /** Of one object written, read back and deleted. */
  readonly roundTripMs?: number;
  /** How far its clock is ahead of ours, as far as the time of the round trip lets one tell. */
  readonly clockAheadMs?: number;
  /** It may be offline. */
  readonly optional: boolean;
  readonly error?: DguardError;
}

/** Less than this is nothing: what is small passes a limit (`max_size_gb`), but no backup does. */
const FULL_BELOW_BYTES = 1024 * 1024;

/**
 * Looks at one destination: free space, and whether what is written to it comes back. Leaves nothing there.
 * Never throws for what a status can say; an interruption throws.
 */
export async function checkDestination(
  name: string,
  type: string,
  optional: boolean,
  open: (name: string) => Promise<Destination>,
  limitMs: number,
  runtime: Runtime,
): Promise<DestinationHealth> {
  const base = { name, type, optional };
  let storage: Storage | undefined;
  try {
    return await withTimeLimit(name, limitMs, runtime, async (limited) => {
      storage = (await open(name)).storage;
      const { signal } = limited;
      const found = { ...base, type: storage.type, label: storage.label };
      let space = await storage.space({ signal });
      if (!storage.capabilities.writable) return { ...found, ...space, status: 'healthy' };
      if ((space.freeBytes ?? FULL_BELOW_BYTES) < FULL_BELOW_BYTES)
        return { ...found, ...space, status: 'full', error: fullError(name, space) };
      const trip = await roundTrip(storage, limited);
      space = await storage.space({ signal });
      return { ...found, ...space, ...trip, status: 'healthy' };
    });
  } catch (thrown) {
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    const known = toDguardError(thrown, 'storage_failed');
    const { code, message, hint, cause } = known;
    const details = { operation: 'check', subject: name, ...(hint === undefined ? {} : { hint }), cause };
    const error = new DguardError(code, message, details);
    const label = storage === undefined ? {} : { label: storage.label };
    return { ...base, ...label, status: code === 'storage_full' ? 'full' : 'unreachable', error };
  }
}

/**
 * Writes an object, reads it back, deletes it. It is a lease alone in a folder of its own, so that what a kill
 * leaves is known to be ours and swept by the next prune.
 */
async function roundTrip(
  storage: Storage,
  runtime: Runtime,
): Promise<{ roundTripMs: number; clockAheadMs: number }> {
  const { signal } = runtime;
  const id = `${PROBE_FOLDER}-${randomBytes(8).toString('hex')}`;
  const key = `${id}/${leaseName(0)}`;
  const bytes = Buffer.from(
    canonicalJson({
      format: 1,
      id,
      folder: id,
      namespace: '',
      job: '',
      datasource: '',
      ...ownerOf(runtime.host),
      started_at: runtime.now().toISOString(),
      references: [],
    }),
  );
  const begun = performance.now();
  const before = runtime.now().getTime();
  try {
    const { modifiedAt } = await putBytes(storage, key, bytes, { signal });
    const after = runtime.now().getTime();
    const back = await readObject(storage, key, bytes.length, signal);
    if (!back.equals(bytes)) {
      throw new DguardError('storage_failed', `${key} was written, and other bytes came back`, {
        hint: 'do not trust this destination until its disk or service was looked at',
      });
    }
    await storage.delete(key, { signal });
    if ((await storage.stat(key, { signal })) !== undefined) {
      throw new DguardError('storage_failed', `${key} was deleted, and is still there`, {
        hint: 'see whether its credentials may delete objects; retention could not remove anything',
      });
    }
    const theirs = modifiedAt.getTime();
    // Somewhere between these two it was written; services tell whole seconds.
    const ahead = theirs > after ? theirs - after : theirs + 1000 < before ? theirs - before : 0;
    return { roundTripMs: Math.round(performance.now() - begun), clockAheadMs: ahead };
  } catch (error) {
    // An aborted signal must not keep it from being removed.
    await storage.delete(key).catch(() => undefined);
    throw error;
  }
}

function fullError(name: string, { limitBytes }: StorageSpace): DguardError {
  const why = limitBytes === undefined ? 'the disk is full' : 'what max_size_gb allows is used up';
  return new DguardError('storage_full', `no backup fits any more: ${why}`, {
    operation: 'check',
    subject: name,
    hint: 'make room there: `dguard prune --dry-run` shows what retention would remove',
  });
}
