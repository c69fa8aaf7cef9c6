import type { BackupType, JobConfig } from '../../config/types/jobs.ts';
import { type JobOptions, type JobOutcome, runJob } from '../../core/backup/job.ts';
import type { BackupOutcome } from '../../core/backup/run.ts';
import { combineExitStatus, DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { shellWord } from '../../shell-word.ts';
import { type Context, openDestination } from '../context.ts';
import { chooseJobs, waitOf } from '../jobs.ts';
import { errorJson, jsonDocument } from '../render/outcome.ts';
import { printPrune, pruneJson } from '../render/prune.ts';
import { durationText, plainText, sizeText } from '../render/text.ts';

interface Options {
  readonly all?: boolean;
  readonly type?: BackupType;
  readonly tag?: readonly string[];
  readonly only?: readonly string[];
  readonly exclude?: readonly string[];
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly waitLock?: string;
  readonly ignoreClock?: boolean;
}

export async function backupCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const config = await context.config();
  const jobs = chooseJobs(config, names, options.all === true, 'backup');
  const jobOptions: JobOptions = {
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(options.to === undefined ? {} : { to: options.to }),
    tags: options.tag ?? [],
    only: options.only ?? [],
    exclude: options.exclude ?? [],
    waitLockMs: waitOf(options.waitLock, '--wait-lock'),
    ignoreClock: options.ignoreClock === true,
    openDestination: (name) => openDestination(context, name),
  };
  if (options.dryRun) return dryRun(context, jobs, options);
  const done: JobOutcome[] = [];
  const unmet: DguardError[] = [];
  for (const job of jobs) {
    const outcome = await runJob(config, job, jobOptions, context.runtime);
    done.push(outcome);
    context.finish();
    if (outcome.error) context.report(outcome.error, job.name);
    for (const each of outcome.outcomes) if (each.error) context.report(each.error, job.name);
    for (const { manifest } of outcome.outcomes) if (manifest) warnOfDoubts(context, manifest);
    if (!context.options.json) printJob(context, outcome);
    const failure = strategyFailure(job, outcome);
    if (failure) {
      unmet.push(failure);
      context.report(failure, job.name);
    }
    if (context.runtime.signal.aborted) break;
  }
  const status = combineExitStatus(done.map(jobStatus));
  if (context.options.json) {
    const errors = done.flatMap(({ error, outcomes, missing }) => [
      ...(error ? [error] : []),
      ...outcomes.flatMap((each) => (each.error ? [each.error] : [])),
      ...missing.map((each) => each.error),
    ]);
    errors.push(...unmet);
    const fields = {
      backups: done.flatMap(backupsJson),
      pruned: done.flatMap(({ pruned }) => pruned.map(pruneJson)),
    };
    context.print(jsonDocument('backup', status, fields, errors));
  }
  return status;
}

async function dryRun(context: Context, jobs: readonly JobConfig[], options: Options): Promise<number> {
  // Nothing is read or written there: a name that means nothing is refused here too.
  if (options.to !== undefined) await openDestination(context, options.to);
  const plan = jobs.map(({ name, datasources, destinations, type }) => ({
    job: name,
    datasources,
    destinations: options.to === undefined ? destinations.map((each) => each.name) : [options.to],
    type: options.type ?? type,
    ...(options.only === undefined ? {} : { only: options.only }),
    ...(options.exclude === undefined ? {} : { exclude: options.exclude }),
    ...(options.tag === undefined ? {} : { tags: options.tag }),
  }));
  const parts = [
    ...(options.only === undefined ? [] : [`only ${options.only.join(', ')}`]),
    ...(options.exclude === undefined ? [] : [`without ${options.exclude.join(', ')}`]),
    ...(options.tag === undefined ? [] : [`tagged ${options.tag.join(', ')}`]),
  ];
  if (context.options.json)
    context.print(jsonDocument('backup', 0, { backups: [], pruned: [], plan, dry_run: true }, []));
  else {
    for (const { job, datasources, destinations, type } of plan)
      context.print(
        plainText(
          [`${job}: ${datasources.join(', ')} -> ${destinations.join(', ')}, ${type}`, ...parts].join('; '),
        ),
      );
  }
  return 0;
}

