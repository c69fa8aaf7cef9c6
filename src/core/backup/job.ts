import { randomUUID } from 'node:crypto';
import type { BackupType, JobConfig } from '../../config/types/jobs.ts';
import type { Config } from '../../config/types.ts';
import { DguardError, errorText, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { Destination } from '../catalog.ts';
import { readCatalogs } from '../find.ts';
import { hooksLock } from '../groups.ts';
import { takeLock } from '../lock.ts';
import type { PruneOutcome } from '../prune/prune.ts';
import { type BackupOptions, backUpGroup, type JobRun } from './group.ts';
import { runHooks } from './hooks.ts';
import type { BackupOutcome } from './run.ts';
import { listWork } from './work.ts';

export interface JobOptions extends BackupOptions {
  readonly type?: BackupType;
  /** Only to this destination. */
  readonly to?: string;
  /** Of the datasource's databases these alone, configured or not. */
  readonly databases?: readonly string[];
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
  /** Undefined: this run has not come to its hooks. */
  let hooks: { release(): Promise<void> } | undefined;
  let outcome: JobOutcome = { job: job.name, runId, outcomes: [], missing: [], pruned: [] };
  outer.emit({ type: 'log', level: 'info', job: job.name, message: 'run begins', data: { run_id: runId } });
  try {
    refuseUnbuilt(job);
    if (type !== (options.type ?? job.type)) {
      const message = `${job.type} backups are not built yet: this is a full`;
      runtime.emit({ type: 'log', level: 'warning', job: job.name, message });
    }
    if (job.notify.length > 0) {
      const message =
        'notifications are not built yet: nobody is told of this run; watch the exit status, or use hooks (on_error)';
      runtime.emit({ type: 'log', level: 'warning', job: job.name, message });
    }
    hooks = await lockHooks(config, job, options.waitLockMs, runtime);
    await runHooks('before', job.hooks.before, facts, runtime);
    outcome = {
      ...outcome,
      ...(await backUp({ config, job, type, runId, options, runtime, said: new Set() }, options, storages)),
    };
  } catch (thrown) {
    const error = toDguardError(thrown, 'internal', { operation: 'backup', subject: job.name });
    outcome = { ...outcome, error };
  } finally {
    limit.stop();
    for (const { storage } of storages) await storage.close().catch(() => undefined);
  }
  const failed = outcome.error !== undefined || outcome.outcomes.some(({ status }) => status === 'failed');
  const result = { ...facts, DGUARD_STATUS: failed ? 'failed' : 'completed' };
  const last = lastHooksLimit(job, outer);
  for (const [stage, commands] of [
    [failed ? 'on_error' : 'on_success', failed ? job.hooks.on_error : job.hooks.on_success],
    ['after', hooks === undefined ? [] : job.hooks.after],
  ] as const) {
    await runHooks(stage, commands, result, last.runtime).catch((error: unknown) =>
      outer.emit({ type: 'log', level: 'warning', job: job.name, message: String((error as Error).message) }),
    );
  }
  last.stop();
  await hooks?.release();
  return outcome;
}

/**
 * Two runs of a job never overlap where it has hooks: what `after` of the one starts again, the other would
 * still be reading. A run that finds the job locked comes neither to `before` nor to `after`. Errors: locked.
 */
async function lockHooks(
  config: Config,
  job: JobConfig,
  waitMs: number,
  runtime: Runtime,
): Promise<{ release(): Promise<void> }> {
  if (job.hooks.before.length + job.hooks.after.length === 0) return { release: async () => undefined };
  return takeLock(hooksLock(config, job), `backup ${job.name}`, waitMs, runtime);
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

/** What `before` has stopped is started again by `after`, whoever interrupted what: this is the time for it. */
const AFTER_INTERRUPT_MS = 60_000;

/** For the hooks after a run: the job's `timeout` once more, and after an interrupt a while. */
function lastHooksLimit(job: JobConfig, outer: Runtime): { runtime: Runtime; stop(): void } {
  const controller = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const end = (afterMs: number) => {
    const error = new DguardError('timeout', `its ${Math.round(afterMs / 1000)} s are over`);
    timers.push(setTimeout(() => controller.abort(error), afterMs));
  };
  const interrupt = () => end(AFTER_INTERRUPT_MS);
  if (job.timeout_ms !== undefined) end(job.timeout_ms);
  if (outer.signal.aborted) interrupt();
  else outer.signal.addEventListener('abort', interrupt, { once: true });
  return {
    runtime: { ...outer, signal: controller.signal },
    stop() {
      for (const timer of timers) clearTimeout(timer);
      outer.signal.removeEventListener('abort', interrupt);
    },
  };
}

function refuseUnbuilt(job: JobConfig): void {
  if (!job.encryption) return;
  throw new DguardError('unsupported', 'encryption is not built into this version yet', {
    operation: 'backup',
    subject: job.name,
    hint: 'nothing was written; take `encryption` out of the job, or wait for a version that has it',
  });
}

/** Opens the destinations, and makes the job's backups side by side. What was opened is added to `opened`. */
async function backUp(
  run: JobRun,
  options: JobOptions,
  opened: Destination[],
): Promise<Pick<JobOutcome, 'outcomes' | 'missing' | 'pruned'>> {
  const { config, job, runtime } = run;
  const { usable, missing } = await openDestinations(run, options, opened);
  const pruned: PruneOutcome[] = [];
  const outcomes: BackupOutcome[] = [];
  const work = await listWork(config, job, options.databases, runtime);
  const queue = [...work.entries()];
  const workers = Math.min(queue.length, config.defaults.max_concurrent_backups);
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [at, each] = next;
        outcomes[at] = await backUpGroup(run, each, usable, pruned);
      }
    }),
  );
  return { outcomes, missing, pruned };
}

/** Those of the job's destinations that can be opened and listed. Errors: that of the first, where none can. */
async function openDestinations(
  { config, job, runtime }: JobRun,
  options: JobOptions,
  opened: Destination[],
): Promise<{ usable: readonly Destination[]; missing: JobOutcome['missing'] }> {
  const missing: JobOutcome['missing'][number][] = [];
  const noted = (destination: string, thrown: unknown) => {
    const error = toDguardError(thrown, 'storage_failed', { operation: 'open', subject: destination });
    missing.push({ destination, optional: config.destinations[destination]?.optional ?? false, error });
  };
  for (const name of options.to === undefined ? job.destinations.map((each) => each.name) : [options.to]) {
    try {
      opened.push(await options.openDestination(name));
    } catch (error) {
      if ((error as DguardError).code === 'unknown_name') throw error;
      noted(name, error);
    }
  }
  const { errors, gaps } = await readCatalogs(opened, runtime.signal);
  for (const { destination, error } of errors) noted(destination, error);
  for (const { destination, error } of gaps) {
    const message = `not all of destination ${destination} can be read, and nothing is pruned there: ${errorText(error)}`;
    runtime.emit({ type: 'log', level: 'warning', job: job.name, message });
  }
  const usable = opened.filter(({ name }) => !missing.some(({ destination }) => destination === name));
  for (const { destination, error } of missing.slice(usable.length === 0 ? 1 : 0)) {
    const message = `destination ${destination} is left out of this run: ${error.message}`;
    runtime.emit({ type: 'log', level: 'error', job: job.name, message });
  }
  if (usable.length === 0) throw missing[0]!.error;
  return { usable, missing };
}
