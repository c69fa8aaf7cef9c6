import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import {
  findCopy,
  isOneDatabase,
  jobOf,
  presentNames,
  readCatalogs,
  refuseUnlisted,
} from '../../core/find.ts';
import { backupsOf } from '../../core/job-runs.ts';
import { type RestoreOptions, restoreCopy } from '../../core/restore.ts';
import { takeSafetyBackup } from '../../core/safety.ts';
import { DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { type Context, isFolderName, openDestination, openDestinations } from '../context.ts';
import { restoredJson } from '../render/restored.ts';
import { commonFolder } from './common-folder.ts';
import { type Chosen, chooseRun, noBackupYet, warnOfUnlisted } from './job-run.ts';
import { type Piece, restoreEach } from './restore-each.ts';
import { type RestoreCommandOptions, undoCommand } from './restore-options.ts';
import { ownPathsOf, placeFor } from './restore-place.ts';
import { refuseBesideTarget, refuseForeign, refuseMoment, refuseOtherDatasource } from './restore-rules.ts';

type Options = RestoreCommandOptions;

export async function restoreCommand(
  context: Context,
  name: string | undefined,
  options: Options,
): Promise<number> {
  if ((options.parallelJobs ?? 1) > MAX_PARALLEL_JOBS) {
    throw new DguardError('usage', `--parallel-jobs is at most ${MAX_PARALLEL_JOBS}`, {
      operation: 'restore',
      ...(name === undefined ? {} : { subject: name }),
    });
  }
  if (options.undo || options.recover || options.dropUndo) {
    refuseBesideTarget(name, options);
    const { targetCommand } = await import('./restore-target.ts');
    return targetCommand(context, name, options);
  }
  if (name === undefined) {
    const { restoreDumpCommand } = await import('./restore-dump.ts');
    return restoreDumpCommand(context, options);
  }
  const from = options.from ?? options.destination;
  const destinations = await openDestinations(context, from, name);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const { entries } = catalogs;
  if (entries.length === 0) refuseUnlisted(catalogs, name, 'restore');
  warnOfUnlisted(context, catalogs);
  const config = await context.configOrNone(from !== undefined);
  const ofJob = backupsOf(entries, name, config);
  if (jobOf(config, name) && ofJob.length === 0) throw noBackupYet(entries, name);
  if (entries.length === 0 && from !== undefined && isFolderName(from)) {
    throw new DguardError('unknown_name', `${from} holds no backup of dguard`, {
      operation: 'restore',
      subject: name,
      hint: `what mongodump wrote is restored without a name: dguard restore --from ${from} --to DATASOURCE`,
    });
  }
  const chosen =
    ofJob.length === 0
      ? { copies: [backupNamed(findCopy(catalogs, name), config, options)], lacking: false }
      : chooseRun(context, entries, name, config, { ...options, now: context.runtime.now() });
  return restoreAll(context, 'restore', chosen, entries, options);
}

/** One backup is chosen by its id: what chooses among those of a job has nothing to say. */
function backupNamed(copy: CatalogEntry, config: Config | undefined, options: Options): CatalogEntry {
  refuseMoment(copy, config, options);
  refuseOtherDatasource('restore', copy, config, options);
  return copy;
}

/** Restores each of these copies to its place; one that fails does not keep the others from theirs. */
export async function restoreAll(
  context: Context,
  command: string,
  { copies, lacking }: Chosen,
  entries: readonly CatalogEntry[],
  options: Options,
): Promise<number> {
  const config = await context.configOrNone((options.from ?? options.destination) !== undefined);
  const work = copies.map((copy) => {
    if (!copy.manifest) throw copy.error;
    const { manifest } = copy;
    const present = presentNames(config, manifest);
    return { copy, manifest, present, ...placeFor(copy, copies.length, config, options) };
  });
  const types = work.map(({ datasource, manifest }) => datasource?.type ?? manifest.datasource.type);
  refuseForeign(command, types, options);
  const common = commonFolder(copies.length > 1 ? options.toPath : undefined, options.dryRun === true);
  const pieces = work.map(({ copy, manifest, present, ...place }): Piece => {
    const { id, job, created_at } = manifest;
    return {
      name: present.datasource,
      what: id,
      title: `${id}, made ${created_at}, from ${copy.destination.name}`,
      job,
      partial: manifest.status === 'partial',
      undoCommand: undoCommand(present, options, context.options.config),
      run: (dryRun) =>
        restoreCopy(
          copy,
          entries,
          {
            ...place,
            only: options.only ?? [],
            overwrite: options.overwrite === true,
            deleteExtra: options.deleteExtra === true,
            dryRun,
            ...(common.toCome === undefined ? {} : { folderToCome: common.toCome }),
            privileged: options.privileged === true,
            roles: options.roles === true,
            allowDuplicates: options.allowDuplicates === true,
            ...parallelJobsOf(config, manifest, options),
            ownPaths: ownPathsOf(config, options.from ?? options.destination),
            ...(options.safety === false ? {} : { safety: () => safetyOf(context, copy, place, config) }),
          },
          context.runtime,
        ),
      json: (outcome) => restoredJson(manifest, outcome),
    };
  });
  try {
    return await restoreEach(context, command, pieces, options, lacking);
  } finally {
    common.release();
  }
}

/** As the configuration has it for a job. */
const MAX_PARALLEL_JOBS = 256;

/** As said here, or as the backup's job has it; otherwise the engine chooses. */
function parallelJobsOf(
  config: Config | undefined,
  manifest: Manifest,
  options: Options,
): Pick<RestoreOptions, 'parallelJobs'> {
  const { job } = presentNames(config, manifest);
  const parallelJobs = options.parallelJobs ?? jobOf(config, job)?.options.parallel_jobs;
  return parallelJobs === undefined ? {} : { parallelJobs };
}

/** Backs up what a restore is about to replace for good. */
function safetyOf(
  context: Context,
  { manifest, destination }: CatalogEntry,
  { datasource, toDatabase, toOther }: Pick<RestoreOptions, 'datasource' | 'toDatabase' | 'toOther'>,
  config: Config | undefined,
): Promise<string> {
  // The name of a database of another type's server says nothing of this one's; a datasource of one database says it itself.
  const isNamed = datasource?.type === manifest!.datasource.type && !(toOther && isOneDatabase(datasource));
  const own = isNamed ? manifest!.database : undefined;
  const database = toDatabase ?? own;
  context.note('what is there now cannot be kept for undo: a safety backup of it is taken first');
  return takeSafetyBackup(
    {
      config,
      job: presentNames(config, manifest!).job,
      destination: destination.name,
      datasource,
      ...(database === undefined ? {} : { database }),
      ignoreClock: false,
      openDestination: (name) => openDestination(context, name),
    },
    context.runtime,
  );
}
