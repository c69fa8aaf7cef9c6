import { resolve } from 'node:path';
import type { BackupType, JobConfig } from '../../config/types/jobs.ts';
import type { Config } from '../../config/types.ts';
import { DguardError, toDguardError } from '../../errors.ts';
import { CLOCK_HINT, doubtClock } from '../../plan/clock.ts';
import type { Runtime } from '../../runtime.ts';
import type { Destination } from '../catalog.ts';
import { type Group, groupLock, groupOf, hostNameOf } from '../groups.ts';
import { historyOf } from '../history.ts';
import { takeLock } from '../lock.ts';
import { type PruneOutcome, pruneGroup } from '../prune/prune.ts';
import { recoverTarget } from '../target.ts';
import { withRetries } from './attempts.ts';
import { failureOf } from './datasource.ts';
import { waitForOthers } from './others.ts';
import type { BackupOutcome, BackupRequest } from './run.ts';
import type { Work } from './work.ts';

/** What the caller of a job says of each of its backups. */
export interface BackupOptions {
  readonly tags: readonly string[];
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  /** The caller holds the lock of the source as a target of restores, and has recovered it. */
  readonly targetHeld?: boolean;
  readonly waitLockMs: number;
  readonly ignoreClock: boolean;
}

/** One run of a job: what all its backups share. */
export interface JobRun {
  readonly config: Config;
  readonly job: JobConfig;
  readonly type: BackupType;
  readonly runId: string;
  readonly options: BackupOptions;
  readonly runtime: Runtime;
  /** What was said of interrupted restores: databases of one server find the same. */
  readonly said: Set<string>;
}

/**
 * Makes one backup of a job under the lock of its group: what its history holds, the backup itself, and what
 * retention says after it, added to `pruned`. What fails is said by the outcome.
 */
export async function backUpGroup(
  run: JobRun,
  work: Work,
  destinations: readonly Destination[],
  pruned: PruneOutcome[],
): Promise<BackupOutcome> {
  const { config, job, runtime, options } = run;
  const { name } = work;
  const nothing = { datasource: name, copies: [], warnings: { count: 0, first: [] } };
  if (work.error) return { ...nothing, status: 'failed', error: work.error };
  const group = groupOf(config, job, name);
  let lock: { release(): Promise<void> } | undefined;
  try {
    lock = await takeLock(groupLock(config, job, name), `backup ${job.name}`, options.waitLockMs, runtime);
    // Read under the lock: what the run before has written counts.
    const catalogs = await waitForOthers(destinations, group, options.waitLockMs, runtime);
    const history = historyOf(
      catalogs.flatMap(({ entries }) => entries),
      group,
      runtime.now(),
    );
    if (!options.ignoreClock) refuseWrongClock(history.manifests[0]?.created_at, name, runtime);
    const prune = (destination: string) => pruneOne(run, group, destinations, destination, pruned);
    // A run that found no room says nothing of the source: otherwise no later one would ever find any.
    const last = history.manifests.find(({ error }) => error?.code !== 'storage_full');
    const lastFailed = ['suspect', 'failed'].includes(last?.status ?? '');
    const outcome = await withRetries(
      {
        ...requestOf(run, work),
        destinations,
        history,
        makeRoom: async (destination) => !lastFailed && (await prune(destination)),
      },
      runtime,
    );
    const counts = outcome.status === 'completed' && outcome.manifest?.selection === undefined;
    let failure: DguardError | undefined;
    for (const { destination, error } of counts ? outcome.copies : []) {
      if (error) continue;
      await prune(destination).catch((thrown: unknown) => {
        failure ??= toDguardError(thrown, 'storage_failed', { operation: 'prune', subject: destination });
      });
    }
    return failure === undefined ? outcome : { ...outcome, error: failure };
  } catch (thrown) {
    const isLocked = (thrown as Partial<DguardError>).code === 'locked';
    const error = isLocked ? (thrown as DguardError) : failureOf(thrown, name);
    return { ...nothing, status: 'failed', error };
  } finally {
    await lock?.release();
  }
}

/** What is to be backed up, and how: all that the destinations do not say. */
function requestOf(
  { config, job, type, runId, options, runtime, said }: JobRun,
  { datasource, name, database, databasesCount }: Work,
): Omit<BackupRequest, 'destinations' | 'history' | 'makeRoom'> {
  const source = config.datasources[datasource]!;
  // Of several databases each is a target of its own: they run side by side.
  const one = name === datasource || database === undefined ? {} : { toDatabase: database };
  const target = { type: source.type, datasource: source, ...one };
  return {
    job,
    datasource: source,
    name,
    ...(database === undefined ? {} : { database }),
    ...(databasesCount === undefined ? {} : { databasesCount }),
    type,
    runId,
    tags: [
      ...source.tags,
      ...Object.entries(job.tags).map(([key, value]) => `${key}=${value}`),
      ...options.tags,
    ],
    only: options.only,
    exclude: options.exclude,
    namespace: config.defaults.namespace,
    hostName: hostNameOf(config, runtime.host),
    ownPaths: Object.values(config.destinations).flatMap((each) =>
      each.type === 'local' ? [resolve(each.path)] : [],
    ),
    recover: async () => {
      for (const message of options.targetHeld ? [] : await recoverTarget(target, runtime)) {
        if (said.has(message)) continue;
        said.add(message);
        runtime.emit({ type: 'log', level: 'warning', job: job.name, subject: name, message });
      }
    },
    ignoreClock: options.ignoreClock,
  };
}

/** Removes what the job's retention removes at one destination. True: something went. */
async function pruneOne(
  { config, job, options, runtime }: JobRun,
  group: Group,
  destinations: readonly Destination[],
  name: string,
  pruned: PruneOutcome[],
): Promise<boolean> {
  const policy = job.destinations.find((each) => each.name === name)?.retention ?? job.retention;
  const destination = destinations.find((each) => each.name === name);
  if (!policy.auto_delete || !destination) return false;
  const outcome = await pruneGroup(
    {
      destination,
      group,
      policy,
      timeZone: job.timezone,
      hostName: hostNameOf(config, runtime.host),
      sameSource: job.same_source,
      ignoreClock: options.ignoreClock,
      dryRun: false,
    },
    runtime,
  );
  pruned.push(outcome);
  return outcome.removed.length > 0;
}

function refuseWrongClock(newest: string | undefined, subject: string, runtime: Runtime): void {
  const doubt = doubtClock(runtime.now(), newest === undefined ? undefined : new Date(newest));
  if (doubt === undefined) return;
  throw new DguardError('internal', doubt, {
    operation: 'look at the clock',
    subject,
    hint: CLOCK_HINT,
  });
}
