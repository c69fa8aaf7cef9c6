import type { CatalogEntry } from '../../core/catalog.ts';
import { copiesOf, readCatalogs } from '../../core/find.ts';
import { type VerifyLevel, type VerifyReport, verifyCopy } from '../../core/verify.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { type Context, openDestinations } from '../context.ts';
import { errorLines, jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
  readonly level: VerifyLevel;
  readonly all?: boolean;
  readonly newest?: number;
}

export async function verifyCommand(
  context: Context,
  name: string | undefined,
  options: Options,
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const { entries, errors } = await readCatalogs(destinations, context.runtime.signal);
  const statuses = errors.map(({ error }) => toDguardError(error, 'storage_failed').exitStatus);
  const chosen = choose(entries, name, options);
  if (chosen.length === 0 && errors.length === 0) {
    throw new DguardError(
      name === undefined ? 'nothing_there' : 'unknown_name',
      'there is nothing to verify',
      {
        operation: 'verify',
        ...(name === undefined ? {} : { subject: name }),
        hint: '`dguard list` shows what there is',
      },
    );
  }
  const reports: VerifyReport[] = [];
  for (const copy of chosen) {
    const report = await verifyCopy(copy, entries, options.level, context.runtime);
    reports.push(report);
    statuses.push(
      report.overall === 'fail' ? 4 : report.overall === 'error' ? (report.error?.exitStatus ?? 1) : 0,
    );
    if (!context.options.json) print(context, report);
  }
  const status = combineExitStatus(statuses);
  const failures = [
    ...errors.map(({ error }) => error),
    ...reports.flatMap(({ error }) => (error ? [error] : [])),
  ];
  if (context.options.json) {
    const checks = reports.map(({ error: _, ...report }) => report);
    context.print(jsonDocument('verify', status, { checks }, failures));
  } else for (const { error } of errors) context.note(errorLines(error, context.options.verbose === true));
  return status;
}

/** The backup named, or of each datasource (of a job) the newest so many at each destination. */
function choose(
  entries: readonly CatalogEntry[],
  name: string | undefined,
  options: Options,
): CatalogEntry[] {
  const candidates = entries.filter(({ manifest }) => manifest?.status !== 'failed');
  const isJob = name !== undefined && candidates.some(({ manifest }) => manifest?.job === name);
  if (name !== undefined && !isJob) return copiesOf(candidates, name);
  const ofJob = candidates.filter(
    ({ manifest, folder }) => !isJob || (manifest ? manifest.job === name : folder.startsWith(`${name}/`)),
  );
  if (options.all) return ofJob;
  const seen = new Map<string, number>();
  return ofJob.filter(({ manifest, destination, folder }) => {
    const group = `${destination.name}\n${manifest ? `${manifest.job}\n${manifest.datasource.name}` : folder}`;
    const count = seen.get(group) ?? 0;
    seen.set(group, count + 1);
    return count < (options.newest ?? 1);
  });
}

function print(context: Context, report: VerifyReport): void {
  context.finish();
  context.print(`${report.overall}: ${plainText(report.id)} at ${report.destination} (${report.level})`);
  for (const { name, result, message } of report.checks) {
    if (result === 'fail') context.print(`  ${name}: ${plainText(message ?? 'does not hold')}`);
  }
  for (const warning of report.warnings) context.note(`warning: ${plainText(warning)}`);
  if (report.error) context.note(errorLines(report.error, context.options.verbose === true));
}
