import { setTimeout as sleep } from 'node:timers/promises';
import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { Catalog, Destination } from '../catalog.ts';
import { readCatalogs } from '../find.ts';
import { type Group, nameIn } from '../groups.ts';
import { LEASE_EXPIRES_MS } from '../lease.ts';
import { markKeys } from '../marks.ts';
import { isOfEarlierBoot, ownerText, sharedOwnerState } from '../owner.ts';

const LEASE_POLL_MS = 15_000;

/** Reads the destinations, and waits while another host writes a backup of this group there. Errors: locked. */
export async function waitForOthers(
  destinations: readonly Destination[],
  group: Group,
  waitMs: number,
  runtime: Runtime,
): Promise<readonly Catalog[]> {
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    const { catalogs, errors } = await readCatalogs(destinations, runtime.signal);
    if (errors.length > 0 && catalogs.length === 0) throw errors[0]!.error;
    const busy = catalogs
      .flatMap(({ unfinished }) => unfinished)
      .find(({ lease, newestAt, objects }) => {
        // What is marked is being deleted, not written.
        if (!lease || markKeys(objects, 'deleting').length > 0) return false;
        if (nameIn(group, lease) !== group.datasource) return false;
        // The lock of this host is ours: what else of it left a lease is dead, or does not share our locks.
        const { host } = runtime;
        if (sharedOwnerState(lease, host) === 'dead' || isOfEarlierBoot(lease, host)) return false;
        return runtime.now().getTime() - newestAt.getTime() < LEASE_EXPIRES_MS;
      });
    if (!busy) return catalogs;
    if (performance.now() >= giveUpAt) {
      throw new DguardError(
        'locked',
        `${ownerText(busy.lease!)} writes a backup of it since ${busy.lease!.started_at}`,
        {
          operation: 'lock',
          subject: `${busy.destination.name}:${busy.folder}`,
          hint: 'wait for it (--wait-lock 30m); its lease ends by itself when it is not renewed for 2.5 h',
        },
      );
    }
    await sleep(Math.min(LEASE_POLL_MS, giveUpAt - performance.now()), undefined, { signal: runtime.signal });
  }
}
