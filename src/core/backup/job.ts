import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupType, JobConfig } from '../../config/types/jobs.ts';
import type { Config } from '../../config/types.ts';
import { createEngine } from '../../engines/registry.ts';
import { DguardError, toDguardError } from '../../errors.ts';
import { doubtClock } from '../../plan/clock.ts';
import type { Runtime } from '../../runtime.ts';
import type { Catalog, Destination } from '../catalog.ts';
import { readCatalogs } from '../find.ts';
import { groupLock } from '../groups.ts';
import { type Group, historyOf } from '../history.ts';
import { LEASE_EXPIRES_MS } from '../lease.ts';
import { takeLock } from '../lock.ts';
import { markKeys } from '../marks.ts';
import { ownerState, ownerText } from '../owner.ts';
import { type PruneOutcome, pruneGroup } from '../prune/prune.ts';
import { recoverTarget } from '../target.ts';
import { backupDatasource, failureOf } from './datasource.ts';
import { runHooks } from './hooks.ts';
import type { BackupOutcome, BackupRequest } from './run.ts';

export interface JobOptions {
  readonly type?: BackupType;
  readonly tags: readonly string[];
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  /** Only to this destination. */
  readonly to?: string;
  /** Of the datasource's databases these alone, configured or not. */
  readonly databases?: readonly string[];
  /** The caller holds the lock of the source as a target of restores, and has recovered it. */
  readonly targetHeld?: boolean;
  readonly waitLockMs: number;
  readonly ignoreClock: boolean;
  readonly openDestination: (name: string) => Promise<Destination>;
}

export interface JobOutcome {
  readonly job: string;
  readonly runId: string;
  readonly outcomes: readonly BackupOutcome[];
  /** Destinations that could not be opened or listed: no copy went there. */
  readonly missing: readonly { destination: string; optional: boolean; error: DguardError }[];
  readonly pruned: readonly PruneOutcome[];
  /** Why the job as a whole did not begin, or what of it failed besides the backups. */
  readonly error?: DguardError;
}

const RETRY_MS = 5_000;
const LEASE_POLL_MS = 15_000;

/** Runs one job: hooks, locks, its datasources side by side, and what its retention says afterwards. */
export async function runJob(
  config: Config,
  job: JobConfig,
  options: JobOptions,
  outer: Runtime,
): Promise<JobOutcome> {
  const limit = timeLimit(job, outer);
  const runtime = limit.runtime;
  const runId = randomUUID();
  const type =
    options.type ?? (job.type === 'incremental' || job.type === 'differential' ? 'full' : job.type);
  const facts = { DGUARD_JOB: job.name, DGUARD_RUN_ID: runId, DGUARD_TYPE: type };
  const storages: Destination[] = [];
  let outcome: JobOutcome = { job: job.name, runId, outcomes: [], missing: [], pruned: [] };
  outer.emit({ type: 'log', level: 'info', job: job.name, message: 'run begins', data: { run_id: runId } });
  try {
    refuseUnbuilt(job);
    if (type !== (options.type ?? job.type)) {
      const message = `${job.type} backups are not built yet: this is a full`;
      runtime.emit({ type: 'log', level: 'warning', job: job.name, message });
    }
    await runHooks('before', job.hooks.before, facts, runtime);
    outcome = { ...outcome, ...(await backUp(config, job, type, runId, options, runtime, storages)) };
  } catch (thrown) {
    const error = toDguardError(thrown, 'internal', { operation: 'backup', subject: job.name });
    outcome = { ...outcome, error };
  } finally {
    limit.stop();
    for (const { storage } of storages) await storage.close().catch(() => undefined);
  }
  const failed = outcome.error !== undefined || outcome.outcomes.some(({ status }) => status === 'failed');
  const result = { ...facts, DGUARD_STATUS: failed ? 'failed' : 'completed' };
  for (const [stage, commands] of [
    [failed ? 'on_error' : 'on_success', failed ? job.hooks.on_error : job.hooks.on_success],
    ['after', job.hooks.after],
  ] as const) {
    await runHooks(stage, commands, result, outer).catch((error: unknown) =>
      outer.emit({ type: 'log', level: 'warning', job: job.name, message: String((error as Error).message) }),
    );
  }
  return outcome;
}

function timeLimit(job: JobConfig, runtime: Runtime): { runtime: Runtime; stop(): void } {
  if (job.timeout_ms === undefined) return { runtime, stop: () => undefined };
  const controller = new AbortController();
  const seconds = Math.round(job.timeout_ms / 1000);
  const error = new DguardError('timeout', `the job did not end within its ${seconds} s`, {
    operation: 'backup',
    subject: job.name,
    hint: 'raise `timeout`, or look at what became slow: `dguard list` shows how long earlier runs took',
  });
  const timer = setTimeout(() => controller.abort(error), job.timeout_ms);
  const signal = AbortSignal.any([runtime.signal, controller.signal]);
  return { runtime: { ...runtime, signal }, stop: () => clearTimeout(timer) };
}

