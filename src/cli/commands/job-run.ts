import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import type { Catalogs } from '../../core/find.ts';
import { hostNameOf } from '../../core/groups.ts';
import { type ChosenRun, newestGoodRun } from '../../core/job-runs.ts';
import { DguardError, errorText } from '../../errors.ts';
import { shellWord } from '../../shell-word.ts';
import type { Context } from '../context.ts';
import { parseMoment } from '../time.ts';
import type { RestoreCommandOptions } from './restore-options.ts';

/** What is to be restored; `lacking`: only older runs have more, and nobody has said that it is not wanted. */
export interface Chosen {
  readonly copies: readonly CatalogEntry[];
  readonly lacking: boolean;
}

/** The newest good run of a job (not after --at); that a newer one is not good is said. `isTaken`: it is what will be restored. */
export function chooseRun(
  context: Context,
  entries: readonly CatalogEntry[],
  job: string,
  config: Config | undefined,
  { at, datasource, now }: Pick<RestoreCommandOptions, 'at' | 'datasource'> & { readonly now: Date },
  isTaken = true,
): Chosen {
  const moment = at === undefined ? undefined : parseMoment(at, 'upper', '--at', now);
  const run = newestGoodRun(entries, job, {
    now,
    config,
    hostName: hostNameOf(config, context.runtime.host),
    ...(datasource ? { datasources: datasource } : {}),
    ...(moment ? { at: moment } : {}),
  });
  return toChosen(context, run, job, isTaken);
}

/** Says which newer runs were passed over, and what the run does not have. */
export function toChosen(context: Context, run: ChosenRun, job: string, isTaken = true): Chosen {
  const { copies, passedOver, leftOut, unreadable } = run;
  for (const why of passedOver.slice(0, SHOWN)) context.warn(`not the newest, passed over is ${why}`, job);
  const more = passedOver.length - SHOWN;
  if (more > 0) context.warn(`not the newest, passed over are ${more} further runs that are not good`, job);
  if (isTaken && passedOver.length > 0) context.warn(insteadOf(copies, job), job);
  for (const what of leftOut.slice(0, SHOWN)) context.warn(`left out: ${what}; ${LEFT_OUT}`, job);
  if (leftOut.length > SHOWN)
    context.warn(`left out: ${leftOut.length - SHOWN} more that older runs have: dguard list ${job}`, job);
  for (const why of unreadable.slice(0, SHOWN))
    context.warn(`left out: ${why}; where nothing of it is wanted, name what is: --datasource NAME`, job);
  if (unreadable.length > SHOWN)
    context.warn(`left out: ${unreadable.length - SHOWN} more that cannot be read: dguard list ${job}`, job);
  return { copies, lacking: leftOut.length + unreadable.length > 0 };
}

/** How old what is taken is: who reads a warning in a hurry is to know what will be missing. */
function insteadOf(copies: readonly CatalogEntry[], job: string): string {
  const [oldest] = copies.map(({ manifest }) => manifest!.created_at).sort();
  return `taken instead is the run of ${oldest}: what changed after that is not in it (\`dguard list ${shellWord(job)}\` shows all, an id names any)`;
}

const SHOWN = 3;
const LEFT_OUT =
  'it is restored by its id, or with the configuration of the job; where it is not wanted, name what is: --datasource NAME';

/** What could not be read may be a newer or a better backup than the one that is chosen. */
export function warnOfUnlisted(context: Context, { errors, gaps }: Catalogs): void {
  for (const { destination, error } of [...errors, ...gaps])
    context.warn(`not all of it could be read: ${errorText(error)}`, destination);
}

/** Of a name that is no job's. */
export function unknownJob(job: string, operation: string): DguardError {
  const message = `neither the configuration nor any destination knows a job ${job}`;
  const hint = '`dguard list` without a name shows all';
  return new DguardError('unknown_name', message, { operation, subject: job, hint });
}

/** Of a job that is configured and has none. */
export function noBackupYet(entries: readonly CatalogEntry[], job: string): DguardError {
  const elsewhere = new Set(
    entries.flatMap(({ manifest }) => (manifest?.job === job ? [manifest.namespace ?? 'none'] : [])),
  );
  const hint =
    elsewhere.size === 0
      ? `make one: dguard backup ${job}`
      : `those that are there are of other namespaces (${[...elsewhere].join(', ')}): restore one by its id, or look at defaults.namespace and the job's formerly`;
  return new DguardError('nothing_there', `job ${job} has no backup yet`, {
    operation: 'restore',
    subject: job,
    hint,
  });
}
