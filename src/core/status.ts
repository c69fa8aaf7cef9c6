import type { JobConfig, RetentionPolicy } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import { type DguardError, throwIfAborted, toDguardError } from '../errors.ts';
import { planRetention } from '../plan/retention.ts';
import type { Runtime } from '../runtime.ts';
import type { Catalog, CatalogEntry, Destination } from './catalog.ts';
import { isDatedAhead, isOutsideHistory } from './find.ts';
import {
  type Group,
  groupNames,
  groupOf,
  hasSeveral,
  hostNameOf,
  isOfGroup,
  listedGroups,
} from './groups.ts';
import { historyOf } from './history.ts';
import { policyBackup } from './prune/prune.ts';
import { readCatalog } from './read-catalog.ts';

/** One group of backups at one destination, as a report of how old and how well proven its data is. */
export interface StatusRow {
  readonly job: string;
  readonly datasource: string;
  readonly destination: string;
  /**
   * `stale`: older than asked for; `none`: no good backup; `former`: has backups, and the configuration no longer
   * makes any under this name; `spare`: of a job with `strategy: priority`, another destination has the newest;
   * `unreachable`: nobody could look.
   */
  readonly state: 'ok' | 'stale' | 'none' | 'former' | 'spare' | 'unreachable';
  readonly lastGood?: { readonly id: string; readonly createdAt: Date; readonly ageMs: number };
  /** The newest good backup whose newest verify passed by its content or by a restore. */
  readonly lastProof?: { readonly id: string; readonly level: string; readonly checkedAt: string };
  /** Stored bytes of the last good one, and against the one before it in percent. */
  readonly sizeBytes?: number;
  readonly trendPercent?: number;
  /** Of the newest runs; undefined where there was none. */
  readonly successPercent?: number;
  readonly backups: number;
  readonly usedBytes: number;
  /** Good backups of other destinations that were meant for this one too, would be kept here, and are not here. */
  readonly missing: readonly string[];
  /** Backups that are broken, damaged, suspect, or failed their verify. */
  readonly troubled: readonly { readonly id: string; readonly state: string }[];
  /** No backup at all is there, of whatever job: a disk that is not mounted looks so. */
  readonly destinationEmpty: boolean;
  readonly unfinished: number;
  /** Backups that are dated so far ahead of now that they count for nothing. */
  readonly datedAhead: number;
  /** Two sources write under this name. */
  readonly mixedSources: boolean;
  readonly error?: DguardError;
}

const RUNS_COUNTED = 20;

/**
 * Looks at every destination of the jobs and reports, newest truth first; what cannot be reached is a row too. Errors: the
 * abort's alone.
 */
export async function statusOf(
  config: Config,
  jobs: readonly string[],
  maxAgeMs: number | undefined,
  open: (name: string) => Promise<Destination>,
  runtime: Runtime,
): Promise<StatusRow[]> {
  const rows: StatusRow[] = [];
  const hostName = hostNameOf(config, runtime.host);
  // Jobs share destinations, and each is read once.
  const catalogs = new Map<string, Promise<Catalog>>();
  const catalogOf = (name: string) => {
    const known = catalogs.get(name) ?? open(name).then((opened) => readCatalog(opened, runtime.signal));
    catalogs.set(name, known);
    return known;
  };
  for (const name of jobs) {
    const job = config.jobs[name]!;
    const places: (Place & { readonly groups: readonly string[] })[] = [];
    for (const { name: destination, retention: policy } of job.destinations) {
      try {
        const catalog = await catalogOf(destination);
        const { entries, unfinished } = catalog;
        const groups = groupNames(config, job, catalog);
        const ours = unfinished.filter(({ lease }) => lease?.job === name).length;
        places.push({ name: destination, entries, unfinished: ours, groups, policy });
      } catch (thrown) {
        throwIfAborted(runtime.signal);
        const error = toDguardError(thrown, 'storage_failed', { operation: 'status', subject: destination });
        places.push({
          name: destination,
          entries: [],
          unfinished: 0,
          groups: job.datasources,
          policy,
          error,
        });
      }
    }
    const all = places.flatMap(({ entries }) => entries);
    const met = new Set(places.flatMap(({ groups }) => groups));
    for (const [datasource, { isFormer }] of reported(config, job, met, all)) {
      const group = groupOf(config, job, datasource);
      const ofGroup = places.map((place) => {
        const row = rowOf(group, job, place, all, maxAgeMs, runtime.now(), hostName);
        return isFormer && row.state !== 'unreachable' ? { ...row, state: 'former' as const } : row;
      });
      rows.push(...(job.strategy === 'priority' ? withSpares(ofGroup) : ofGroup));
    }
  }
  for (const catalog of catalogs.values()) {
    const read = await catalog.catch(() => undefined);
    await read?.destination.storage.close();
  }
  return rows;
}

/**
 * The groups that have rows, and whether backups of them are still made. A datasource of several databases makes none
 * under its own name: those of its databases stand for it, the listed ones also before their first backup.
 */
function reported(
  config: Config,
  job: JobConfig,
  met: ReadonlySet<string>,
  entries: readonly CatalogEntry[],
): Map<string, { readonly isFormer: boolean }> {
  const configured = job.datasources.flatMap((name) => {
    if (!hasSeveral(config, name)) return [name];
    const listed = listedGroups(config, name);
    if (listed) return listed;
    // Of all that a server has, only those are known that were backed up.
    const known = [...met].filter((other) => other.startsWith(`${name}.`));
    return known.length > 0 ? known : [name];
  });
  const rows = new Map(configured.map((name) => [name, { isFormer: false }]));
  for (const name of met) {
    if (rows.has(name)) continue;
    const group = groupOf(config, job, name);
    const hasBackups = entries.some(({ manifest }) => manifest && isOfGroup(manifest, group));
    if (hasBackups) rows.set(name, { isFormer: true });
  }
  return rows;
}

