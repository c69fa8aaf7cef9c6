import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { copiesOf, jobOf, pickCopy, readCatalogs, refuseUnlisted } from '../../core/find.ts';
import { hostNameOf } from '../../core/groups.ts';
import { backupsOf, newestGoodRun } from '../../core/job-runs.ts';
import { DguardError } from '../../errors.ts';
import { confirm } from '../confirm.ts';
import { type Context, openDestinations } from '../context.ts';
import { plainText } from '../render/text.ts';
import { type Chosen, chooseRun, noBackupYet, toChosen, unknownJob, warnOfUnlisted } from './job-run.ts';
import { restoreAll } from './restore.ts';
import type { RestoreCommandOptions } from './restore-options.ts';
import { refuseOtherDatasource } from './restore-rules.ts';

/** Back to the good run before the newest good one, or to the backup named; kept for undo like any restore. */
export async function rollbackCommand(
  context: Context,
  job: string,
  version: string | undefined,
  options: RestoreCommandOptions,
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const { entries } = catalogs;
  if (entries.length === 0) refuseUnlisted(catalogs, job, 'rollback');
  warnOfUnlisted(context, catalogs);
  const config = await context.configOrNone((options.from ?? options.destination) !== undefined);
  if (backupsOf(entries, job, config).length === 0) {
    if (jobOf(config, job)) throw noBackupYet(entries, job);
    throw unknownJob(job, 'rollback');
  }
  const chosen =
    version === undefined
      ? before(context, entries, job, options, config)
      : named(entries, job, version, options, config);
  for (const { manifest, destination } of chosen.copies) {
    const { id, created_at, datasource } = manifest!;
    context.note(
      `back to ${plainText(id)} of ${created_at} (${plainText(datasource.name)}, from ${destination.name})`,
    );
  }
  if (!options.yes && !options.dryRun) {
    await confirm(
      context,
      'rollback',
      `Replace what is there now by ${chosen.copies.length === 1 ? 'it' : 'them'}?`,
    );
  }
  return restoreAll(context, 'rollback', chosen, entries, { ...options, overwrite: true });
}

/** The newest good run that is older than all of the newest good one. */
function before(
  context: Context,
  entries: readonly CatalogEntry[],
  job: string,
  options: RestoreCommandOptions,
  config: Config | undefined,
): Chosen {
  const now = context.runtime.now();
  const { copies: newest } = chooseRun(context, entries, job, config, { ...options, now }, false);
  const runs = new Set(newest.map(({ manifest }) => manifest!.run_id));
  const older = entries.filter(({ manifest }) => manifest === undefined || !runs.has(manifest.run_id));
  const at = new Date(Math.min(...newest.map(({ manifest }) => Date.parse(manifest!.created_at))));
  try {
    const wanted = options.datasource === undefined ? {} : { datasources: options.datasource };
    const run = newestGoodRun(older, job, {
      now,
      at,
      config,
      hostName: hostNameOf(config, context.runtime.host),
      ...wanted,
    });
    return toChosen(context, run, job);
  } catch (error) {
    if (!(error instanceof DguardError) || error.code !== 'nothing_there') throw error;
    throw new DguardError('nothing_there', `job ${job} has only one good run: there is none to go back to`, {
      operation: 'rollback',
      subject: job,
      hint: `\`dguard list ${job}\` shows what there is; \`dguard restore ${job}\` restores the newest`,
    });
  }
}

function named(
  entries: readonly CatalogEntry[],
  job: string,
  version: string,
  options: RestoreCommandOptions,
  config: Config | undefined,
): Chosen {
  const ofJob = backupsOf(entries, job, config).map(({ entry }) => entry);
  if (copiesOf(ofJob, version).length > 0) {
    const copy = pickCopy(ofJob, version);
    refuseOtherDatasource('rollback', copy, config, options);
    return { copies: [copy], lacking: false };
  }
  throw new DguardError('unknown_name', `job ${job} has no backup ${version}`, {
    operation: 'rollback',
    subject: version,
    hint: `\`dguard list ${job}\` shows what there is`,
  });
}