/** The exit status of one job: of several datasources some good and some not is partial, whatever the failure. */
function jobStatus({ error, outcomes, missing }: JobOutcome): number {
  const statuses = outcomes.map((outcome) => (outcome.error ? outcome.error.exitStatus : 0));
  if (error) statuses.push(error.exitStatus);
  const good = outcomes.filter(({ status }) => status !== 'failed');
  const interrupted = statuses.some((status) => status === 130 || status === 143);
  if (good.length > 0 && !interrupted && statuses.some((status) => status !== 0)) return 3;
  for (const { status, copies } of good) {
    if (status !== 'completed' || copies.some((copy) => copy.error)) statuses.push(3);
  }
  // A destination that may be offline is no failure as long as the data went somewhere.
  for (const each of missing) statuses.push(each.optional ? 75 : good.length > 0 ? 3 : 1);
  return combineExitStatus(statuses);
}

function backupsJson({ outcomes }: JobOutcome): object[] {
  return outcomes.flatMap(({ manifest, copies, warnings }) => {
    if (!manifest) return [];
    const computed = {
      copies: copies.map(({ error, ...copy }) => ({
        ...copy,
        ...(error ? { error: errorJson(error) } : {}),
      })),
      warnings,
    };
    return [{ ...manifest, computed }];
  });
}

/** `all` has failed where a good backup lacks a copy; nothing good at all is said by its own errors. */
function strategyFailure(job: JobConfig, { outcomes, missing }: JobOutcome): DguardError | undefined {
  const good = outcomes.filter(({ status }) => status !== 'failed');
  const lacking = [
    ...missing.filter(({ optional }) => !optional).map(({ destination }) => destination),
    ...good.flatMap(({ copies }) =>
      copies.filter(({ error }) => error).map(({ destination }) => destination),
    ),
  ];
  if (job.strategy !== 'all' || good.length === 0 || lacking.length === 0) return undefined;
  const names = [...new Set(lacking)].join(', ');
  return new DguardError('partial', `the job failed its strategy \`all\`: no copy at ${names}`, {
    operation: 'backup',
    subject: job.name,
    hint: 'the other copies are good; look at the destination, and run the job again',
  });
}

function printJob(context: Context, { outcomes, missing, pruned }: JobOutcome): void {
  for (const outcome of outcomes) printOutcome(context, outcome);
  for (const each of missing) {
    context.print(`  NOT at ${each.destination}: ${plainText(each.error.message)}`);
  }
  for (const each of pruned) printPrune(context, each, { explain: false, dryRun: false });
}

/** Who reads only stderr (cron, a timer's journal) must learn that last night's backup does not count. */
function warnOfDoubts(context: Context, { id, job, datasource, status, doubts = [] }: Manifest): void {
  if (status !== 'suspect') return;
  const message = `suspect, so it does not count as good: ${doubts.join('; ')} (if that is right: dguard accept ${id})`;
  context.warn(message, `${job}/${datasource.name}`);
}

function printOutcome(context: Context, outcome: BackupOutcome): void {
  const { manifest } = outcome;
  if (!manifest) return;
  const files = manifest.facts?.files_count === undefined ? '' : `, ${manifest.facts.files_count} files`;
  const rows =
    manifest.facts?.rows === undefined
      ? ''
      : `, ${manifest.facts.tables_count} tables, ${manifest.facts.rows} rows`;
  context.print(plainText(`${outcome.datasource}: ${outcome.status}: ${manifest.id}`));
  for (const doubt of manifest.doubts ?? []) context.print(`  SUSPECT: ${doubt}`);
  if (manifest.status === 'suspect') context.print(`  if that is right: dguard accept ${manifest.id}`);
  context.print(
    `  ${sizeText(manifest.size_bytes)}${files}${rows} -> ${sizeText(manifest.stored_size_bytes)} in ${durationText(manifest.duration_ms)}`,
  );
  for (const copy of outcome.copies) {
    context.print(
      `  ${copy.error ? 'NOT at' : 'at'} ${copy.destination}: ${copy.folder}${copy.error ? `: ${plainText(copy.error.message)}` : ''}`,
    );
  }
  if (outcome.warnings.count > 0)
    context.print(`  ${outcome.warnings.count} warnings (see \`dguard show ${manifest.id}\`)`);
  const place =
    manifest.database === undefined
      ? `--to-path ${shellWord(`./restored/${outcome.datasource}`)}`
      : `--to-database ${shellWord(`${manifest.database}_restored`)}`;
  const config = context.options.config === undefined ? '' : ` -c ${shellWord(context.options.config)}`;
  context.print(plainText(`  restore: dguard restore ${manifest.id}${config} ${place}`));
}
