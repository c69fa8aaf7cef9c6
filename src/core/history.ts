import type { Manifest } from '../manifest/types.ts';
import { type IdentityHistory, judgeIdentities } from '../plan/identity.ts';
import type { CatalogEntry } from './catalog.ts';
import { isDatedAhead, isOutsideHistory } from './find.ts';
import { type Group, isOfGroup } from './groups.ts';

/** Past runs of one group, each backup once, whatever number of copies it has. */
export interface History {
  /** Newest first; failed runs and what is dated in the future among them. */
  readonly manifests: readonly Manifest[];
  /** The newest good backup of the whole datasource, by any copy. */
  readonly lastGood: Manifest | undefined;
  /** Suspect ones since then, newest first. */
  readonly suspects: readonly Manifest[];
  readonly identities: readonly string[];
  readonly identity: IdentityHistory;
}

/**
 * The history of a group out of what listing found; `entries` may be of several destinations. With `hostName`, that
 * of the host that asks, what it backed up last counts as still there: its source and the newest one take turns, too.
 */
export function historyOf(
  entries: readonly CatalogEntry[],
  group: Group,
  now: Date,
  hostName?: string,
): History {
  return historyOfOne(
    entries.filter(({ manifest }) => manifest && isOfGroup(manifest, group)),
    now,
    hostName,
  );
}

/** The same of entries that are all of one group. */
export function historyOfOne(entries: readonly CatalogEntry[], now: Date, hostName?: string): History {
  const byId = new Map<string, { manifest: Manifest; good: boolean; accepted: boolean }>();
  for (const { manifest, good, accepted } of entries) {
    if (!manifest) continue;
    const known = byId.get(manifest.id);
    byId.set(manifest.id, {
      manifest,
      good: good || known?.good === true,
      accepted: accepted || known?.accepted === true,
    });
  }
  const runs = [...byId.values()].sort((a, b) => (a.manifest.created_at < b.manifest.created_at ? 1 : -1));
  const judged = runs.filter(({ manifest }) => !isOutsideHistory(manifest) && !isDatedAhead(manifest, now));
  const lastGood = judged.find(({ good }) => good)?.manifest;
  const suspects = judged
    .filter(({ manifest, accepted }) => manifest.status === 'suspect' && !accepted)
    .map(({ manifest }) => manifest)
    .filter((manifest) => !lastGood || manifest.created_at > lastGood.created_at);
  const sources = judged.flatMap(({ manifest }) => (manifest.status === 'failed' ? [] : [manifest]));
  const identities = sources.map(({ source_identity }) => source_identity).reverse();
  const own = sources.find(({ host }) => hostName !== undefined && host === hostName)?.source_identity;
  return {
    manifests: runs.map(({ manifest }) => manifest),
    lastGood,
    suspects,
    identities,
    identity: judgeIdentities(own === undefined ? identities : [...identities, own]),
  };
}
