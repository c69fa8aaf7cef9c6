import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { DatasourceConfig } from '../../config/types/datasources.ts';
import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { datasourceOf, isOneDatabase, jobOf, pickCopy, presentNames, readCatalogs } from '../../core/find.ts';
import { backupsOf } from '../../core/job-runs.ts';
import { type RestoreOptions, restoreCopy } from '../../core/restore.ts';
import { takeSafetyBackup } from '../../core/safety.ts';
import { DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { shellWord } from '../../shell-word.ts';
import { type Context, isFolderName, openDestination, openDestinations } from '../context.ts';
import { restoredJson } from '../render/restored.ts';
import { commonFolder } from './common-folder.ts';
import { type Chosen, chooseRun, noBackupYet } from './job-run.ts';
import { type Piece, restoreEach } from './restore-each.ts';

export interface RestoreCommandOptions {
  readonly from?: string;
  readonly destination?: string;
  readonly at?: string;
  readonly datasource?: readonly string[];
  readonly only?: readonly string[];
  readonly toPath?: string;
  readonly to?: string;
  readonly toDatabase?: string;
  readonly overwrite?: boolean;
  readonly deleteExtra?: boolean;
  readonly privileged?: boolean;
  readonly roles?: boolean;
  readonly allowDuplicates?: boolean;
  readonly parallelJobs?: number;
  /** False: `--no-safety`. */
  readonly safety?: boolean;
  readonly dryRun?: boolean;
  readonly undo?: boolean;
  readonly recover?: boolean;
  readonly dropUndo?: boolean;
  readonly yes?: boolean;
}

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
    const { targetCommand } = await import('./restore-target.ts');
    return targetCommand(context, name, options);
  }
  if (name === undefined) {
    const { restoreDumpCommand } = await import('./restore-dump.ts');
    return restoreDumpCommand(context, options);
  }
  const from = options.from ?? options.destination;
  const destinations = await openDestinations(context, from, name);
  const { entries, errors } = await readCatalogs(destinations, context.runtime.signal);
  if (errors.length > 0 && entries.length === 0) throw errors[0]!.error;
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
      ? { copies: [pickCopy(entries, name)], lacking: false }
      : chooseRun(context, entries, name, config, { ...options, now: context.runtime.now() });
  return restoreAll(context, 'restore', chosen, entries, options);
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
  const common = commonFolder(copies.length > 1 ? options.toPath : undefined, options.dryRun === true);
  const pieces = work.map(({ copy, manifest, present, ...place }): Piece => {
    const { id, job, created_at } = manifest;
    return {
      name: present.datasource,
      what: id,
      title: `${id}, made ${created_at}, from ${copy.destination.name}`,
      job,
      partial: manifest.status === 'partial',
      undoCommand: undoCommand(present, options),
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

/** Where a copy goes. Errors: usage, where nothing says it. */
function placeFor(
  copy: CatalogEntry,
  count: number,
  config: Config | undefined,
  options: Options,
): Pick<RestoreOptions, 'toPath' | 'toDatabase' | 'datasource' | 'toOther'> {
  const { datasource: of, id } = copy.manifest!;
  const { namespace, datasource: name } = presentNames(config, copy.manifest!);
  const isUnsaid = options.to === undefined && options.toPath === undefined;
  if (isUnsaid && config && namespace !== config.defaults.namespace) {
    throw new DguardError(
      'usage',
      `where to? it is of ${namespaceText(namespace)}, this configuration of ${namespaceText(config.defaults.namespace)}`,
      {
        operation: 'restore',
        subject: id,
        hint: `say it: --to ${name} replaces this configuration's ${name}, --to-path DIR restores beside`,
      },
    );
  }
  const datasource =
    options.to === undefined
      ? datasourceOf(config, copy.manifest!)
      : configuredDatasource(config, options.to, of.type, id);
  const toPath = targetOf(options.toPath, { name, type: datasource?.type ?? of.type }, count);
  const type = datasource?.type ?? of.type;
  if (options.toDatabase !== undefined && ['files', 'sqlite'].includes(type)) {
    throw new DguardError('usage', `--to-database names a database of a server, and ${name} is ${type}`, {
      operation: 'restore',
      subject: id,
      hint: 'say where: --to-path PATH',
    });
  }
  // A backup of a server's tables may become an SQLite database at any path; otherwise both say where.
  if (options.to !== undefined && options.toPath !== undefined && type === of.type) {
    throw new DguardError('usage', 'where to? --to and --to-path each name a place', {
      operation: 'restore',
      subject: id,
      hint: 'give one of them',
    });
  }
  if (toPath === undefined && !datasource) {
    throw new DguardError('usage', `where to? ${name} is not configured here`, {
      operation: 'restore',
      subject: id,
      hint: ['files', 'sqlite'].includes(of.type)
        ? '--to-path DIR restores anywhere'
        : `write its server into a backup.yaml as a datasource and name that: --to NAME --to-database DATABASE; \`dguard show ${id}\` says how to do without`,
    });
  }
  if ((options.to !== undefined || options.toDatabase !== undefined) && count > 1) {
    throw new DguardError('usage', 'several datasources would go to one place', {
      operation: 'restore',
      subject: id,
      hint: 'choose one of them: --datasource NAME',
    });
  }
  return {
    ...(toPath === undefined ? {} : { toPath }),
    ...(options.toDatabase === undefined ? {} : { toDatabase: options.toDatabase }),
    ...(datasource ? { datasource } : {}),
    ...(options.to === undefined || options.to === name || toPath !== undefined ? {} : { toOther: true }),
  };
}

const namespaceText = (namespace: string) => (namespace === '' ? 'no namespace' : `namespace ${namespace}`);

/** The datasource of that name. Errors: unknown_name, with those of `type`; `subject` is what goes there. */
export function configuredDatasource(
  config: Config | undefined,
  name: string,
  type: string | undefined,
  subject: string,
): DatasourceConfig {
  const found =
    config !== undefined && Object.hasOwn(config.datasources, name) ? config.datasources[name] : undefined;
  if (found !== undefined) return found;
  const known = Object.values(config?.datasources ?? {})
    .filter((each) => type === undefined || each.type === type)
    .map((each) => each.name);
  throw new DguardError('unknown_name', `${name} is not configured here`, {
    operation: 'restore',
    subject,
    hint:
      known.length > 0
        ? `it has: ${known.join(', ')}`
        : `write it into a backup.yaml as a datasource${type === undefined ? '' : ` of type ${type}`}: backup.example.yaml shows the keys`,
  });
}

/** Local destinations, and the folder that is read from: a restore over one, or over what holds it, leaves backups alone. */
export function ownPathsOf(config: Config | undefined, from?: string): string[] {
  const configured = Object.values(config?.destinations ?? {}).flatMap((each) =>
    each.type === 'local' ? [resolve(each.path)] : [],
  );
  return from !== undefined && isFolderName(from) ? [...configured, resolve(from)] : configured;
}

/** The command that takes a restore back; `of`: undefined where no backup was restored. */
export function undoCommand(
  of: { readonly job: string; readonly datasource: string } | undefined,
  options: Options,
): string {
  const option = (name: string, value: string | undefined) =>
    value === undefined ? '' : ` --${name} ${shellWord(value)}`;
  const name = of === undefined ? '' : ` ${shellWord(of.job)}${option('datasource', of.datasource)}`;
  const place = option('to-path', options.toPath === undefined ? undefined : resolve(options.toPath));
  const to = option('to', options.to);
  const database = option('to-database', options.toDatabase);
  return `dguard restore --undo${name}${to}${place}${database}`;
}

/** Several datasources go into folders of their own beneath the target; a database file keeps a file's name. */
export function targetOf(
  toPath: string | undefined,
  datasource: { readonly name: string; readonly type: string },
  count: number,
): string | undefined {
  if (toPath === undefined) return undefined;
  const file = datasource.type === 'sqlite';
  if (count > 1) return resolve(toPath, file ? `${datasource.name}.db` : datasource.name);
  const path = resolve(toPath);
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  return file && isFolder ? join(path, `${basename(datasource.name)}.db`) : path;
}