function refuseUnbuilt(job: JobConfig): void {
  if (!job.encryption) return;
  throw new DguardError('unsupported', 'encryption is not built into this version yet', {
    operation: 'backup',
    subject: job.name,
    hint: 'nothing was written; take `encryption` out of the job, or wait for a version that has it',
  });
}

async function backUp(
  config: Config,
  job: JobConfig,
  type: BackupType,
  runId: string,
  options: JobOptions,
  runtime: Runtime,
  opened: Destination[],
): Promise<Pick<JobOutcome, 'outcomes' | 'missing' | 'pruned'>> {
  const missing: JobOutcome['missing'][number][] = [];
  const wanted = options.to === undefined ? job.destinations.map(({ name }) => name) : [options.to];
  const noted = (destination: string, thrown: unknown) => {
    const error = toDguardError(thrown, 'storage_failed', { operation: 'open', subject: destination });
    missing.push({ destination, optional: config.destinations[destination]?.optional ?? false, error });
    const message = `destination ${destination} is left out of this run: ${error.message}`;
    runtime.emit({ type: 'log', level: 'error', job: job.name, message });
  };
  for (const name of wanted) {
    try {
      opened.push(await options.openDestination(name));
    } catch (error) {
      if ((error as DguardError).code === 'unknown_name') throw error;
      noted(name, error);
    }
  }
  const { errors } = await readCatalogs(opened, runtime.signal);
  for (const { destination, error } of errors) noted(destination, error);
  const usable = opened.filter(({ name }) => !missing.some(({ destination }) => destination === name));
  if (usable.length === 0) throw missing[0]!.error;

  const pruned: PruneOutcome[] = [];
  const results: BackupOutcome[][] = [];
  const work = await expand(config, job, options.databases, runtime);
  const queue = work.map((item, at) => ({ ...item, at }));
  const workers = Math.min(queue.length, config.defaults.max_concurrent_backups);
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { at, ...item } = next;
        results[at] = [
          await backUpOne({ config, job, type, runId, options, runtime, ...item }, usable, pruned),
        ];
      }
    }),
  );
  return { outcomes: results.flat(), missing, pruned };
}

interface Work {
  readonly config: Config;
  readonly job: JobConfig;
  readonly type: BackupType;
  readonly runId: string;
  readonly options: JobOptions;
  readonly runtime: Runtime;
  /** The datasource's name in the configuration, what its backup is called, and its database. */
  readonly datasource: string;
  readonly name: string;
  readonly database?: string;
  /** Why its databases could not be listed. */
  readonly error?: DguardError;
}

/** A datasource with several databases is so many backups. */
async function expand(
  config: Config,
  job: JobConfig,
  chosen: readonly string[] | undefined,
  runtime: Runtime,
): Promise<Pick<Work, 'datasource' | 'name' | 'database' | 'error'>[]> {
  const work: Pick<Work, 'datasource' | 'name' | 'database' | 'error'>[] = [];
  for (const datasource of job.datasources) {
    const options = config.datasources[datasource]!;
    try {
      const engine = await createEngine(options.type, datasource);
      if (!engine.databases) {
        work.push({ datasource, name: datasource });
        continue;
      }
      const databases = await engine.databases({
        name: datasource,
        options,
        signal: runtime.signal,
        tempDir: runtime.tempDir,
        host: runtime.host,
        now: runtime.now,
        env: runtime.env,
        warn: ({ message }) =>
          runtime.emit({ type: 'log', level: 'warning', job: job.name, subject: datasource, message }),
      });
      const several = databases.length > 1 || ('all_databases' in options && options.all_databases);
      for (const database of chosen ?? databases) {
        work.push({ datasource, name: several ? `${datasource}.${database}` : datasource, database });
      }
    } catch (thrown) {
      const error = toDguardError(thrown, 'source_failed', { operation: 'backup', subject: datasource });
      work.push({ datasource, name: datasource, error });
    }
  }
  return work;
}