/** The first success ends a run: where the newest good backup is not is no place that lacks it. */
function withSpares(rows: readonly StatusRow[]): StatusRow[] {
  const ageOf = ({ state, lastGood }: StatusRow) =>
    state === 'ok' ? (lastGood?.ageMs ?? Infinity) : Infinity;
  const newest = Math.min(...rows.map(ageOf));
  if (newest === Infinity) return [...rows];
  const isSpare = (row: StatusRow) => row.state !== 'unreachable' && ageOf(row) > newest;
  return rows.map((row) => (isSpare(row) ? { ...row, state: 'spare' } : row));
}

interface Place {
  readonly name: string;
  readonly entries: readonly CatalogEntry[];
  readonly unfinished: number;
  readonly policy: RetentionPolicy;
  readonly error?: DguardError;
}

function rowOf(
  group: Group,
  job: JobConfig,
  place: Place,
  all: readonly CatalogEntry[],
  maxAgeMs: number | undefined,
  now: Date,
  hostName: string,
): StatusRow {
  const destination = place.name;
  const base = { job: group.job, datasource: group.datasource, destination };
  if (place.error) {
    const nothing = {
      backups: 0,
      usedBytes: 0,
      missing: [],
      troubled: [],
      destinationEmpty: false,
      unfinished: 0,
      datedAhead: 0,
      mixedSources: false,
    };
    return { ...base, ...nothing, state: 'unreachable', error: place.error };
  }
  const mine = place.entries.filter(({ manifest }) => manifest && isOfGroup(manifest, group));
  const { lastGood, identity } = historyOf(mine, group, now, hostName);
  const good = mine.filter(
    (entry) => entry.good && !isOutsideHistory(entry.manifest!) && !isDatedAhead(entry.manifest, now),
  );
  const before = good.find(
    ({ manifest }) => lastGood && manifest!.created_at < lastGood.created_at,
  )?.manifest;
  const proven = good.find(({ proof }) => proof !== undefined);
  const runs = mine.slice(0, RUNS_COUNTED);
  const failed = runs.filter(({ state }) => state === 'failed').length;
  const missing = missingOf(mine, group, job, place, all, now);
  const ageMs = lastGood && now.getTime() - new Date(lastGood.created_at).getTime();
  const stale = maxAgeMs !== undefined && ageMs !== undefined && ageMs > maxAgeMs;
  return {
    ...base,
    state: lastGood === undefined ? 'none' : stale ? 'stale' : 'ok',
    ...(lastGood
      ? {
          lastGood: { id: lastGood.id, createdAt: new Date(lastGood.created_at), ageMs: ageMs! },
          sizeBytes: lastGood.stored_size_bytes,
        }
      : {}),
    ...(proven?.proof
      ? {
          lastProof: {
            id: proven.manifest!.id,
            level: proven.proof.level,
            checkedAt: proven.proof.checked_at,
          },
        }
      : {}),
    ...(lastGood && before && before.stored_size_bytes > 0
      ? {
          trendPercent: Math.round(
            (100 * (lastGood.stored_size_bytes - before.stored_size_bytes)) / before.stored_size_bytes,
          ),
        }
      : {}),
    ...(runs.length > 0 ? { successPercent: Math.round((100 * (runs.length - failed)) / runs.length) } : {}),
    backups: mine.filter(({ state }) => state !== 'failed').length,
    usedBytes: mine.flatMap(({ objects }) => objects).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    missing,
    troubled: [...mine, ...place.entries.filter((entry) => isDamagedOf(entry, group))]
      .filter(({ state, accepted }) => !['completed', 'partial', 'failed'].includes(state) && !accepted)
      .map(({ manifest, state, folder }) => ({ id: manifest?.id ?? folder, state })),
    destinationEmpty: place.entries.length === 0,
    unfinished: place.unfinished,
    datedAhead: mine.filter(({ manifest }) => isDatedAhead(manifest, now)).length,
    mixedSources: identity === 'mixed',
  };
}

/**
 * What other destinations have and this one was to have, but for what its own retention would have removed by now. It may
 * have done so before somebody pinned the copy that is elsewhere; a checkpoint is pinned from its first moment.
 */
function missingOf(
  mine: readonly CatalogEntry[],
  group: Group,
  { same_source: sameSource, timezone }: JobConfig,
  { name, policy }: Place,
  all: readonly CatalogEntry[],
  now: Date,
): string[] {
  const here = new Map(mine.map((entry) => [entry.manifest!.id, entry]));
  const absent = new Map<string, CatalogEntry>();
  for (const entry of all) {
    const { manifest, good } = entry;
    if (!good || !isOfGroup(manifest!, group) || !manifest!.destinations.includes(name)) continue;
    if (!here.has(manifest!.id)) absent.set(manifest!.id, entry);
  }
  if (absent.size === 0) return [];
  const backups = [...here.values(), ...absent.values()].map((entry) => {
    const known = policyBackup(entry, sameSource);
    return absent.has(known.id) && known.type !== 'checkpoint' ? { ...known, pinned: false } : known;
  });
  const plan = planRetention(policy, backups, now, timezone);
  return plan.decisions.filter(({ id, keep }) => keep && absent.has(id)).map(({ id }) => id);
}

/** Of a manifest that cannot be read only its place tells whose it is. */
function isDamagedOf({ manifest, folder }: CatalogEntry, { job, datasource }: Group): boolean {
  return manifest === undefined && folder.startsWith(`${job}/${datasource}/`);
}
