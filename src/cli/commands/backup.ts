import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { BackupType, Config, JobConfig } from '../../config/types.ts';
import { type BackupOutcome, backupDatasource } from '../../core/backup.ts';
import type { Destination } from '../../core/catalog.ts';
import { runHooks } from '../../core/hooks.ts';
import { combineExitStatus, DguardError } from '../../errors.ts';
import { type Context, openDestination } from '../context.ts';
import { errorJson, errorLines, jsonDocument } from '../render/outcome.ts';
import { durationText, plainText, sizeText } from '../render/text.ts';

interface Options {
  readonly all?: boolean;
  readonly type?: BackupType;
  readonly tag?: readonly string[];
  readonly only?: readonly string[];
  readonly exclude?: readonly string[];
  readonly to?: string;
  readonly dryRun?: boolean;
}

export async function backupCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const config = await context.config();
  const jobs = chooseJobs(config, names, options.all === true);
  const outcomes: BackupOutcome[] = [];
  const errors: DguardError[] = [];
  const statuses: number[] = [];
  for (const job of jobs) {
    if (options.dryRun) {
      const to = job.destinations.map(({ name }) => name).join(', ');
      context.print(`${job.name}: ${job.datasources.join(', ')} -> ${to}, ${options.type ?? job.type}`);
      continue;
    }
    const done = await runJob(context, config, job, options).catch((thrown: unknown) => {
      const error =
        thrown instanceof DguardError
          ? thrown
          : new DguardError('internal', String(thrown), { cause: thrown });
      errors.push(error);
      if (!context.options.json) context.note(errorLines(error, context.options.verbose === true));
      statuses.push(error.exitStatus);
      return [];
    });
    outcomes.push(...done);
  }
  context.finish();
  for (const outcome of outcomes) {
    statuses.push(statusOf(outcome));
    if (!context.options.json) printOutcome(context, outcome);
  }
  const good = outcomes.some(({ status }) => status !== 'failed');
  const failed = outcomes.some(({ status }) => status === 'failed');
  // Some datasources are good and some are not: that is partial, whatever the failure was.
  const status = combineExitStatus(
    good && failed ? statuses.map((code) => (code === 1 ? 3 : code)) : statuses,
  );
  if (context.options.json) {
    const backups = outcomes.flatMap(({ manifest, copies, warnings }) =>
      manifest
        ? [
            {
              ...manifest,
              computed: {
                copies: copies.map(({ error, ...copy }) => ({
                  ...copy,
                  ...(error ? { error: errorJson(error) } : {}),
                })),
                warnings,
              },
            },
          ]
        : [],
    );
    errors.push(...outcomes.flatMap(({ error }) => (error ? [error] : [])));
    context.print(jsonDocument('backup', status, { backups }, errors));
  }
  return status;
}

function chooseJobs(config: Config, names: readonly string[], all: boolean): JobConfig[] {
  if (all) return Object.values(config.jobs);
  const known = Object.keys(config.jobs).join(', ');
  if (names.length === 0) {
    throw new DguardError('usage', 'which job? Name one, or use --all', {
      operation: 'backup',
      hint: `jobs: ${known}`,
    });
  }
  return names.map((name) => {
    const job = config.jobs[name];
    if (job) return job;
    throw new DguardError('unknown_name', `the configuration has no job ${name}`, {
      operation: 'backup',
      subject: name,
      hint: `jobs: ${known}`,
    });
  });
}

async function runJob(
  context: Context,
  config: Config,
  job: JobConfig,
  options: Options,
): Promise<BackupOutcome[]> {
  const { runtime } = context;
  const type =
    options.type ?? (job.type === 'incremental' || job.type === 'differential' ? 'full' : job.type);
  if (type !== (options.type ?? job.type))
    context.note(`note: ${job.name}: ${job.type} backups are not built yet; this is a full`);
  if (job.encryption) {
    throw new DguardError('unsupported', 'encryption is not built into this version yet', {
      operation: 'backup',
      subject: job.name,
      hint: 'nothing was written; take `encryption` out of the job, or wait for a version that has it',
    });
  }
  const runId = randomUUID();
  const facts = { DGUARD_JOB: job.name, DGUARD_RUN_ID: runId, DGUARD_TYPE: type };
  await runHooks('before', job.hooks.before, facts, runtime);
  const wanted = options.to === undefined ? job.destinations.map(({ name }) => name) : [options.to];
  const destinations = await Promise.all(wanted.map((name) => openDestination(context, name)));
  const ownPaths = Object.values(config.destinations).flatMap((d) =>
    d.type === 'local' ? [resolve(d.path)] : [],
  );
  const request = (name: string, to: readonly Destination[]) => ({
    job,
    datasource: config.datasources[name]!,
    destinations: to,
    type,
    runId,
    tags: [
      ...config.datasources[name]!.tags,
      ...Object.entries(job.tags).map(([k, v]) => `${k}=${v}`),
      ...(options.tag ?? []),
    ],
    only: options.only ?? [],
    exclude: options.exclude ?? [],
    timeZone: job.timezone,
    namespace: config.defaults.namespace,
    hostName: config.defaults.host ?? runtime.host.name,
    ownPaths,
  });
  const one = async (name: string): Promise<BackupOutcome> => {
    if (job.strategy !== 'priority') return backupDatasource(request(name, destinations), runtime);
    let outcome: BackupOutcome | undefined;
    for (const destination of destinations) {
      outcome = await backupDatasource(request(name, [destination]), runtime);
      if (outcome.status !== 'failed' || runtime.signal.aborted) break;
    }
    return outcome!;
  };
  const outcomes: BackupOutcome[] = [];
  const queue = [...job.datasources];
  const workers = Array.from(
    { length: Math.min(queue.length, config.defaults.max_concurrent_backups) },
    async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) outcomes.push(await one(name));
    },
  );
  await Promise.all(workers);
  for (const { storage } of destinations) await storage.close();
  const failed = outcomes.some(({ status }) => status === 'failed');
  const result = { ...facts, DGUARD_STATUS: failed ? 'failed' : 'completed' };
  for (const [stage, commands] of [
    [failed ? 'on_error' : 'on_success', failed ? job.hooks.on_error : job.hooks.on_success],
    ['after', job.hooks.after],
  ] as const) {
    await runHooks(stage, commands, result, runtime).catch((error: unknown) =>
      context.note(`warning: ${String(error)}`),
    );
  }
  return outcomes.sort(
    (a, b) => job.datasources.indexOf(a.datasource) - job.datasources.indexOf(b.datasource),
  );
}

function statusOf(outcome: BackupOutcome): number {
  if (outcome.status === 'failed') return outcome.error?.exitStatus ?? 1;
  const missing = outcome.copies.some(({ error }) => error);
  return outcome.status === 'partial' || missing ? 3 : 0;
}

function printOutcome(context: Context, outcome: BackupOutcome): void {
  const { manifest } = outcome;
  if (!manifest) {
    context.note(errorLines(outcome.error, context.options.verbose === true));
    return;
  }
  const files = manifest.facts?.files_count === undefined ? '' : `, ${manifest.facts.files_count} files`;
  const rows =
    manifest.facts?.rows === undefined
      ? ''
      : `, ${manifest.facts.tables_count} tables, ${manifest.facts.rows} rows`;
  context.print(`${outcome.datasource}: ${outcome.status}: ${manifest.id}`);
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
  context.print(`  restore: dguard restore ${manifest.id} --to-path ./restored/${outcome.datasource}`);
}
