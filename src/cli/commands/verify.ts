import { randomInt } from 'node:crypto';
import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import {
  copiesOf,
  datasourceOf,
  isDatedAhead,
  isOutsideHistory,
  jobOf,
  listingFailure,
  presentNames,
  readCatalogs,
  unknownBackup,
} from '../../core/find.ts';
import { backupsOf } from '../../core/job-runs.ts';
import type { VerifyLevel } from '../../core/verified.ts';
import { type VerifyReport, verifyCopy } from '../../core/verify/verify.ts';
import { combineExitStatus, DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { type Context, isConfiguredJob, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
  readonly level: VerifyLevel;
  readonly all?: boolean;
  readonly newest?: number;
  /** Percent. */
  readonly sample?: number;
}

export async function verifyCommand(
  context: Context,
  name: string | undefined,
  options: Options,
): Promise<number> {
  if (options.newest !== undefined && (options.all || options.sample !== undefined)) {
    throw new DguardError('usage', '--newest goes with neither --all nor --sample', {
      operation: 'verify',
      hint: '--sample 10% takes a random share of all backups, --newest 3 the latest of each datasource',
    });
  }
  const destinations = await openDestinations(context, options.from ?? options.destination, name);
  const { entries, errors, gaps } = await readCatalogs(destinations, context.runtime.signal);
  const unlisted = [...errors, ...gaps].map(listingFailure);
  const statuses = unlisted.map(({ exitStatus }) => exitStatus);
  const config = await context.configOrNone(true);
  const chosen = choose(entries, name, options, config, context.runtime.now());
  if (chosen.length === 0 && unlisted.length === 0) {
    const isJob = entries.some(({ manifest }) => manifest?.job === name);
    if (name !== undefined && !isJob && !(await isConfiguredJob(context, name)))
      throw unknownBackup(entries, name, 'verify');
    throw new DguardError('nothing_there', 'there is nothing to verify', {
      operation: 'verify',
      ...(name === undefined ? {} : { subject: name }),
      hint: '`dguard list` shows what there is',
    });
  }
  const reports: VerifyReport[] = [];
  for (const copy of chosen) {
    const report = await verifyCopy(
      copy,
      entries,
      options.level,
      context.runtime,
      copy.manifest && datasourceOf(config, copy.manifest),
      copy.manifest && jobOf(config, presentNames(config, copy.manifest).job)?.options.parallel_jobs,
    );
    reports.push(report);
    statuses.push(
      report.overall === 'fail' ? 4 : report.overall === 'error' ? (report.error?.exitStatus ?? 1) : 0,
    );
    context.finish();
    print(context, report, copy.manifest);
    if (context.runtime.signal.aborted) break;
  }
  const status = combineExitStatus(statuses);
  const failures = [
    ...unlisted,
    ...reports.flatMap(({ error }) => (error ? [error] : [])),
    ...reports.flatMap(badBytes),
  ];
  for (const error of unlisted) context.report(error);
  for (const source of onlyFailed(entries, name))
    context.warn('there was nothing to verify: all of its runs failed', source);
  if (context.options.json) {
    const checks = reports.map(({ error: _, ...report }) => report);
    context.print(jsonDocument('verify', status, { checks }, failures));
  }
  return status;
}

/** The backup named, all or a share of those of a job (or of all), or of each datasource (of a job) the newest so many at each destination. */
function choose(
  entries: readonly CatalogEntry[],
  name: string | undefined,
  options: Options,
  config: Config | undefined,
  now: Date,
): CatalogEntry[] {
  const candidates = entries.filter(({ manifest }) => manifest?.status !== 'failed');
  const known = new Set(
    name === undefined ? [] : backupsOf(candidates, name, config).map(({ entry }) => entry),
  );
  // Of a damaged manifest only its place tells whose it is.
  const isOfJob = (entry: CatalogEntry) =>
    entry.manifest ? known.has(entry) : entry.folder.startsWith(`${name}/`);
  const isJob = name !== undefined && candidates.some(isOfJob);
  if (name !== undefined && !isJob) {
    const copies = copiesOf(candidates, name);
    if (copies.length > 0) refuseChoice(name, options);
    return copies;
  }
  const ofJob = candidates.filter((entry) => !isJob || isOfJob(entry));
  if (options.sample !== undefined) return sampleOf(ofJob, options.sample);
  if (options.all) return ofJob;
  const seen = new Map<string, number>();
  // The newest is what a restore of the job takes: no selection, no safety backup, none that is dated ahead.
  const taken = ofJob.filter(
    ({ manifest }) => manifest === undefined || !(isOutsideHistory(manifest) || isDatedAhead(manifest, now)),
  );
  return (taken.length > 0 ? taken : ofJob).filter(({ manifest, destination, folder }) => {
    const group = `${destination.name}\n${manifest ? groupText(manifest, config) : folder}`;
    const count = seen.get(group) ?? 0;
    seen.set(group, count + 1);
    return count < (options.newest ?? 1);
  });
}

/** One backup is named: what chooses among many has nothing to say. Errors: usage. */
function refuseChoice(id: string, { all, newest, sample }: Options): void {
  const given = Object.entries({ '--all': all, '--newest': newest, '--sample': sample });
  const flags = given.flatMap(([flag, value]) => (value === undefined || value === false ? [] : [flag]));
  if (flags.length === 0) return;
  throw new DguardError('usage', `${flags.join(', ')} chooses among backups, and one is named`, {
    operation: 'verify',
    subject: id,
    hint: `leave ${flags.join(', ')} out, or name a job, or nothing at all`,
  });
}

function groupText(manifest: Manifest, config: Config | undefined): string {
  const { namespace, job, datasource } = presentNames(config, manifest);
  return `${namespace}\n${job}\n${datasource}`;
}

/** `job/datasource` (of a job) that has runs, and none that left a backup. */
function onlyFailed(entries: readonly CatalogEntry[], name: string | undefined): string[] {
  const sources = (failed: boolean) =>
    entries.flatMap(({ manifest }) =>
      manifest !== undefined &&
      (manifest.status === 'failed') === failed &&
      (name === undefined || manifest.job === name)
        ? [`${manifest.job}/${manifest.datasource.name}`]
        : [],
    );
  const good = sources(false);
  // Where the databases of a datasource could not be listed, the run bears the name of the datasource.
  return [...new Set(sources(true))].filter(
    (source) => !good.some((each) => each === source || each.startsWith(`${source}.`)),
  );
}

/** A random share of them, at least one; whoever has written them cannot know which. */
function sampleOf(entries: readonly CatalogEntry[], percent: number): CatalogEntry[] {
  const left = [...entries];
  const count = Math.ceil((left.length * percent) / 100);
  return Array.from({ length: count }, () => left.splice(randomInt(left.length), 1)[0]!);
}

/** What a failed report means, for who reads only the errors. */
function badBytes({ destination, folder, checks }: VerifyReport): DguardError[] {
  const failed = checks.filter(({ result }) => result === 'fail');
  return failed.map(
    ({ name, message = 'does not hold' }) =>
      new DguardError('corrupt', `${name}: ${message}`, {
        operation: 'verify',
        subject: `${destination}:${folder}`,
        hint: 'restore from another copy or another backup; `dguard list` shows the good ones',
      }),
  );
}

function print(context: Context, report: VerifyReport, manifest: Manifest | undefined): void {
  for (const warning of report.warnings) context.warn(warning);
  if (report.error) context.report(report.error);
  const { id, destination, level, overall, checks } = report;
  const failed = checks.filter(({ result }) => result === 'fail');
  context.record({
    level: overall === 'pass' ? 'info' : 'error',
    subject: id,
    message: `verify: ${overall}`,
    data: { destination, level, checks },
  });
  if (context.options.json) return;
  const of = manifest === undefined ? '' : ` of ${manifest.job}/${manifest.datasource.name}`;
  context.print(plainText(`${overall}: ${id}${of} at ${destination} (${level})`));
  for (const { name, message = 'does not hold' } of failed) context.print(`  ${name}: ${plainText(message)}`);
}