async function backUpOne(
  work: Work,
  destinations: readonly Destination[],
  pruned: PruneOutcome[],
): Promise<BackupOutcome> {
  const { config, job, runtime, options, name } = work;
  const nothing = { datasource: name, copies: [], warnings: { count: 0, first: [] } };
  if (work.error) return { ...nothing, status: 'failed', error: work.error };
  const { namespace } = config.defaults;
  const group: Group = { namespace, job: job.name, datasource: name, formerly: job.formerly };
  let lock: { release(): Promise<void> } | undefined;
  try {
    lock = await takeLock(groupLock(config, job, name), `backup ${job.name}`, options.waitLockMs, runtime);
    const own = config.datasources[work.datasource]!;
    // Of several databases each is a target of its own: they run side by side.
    const one = name === work.datasource || work.database === undefined ? {} : { toDatabase: work.database };
    const target = { type: own.type, datasource: own, ...one };
    const recover = async () => {
      for (const message of options.targetHeld ? [] : await recoverTarget(target, runtime)) {
        runtime.emit({ type: 'log', level: 'warning', job: job.name, subject: name, message });
      }
    };
    // Read under the lock: what the run before has written counts.
    const catalogs = await waitForOthers(destinations, group, options.waitLockMs, runtime);
    const history = historyOf(
      catalogs.flatMap(({ entries }) => entries),
      group,
      runtime.now(),
    );
    if (!options.ignoreClock) refuseWrongClock(history.manifests[0]?.created_at, name, runtime);
    const retentionOf = (destination: string) =>
      job.destinations.find((each) => each.name === destination)?.retention ?? job.retention;
    const prune = async (destination: string) => {
      const policy = retentionOf(destination);
      const place = destinations.find((each) => each.name === destination);
      if (!policy.auto_delete || !place) return false;
      const request = {
        destination: place,
        group,
        policy,
        timeZone: job.timezone,
        sameSource: job.same_source,
      };
      const outcome = await pruneGroup(
        { ...request, ignoreClock: options.ignoreClock, dryRun: false },
        runtime,
      );
      pruned.push(outcome);
      return outcome.removed.length > 0;
    };
    const lastFailed = ['suspect', 'failed'].includes(history.manifests[0]?.status ?? '');
    const outcome = await withRetries(
      {
        job,
        datasource: config.datasources[work.datasource]!,
        name,
        ...(work.database === undefined ? {} : { database: work.database }),
        destinations,
        type: work.type,
        runId: work.runId,
        tags: [
          ...config.datasources[work.datasource]!.tags,
          ...Object.entries(job.tags).map(([key, value]) => `${key}=${value}`),
          ...options.tags,
        ],
        only: options.only,
        exclude: options.exclude,
        namespace,
        hostName: config.defaults.host ?? runtime.host.name,
        ownPaths: Object.values(config.destinations).flatMap((each) =>
          each.type === 'local' ? [resolve(each.path)] : [],
        ),
        history,
        recover,
        makeRoom: async (destination) => !lastFailed && (await prune(destination)),
        ignoreClock: options.ignoreClock,
      },
      runtime,
    );
    const counts = outcome.status === 'completed' && outcome.manifest?.selection === undefined;
    for (const { destination, error } of counts ? outcome.copies : []) if (!error) await prune(destination);
    return outcome;
  } catch (thrown) {
    const isLocked = (thrown as Partial<DguardError>).code === 'locked';
    const error = isLocked ? (thrown as DguardError) : failureOf(thrown, name);
    return { ...nothing, status: 'failed', error };
  } finally {
    await lock?.release();
  }
}

/** One pass to all destinations, or one pass to each in order until one succeeds; again where the job says so. */
async function withRetries(request: BackupRequest, runtime: Runtime): Promise<BackupOutcome> {
  const { job, destinations, name: subject } = request;
  for (let attempt = 0; ; attempt++) {
    let outcome: BackupOutcome | undefined;
    const failed: BackupOutcome['copies'][number][] = [];
    for (const to of job.strategy === 'priority' ? destinations.map((each) => [each]) : [destinations]) {
      outcome = await backupDatasource({ ...request, destinations: to }, runtime);
      if (outcome.status !== 'failed' || runtime.signal.aborted) break;
      failed.push(...outcome.copies);
    }
    const { status, error } = outcome!;
    if (status !== 'failed') return { ...outcome!, copies: [...failed, ...outcome!.copies] };
    const again = attempt < job.retries && error !== undefined && isWorthARetry(error);
    if (!again || runtime.signal.aborted) return { ...outcome!, copies: failed };
    const message = `failed: ${error.message}; attempt ${attempt + 2} of ${job.retries + 1} follows`;
    runtime.emit({ type: 'log', level: 'warning', job: job.name, subject, message });
    await sleep(RETRY_MS * 2 ** attempt, undefined, { signal: runtime.signal }).catch(() => undefined);
  }
}

/** What may be over in a moment; a wrong password or a missing folder is not. */
function isWorthARetry(error: DguardError): boolean {
  return ['source_failed', 'storage_failed', 'timeout', 'offline', 'internal'].includes(error.code);
}

function refuseWrongClock(newest: string | undefined, subject: string, runtime: Runtime): void {
  const doubt = doubtClock(runtime.now(), newest === undefined ? undefined : new Date(newest));
  if (doubt === undefined) return;
  throw new DguardError('internal', doubt, {
    operation: 'look at the clock',
    subject,
    hint: 'set the clock right (timedatectl), or take it as it is: --ignore-clock',
  });
}

/** Reads the destinations, and waits while another host writes a backup of this group there. Errors: locked. */
async function waitForOthers(
  destinations: readonly Destination[],
  group: Group,
  waitMs: number,
  runtime: Runtime,
): Promise<Catalog[]> {
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    const { catalogs, errors } = await readCatalogs(destinations, runtime.signal);
    if (errors.length > 0 && catalogs.length === 0) throw errors[0]!.error;
    const busy = catalogs
      .flatMap(({ unfinished }) => unfinished)
      .find(({ lease, newestAt, objects }) => {
        // What is marked is being deleted, not written.
        if (!lease || markKeys(objects, 'deleting').length > 0) return false;
        if (lease.job !== group.job || lease.datasource !== group.datasource) return false;
        if (lease.namespace !== group.namespace) return false;
        // The lock of this host is ours: what else of it left a lease is dead, or does not share our locks.
        if (ownerState(lease, runtime.host) === 'dead') return false;
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
