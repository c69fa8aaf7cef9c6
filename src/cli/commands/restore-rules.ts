import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { datasourceOf, presentNames } from '../../core/find.ts';
import { DguardError } from '../../errors.ts';
import { shellWord } from '../../shell-word.ts';
import type { RestoreCommandOptions } from './restore-options.ts';

type Options = RestoreCommandOptions;

/** The options that say what is restored, and how: nothing of it is asked where a target is undone or recovered. */
const OF_BACKUPS: readonly (readonly [string, (options: Options) => boolean])[] = [
  ['--at', ({ at }) => at !== undefined],
  ['--only', ({ only }) => only !== undefined],
  ['--overwrite', ({ overwrite }) => overwrite === true],
  ['--delete-extra', ({ deleteExtra }) => deleteExtra === true],
  ['--no-safety', ({ safety }) => safety === false],
  ['--privileged', ({ privileged }) => privileged === true],
  ['--roles', ({ roles }) => roles === true],
  ['--allow-duplicates', ({ allowDuplicates }) => allowDuplicates === true],
  ['--parallel-jobs', ({ parallelJobs }) => parallelJobs !== undefined],
];

/** What `--undo`, `--recover` and `--drop-undo` would pass over. Errors: usage. */
export function refuseBesideTarget(name: string | undefined, options: Options): void {
  const command = options.undo ? '--undo' : options.recover ? '--recover' : '--drop-undo';
  const about = { operation: 'restore', ...(name === undefined ? {} : { subject: name }) };
  const given = OF_BACKUPS.filter(([, isGiven]) => isGiven(options)).map(([flag]) => flag);
  if (given.length > 0) {
    throw new DguardError(
      'usage',
      `${given.join(', ')} says what to restore, and ${command} restores no backup`,
      {
        ...about,
        hint: `${command} is about all that a restore did: leave ${given.join(', ')} out`,
      },
    );
  }
  if (options.recover && options.dryRun) {
    throw new DguardError(
      'usage',
      'what --recover would do is found out by doing it: there is no dry run of it',
      {
        ...about,
        hint: 'leave --dry-run out; `dguard doctor` says what was interrupted',
      },
    );
  }
}

/** `--at` beside the id of a backup. Errors: usage. */
export function refuseMoment(copy: CatalogEntry, config: Config | undefined, { at }: Options): void {
  if (at === undefined || copy.manifest === undefined) return;
  const { job } = presentNames(config, copy.manifest);
  throw new DguardError('usage', '--at chooses among the backups of a job, and one is named', {
    operation: 'restore',
    subject: copy.manifest.id,
    hint: `leave --at out, or name the job: dguard restore ${shellWord(job)} --at ${shellWord(at)}`,
  });
}

/** `--datasource` beside the id of a backup of another one; that of all databases is no other one. Errors: usage. */
export function refuseOtherDatasource(
  operation: string,
  { manifest }: CatalogEntry,
  config: Config | undefined,
  { datasource: wanted = [] }: Options,
): void {
  if (manifest === undefined || wanted.length === 0) return;
  const { job, datasource } = presentNames(config, manifest);
  const own = manifest.datasource.name;
  const suffix = `.${manifest.database ?? ''}`;
  const all =
    datasourceOf(config, manifest)?.name ?? (own.endsWith(suffix) ? own.slice(0, -suffix.length) : own);
  if (wanted.every((name) => [datasource, own, all].includes(name))) return;
  throw new DguardError('usage', `it is of ${datasource}, and --datasource says ${wanted.join(', ')}`, {
    operation,
    subject: manifest.id,
    hint: `leave --datasource out, or name the job alone: dguard ${operation} ${shellWord(job)} --datasource ${shellWord(wanted[0]!)}`,
  });
}

/** The types of datasource that an option is about. */
const OF_TYPES: readonly (readonly [string, (options: Options) => boolean, readonly string[]])[] = [
  ['--privileged', ({ privileged }) => privileged === true, ['files']],
  ['--roles', ({ roles }) => roles === true, ['postgres']],
  ['--allow-duplicates', ({ allowDuplicates }) => allowDuplicates === true, ['mongodb']],
  ['--parallel-jobs', ({ parallelJobs }) => parallelJobs !== undefined, ['postgres', 'mysql']],
];

/** What means nothing to any of the targets, or would remove what `--only` leaves alone. Errors: usage. */
export function refuseForeign(operation: string, types: readonly string[], options: Options): void {
  for (const [flag, isGiven, known] of OF_TYPES) {
    if (!isGiven(options) || types.some((type) => known.includes(type))) continue;
    throw new DguardError(
      'usage',
      `${flag} is about ${known.join(' and ')}, and what is restored to is ${types.join(', ')}`,
      {
        operation,
        hint: `leave ${flag} out`,
      },
    );
  }
  // In folders it removes what lies beneath a chosen one; of chosen tables nothing lies beneath.
  const tables = types.find((type) => type !== 'files');
  if (!options.deleteExtra || options.only === undefined || tables === undefined) return;
  throw new DguardError(
    'usage',
    `--only leaves all else in place, and --delete-extra (${tables}) would remove it`,
    {
      operation,
      hint: 'give one of them',
    },
  );
}
