import type { DatasourceConfig } from '../config/types/datasources.ts';
import type { JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import { DguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { type JobOptions, runJob } from './backup/job.ts';

/** How long a safety backup is kept by prune. */
const EXPIRES_MS = 7 * 24 * 3600 * 1000;

export interface SafetyOptions extends Pick<JobOptions, 'openDestination' | 'ignoreClock'> {
  readonly config: Config | undefined;
  /** The job of the backup that is restored. */
  readonly job: string;
  /** Where that backup lies; used where the job writes there. */
  readonly destination: string;
  /** Whose data is about to be replaced, and which of its databases. */
  readonly datasource: DatasourceConfig | undefined;
  readonly database?: string;
}

/**
 * Backs up what a restore is about to replace and cannot keep for undo: a snapshot tagged `safety` that
 * expires in 7 days and that no restore or rollback of a job chooses. The caller holds the target's lock.
 * Returns its id. Errors: `target_refused` where nothing says how or where to; those of the run.
 */
export async function takeSafetyBackup(options: SafetyOptions, runtime: Runtime): Promise<string> {
  const { config, datasource, database } = options;
  const job = config && Object.hasOwn(config.jobs, options.job) ? config.jobs[options.job] : undefined;
  if (config === undefined || job === undefined || datasource === undefined) {
    throw refusal(options.job, 'its job is not configured here');
  }
  const to = job.destinations.find(({ name }) => name === options.destination);
  const outcome = await runJob(
    config,
    forSafety(job, datasource.name),
    {
      type: 'snapshot',
      tags: ['safety'],
      only: [],
      exclude: [],
      ...(to === undefined ? {} : { to: to.name }),
      ...(database === undefined ? {} : { databases: [database] }),
      targetHeld: true,
      waitLockMs: 0,
      ignoreClock: options.ignoreClock,
      openDestination: options.openDestination,
    },
    runtime,
  );
  const [taken] = outcome.outcomes;
  if (taken?.manifest !== undefined && taken.status !== 'failed') return taken.manifest.id;
  const error = outcome.error ?? taken?.error ?? outcome.missing[0]?.error;
  if (error?.code === 'locked' || runtime.signal.aborted) throw error;
  throw refusal(datasource.name, error?.message ?? 'the run made nothing', error);
}

/**
 * All of what is replaced, whatever the job leaves out, and in the form that can go back into its place; what the
 * job does besides (hooks, pruning, further tries) was not asked for.
 */
function forSafety(job: JobConfig, datasource: string): JobConfig {
  const retention = { ...job.retention, auto_delete: false };
  return {
    ...job,
    datasources: [datasource],
    notify: [],
    options: { ...job.options, format: 'native', include_tables: [], exclude_tables: [] },
    destinations: job.destinations.map(({ name }) => ({ name, retention })),
    hooks: { ...job.hooks, before: [], after: [], on_success: [], on_error: [] },
    retention,
    retries: 0,
    expires_ms: EXPIRES_MS,
  };
}

function refusal(subject: string, why: string, cause?: unknown): DguardError {
  return new DguardError(
    'target_refused',
    `what is there now could not be kept for undo, and no safety backup of it could be taken: ${why}`,
    {
      operation: 'restore',
      subject,
      hint: 'nothing was changed; restore beside it (--to-database, --to-path), or without a safety backup: --no-safety',
      cause,
    },
  );
}
