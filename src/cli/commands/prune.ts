import type { JobConfig, RetentionPolicy } from '../../config/types/jobs.ts';
import type { Destination } from '../../core/catalog.ts';
import { groupLock, groupNames, groupOf, hostNameOf } from '../../core/groups.ts';
import { takeLock } from '../../core/lock.ts';
import { type PruneOutcome, pruneGroup } from '../../core/prune/prune.ts';
import { readCatalog } from '../../core/read-catalog.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { type Context, openDestination } from '../context.ts';
import { chooseJobs, waitOf } from '../jobs.ts';
import { jsonDocument } from '../render/outcome.ts';
import { printPrune, pruneJson } from '../render/prune.ts';

interface Options {
  readonly destination?: string;
  readonly dryRun?: boolean;
  readonly waitLock?: string;
  readonly ignoreClock?: boolean;
}

/** Applies each job's retention at each of its destinations; a datasource that fails does not keep the others from it. */
export async function pruneCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const config = await context.config();
  const { runtime } = context;
  const waitMs = waitOf(options.waitLock, '--wait-lock');
  const outcomes: PruneOutcome[] = [];
  const failures: DguardError[] = [];
  const pruneOne = async (
    destination: Destination,
    policy: RetentionPolicy,
    job: JobConfig,
    datasource: string,
  ) => {
    const lock = await takeLock(groupLock(config, job, datasource), `prune ${job.name}`, waitMs, runtime);
    const dryRun = options.dryRun === true;
    try {
      const outcome = await pruneGroup(
        {
          destination,
          group: groupOf(config, job, datasource),
          policy,
          timeZone: job.timezone,
          hostName: hostNameOf(config, runtime.host),
          sameSource: job.same_source,
          ignoreClock: options.ignoreClock === true,
          dryRun,
        },
        runtime,
      );
      outcomes.push(outcome);
      const explain = dryRun || context.options.verbose === true;
      if (!context.options.json) printPrune(context, outcome, { explain, dryRun });
    } finally {
      await lock.release();
    }
  };
  const jobs = chooseJobs(config, names, names.length === 0, 'prune');
  if (options.destination !== undefined) refuseOther(jobs, options.destination);
  for (const job of jobs) {
    for (const { name, retention } of job.destinations) {
      if (options.destination !== undefined && options.destination !== name) continue;
      const attempt = async (work: () => Promise<void>) => {
        try {
          await work();
        } catch (thrown) {
          const error = toDguardError(thrown, 'storage_failed', { operation: 'prune', subject: name });
          failures.push(error);
          context.report(error, job.name);
        }
      };
      await attempt(async () => {
        const destination = await openDestination(context, name);
        try {
          const catalog = await readCatalog(destination, runtime.signal);
          for (const datasource of groupNames(config, job, catalog)) {
            if (runtime.signal.aborted && failures.length > 0) break; // it has been said
            await attempt(() => pruneOne(destination, retention, job, datasource));
          }
        } finally {
          await destination.storage.close();
        }
      });
    }
  }
  const status = combineExitStatus(failures.map(({ exitStatus }) => exitStatus));
  if (context.options.json) {
    const groups = outcomes.map(pruneJson);
    const plan = outcomes.flatMap(({ plan: decisions, destination }) =>
      decisions.map(({ id, keep, reasons }) => ({ id, destination, keep, reasons })),
    );
    const fields = { plan, groups, ...(options.dryRun ? { dry_run: true } : {}) };
    context.print(jsonDocument('prune', status, fields, failures));
  } else if (
    outcomes.every(({ removed }) => removed.length === 0) &&
    failures.length === 0 &&
    !options.dryRun
  ) {
    context.print('nothing to remove');
  }
  return status;
}

function refuseOther(jobs: readonly JobConfig[], destination: string): void {
  const known = new Set(jobs.flatMap((job) => job.destinations.map(({ name }) => name)));
  if (known.has(destination)) return;
  const message =
    jobs.length === 1
      ? `job ${jobs[0]!.name} has no destination ${destination}`
      : `no job has a destination ${destination}`;
  throw new DguardError('unknown_name', message, {
    operation: 'prune',
    subject: destination,
    hint: `destinations: ${[...known].join(', ')}`,
  });
}
