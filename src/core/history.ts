import { DguardError } from '../errors.ts';
import type { Manifest } from '../manifest/types.ts';
import { isFromTheFuture } from '../plan/clock.ts';
import { type IdentityHistory, judgeIdentities } from '../plan/identity.ts';
import type { CatalogEntry } from './catalog.ts';
import { isOutsideHistory } from './find.ts';

/** What belongs together: parents, retention, gate and "the newest" are within one group. */
export interface Group {
  readonly namespace: string;
  readonly job: string;
  /** The datasource's name; of one that holds several databases `{datasource}.{database}`. */
  readonly datasource: string;
  /** Earlier `job/datasource` names of the same history. */
  readonly formerly: readonly string[];
}

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

export function isOfGroup(manifest: Manifest, group: Group): boolean {
  if ((manifest.namespace ?? '') !== group.namespace) return false;
  const name = `${manifest.job}/${manifest.datasource.name}`;
  return name === `${group.job}/${group.datasource}` || group.formerly.includes(name);
}

/** The history of a group out of what listing found; `entries` may be of several destinations. */
export function historyOf(entries: readonly CatalogEntry[], group: Group, now: Date): History {
  const byId = new Map<string, { manifest: Manifest; good: boolean; accepted: boolean }>();
  for (const { manifest, good, accepted } of entries) {
    if (!manifest || !isOfGroup(manifest, group)) continue;
    const known = byId.get(manifest.id);
    byId.set(manifest.id, {
      manifest,
      good: good || known?.good === true,
      accepted: accepted || known?.accepted === true,
    });
  }
  const runs = [...byId.values()].sort((a, b) => (a.manifest.created_at < b.manifest.created_at ? 1 : -1));
  const judged = runs.filter(
    ({ manifest }) => !isOutsideHistory(manifest) && !isFromTheFuture(new Date(manifest.created_at), now),
  );
  const lastGood = judged.find(({ good }) => good)?.manifest;
  const suspects = judged
    .filter(({ manifest, accepted }) => manifest.status === 'suspect' && !accepted)
    .map(({ manifest }) => manifest)
    .filter((manifest) => !lastGood || manifest.created_at > lastGood.created_at);
  const identities = judged
    .filter(({ manifest }) => manifest.status !== 'failed')
    .map(({ manifest }) => manifest.source_identity)
    .reverse();
  return {
    manifests: runs.map(({ manifest }) => manifest),
    lastGood,
    suspects,
    identities,
    identity: judgeIdentities(identities),
  };
}

/**
 * The newest run of a job in which every wanted datasource has a good backup, one copy each; `at` leaves
 * out what is younger. Never chosen: what is dated ahead of `now`, safety backups, selections (`--only`).
 * Errors: nothing_there; config_invalid where two sources write under one name, unless the job says that they
 * are one.
 */
export function newestGoodRun(
  entries: readonly CatalogEntry[],
  job: string,
  options: { now: Date; datasources?: readonly string[]; at?: Date; sameSource?: boolean },
): CatalogEntry[] {
  const ofJob = entries.filter(
    ({ manifest, good }) =>
      good &&
      manifest?.job === job &&
      !(options.at && new Date(manifest.created_at) > options.at) &&
      !isFromTheFuture(new Date(manifest.created_at), options.now) &&
      !isOutsideHistory(manifest),
  );
  if (!options.sameSource) refuseMixedSources(entries, job, options);
  const known = new Set(
    entries.flatMap(({ manifest }) => (manifest?.job === job ? [manifest.datasource.name] : [])),
  );
  const wanted = options.datasources?.length ? options.datasources : undefined;
  for (const runId of new Set(ofJob.map(({ manifest }) => manifest!.run_id))) {
    const ofRun = ofJob.filter(({ manifest }) => manifest!.run_id === runId);
    const byName = new Map(ofRun.reverse().map((entry) => [entry.manifest!.datasource.name, entry]));
    const needed = wanted ?? [...known];
    if (needed.every((name) => byName.has(name))) return needed.map((name) => byName.get(name)!);
  }
  const before = options.at ? `, of ${options.at.toISOString()} or before` : '';
  const message = `job ${job} has no run in which all wanted datasources are good${before}`;
  throw new DguardError('nothing_there', message, {
    operation: 'find backup',
    subject: job,
    hint: `\`dguard list ${job}\` shows what there is; --datasource picks one, an id names any`,
  });
}

/** Of two sources that take turns under one name, the newest backup is of nobody knows which. */
function refuseMixedSources(
  entries: readonly CatalogEntry[],
  job: string,
  options: { now: Date; datasources?: readonly string[] },
): void {
  const groups = new Map<string, Group>();
  for (const { manifest } of entries) {
    if (manifest?.job !== job) continue;
    const { namespace = '', datasource } = manifest;
    if (options.datasources?.length && !options.datasources.includes(datasource.name)) continue;
    groups.set(`${namespace}/${datasource.name}`, {
      namespace,
      job,
      datasource: datasource.name,
      formerly: [],
    });
  }
  for (const group of groups.values()) {
    if (historyOf(entries, group, options.now).identity !== 'mixed') continue;
    throw new DguardError(
      'config_invalid',
      'two sources write under this name, taking turns: which one is meant?',
      {
        operation: 'find backup',
        subject: `${job}/${group.datasource}`,
        hint: 'restore a backup by its id (`dguard show ID` says what its source is), or say same_source: true in the job',
      },
    );
  }
}
