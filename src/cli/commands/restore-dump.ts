import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { restoreDump } from '../../core/restore.ts';
import type { ToolDump } from '../../engines/types.ts';
import { DguardError } from '../../errors.ts';
import type { Context } from '../context.ts';
import { isFolderName } from '../context.ts';
import { outcomeJson } from '../render/restored.ts';
import { restoreEach } from './restore-each.ts';
import { type RestoreCommandOptions, undoCommand } from './restore-options.ts';
import { configuredDatasource, ownPathsOf } from './restore-place.ts';
import { refuseForeign } from './restore-rules.ts';

/** `restore --from FOLDER --to DATASOURCE`: no backup of dguard's, but what mongodump wrote. */
export async function restoreDumpCommand(context: Context, options: RestoreCommandOptions): Promise<number> {
  const from = folderOf(options);
  if (options.to === undefined) {
    throw new DguardError('usage', 'where to? nothing says which server to restore to', {
      operation: 'restore',
      subject: from,
      hint: `name a datasource of the configuration: --from ${from} --to DATASOURCE; to restore a backup, name it: dguard restore JOB --from ${from}`,
    });
  }
  const config = await context.config();
  const datasource = configuredDatasource(config, options.to, 'mongodb', from);
  refuseForeign('restore', [datasource.type], options);
  let dump: ToolDump | undefined;
  return restoreEach(
    context,
    'restore',
    [
      {
        name: datasource.name,
        what: from,
        title: `${from}, a folder of mongodump`,
        partial: false,
        undoCommand: undoCommand(undefined, options, context.options.config),
        async run(dryRun) {
          const outcome = await restoreDump(
            from,
            {
              datasource,
              ...(options.toDatabase === undefined ? {} : { toDatabase: options.toDatabase }),
              only: options.only ?? [],
              overwrite: options.overwrite === true,
              deleteExtra: options.deleteExtra === true,
              dryRun,
              privileged: false,
              allowDuplicates: options.allowDuplicates === true,
              ownPaths: ownPathsOf(config),
            },
            context.runtime,
          );
          dump = outcome.dump;
          return outcome;
        },
        json: (outcome) => ({
          id: null,
          job: null,
          datasource: datasource.name,
          dump: { tool: dump!.tool, path: dump!.path, database: dump!.database },
          ...outcomeJson(outcome),
        }),
      },
    ],
    options,
  );
}

/** The folder that is named, and nothing else that would need a backup. Errors: usage. */
function folderOf(options: RestoreCommandOptions): string {
  const from = options.from ?? options.destination;
  const fail = (why: string, hint: string) =>
    new DguardError('usage', why, {
      operation: 'restore',
      ...(from === undefined ? {} : { subject: from }),
      hint,
    });
  if (from === undefined) {
    throw fail(
      'what is to be restored?',
      'name a job or a backup (`dguard list`); or a folder of mongodump: --from ./dump --to DATASOURCE',
    );
  }
  if (!isFolderName(from)) {
    const folder = existsSync(resolve(from)) ? `; the folder of that name is ./${from}` : '';
    throw fail(
      `which backup of ${from} is to be restored?`,
      `name a job or a backup: dguard restore JOB --from ${from}${folder}`,
    );
  }
  const others = { '--at': options.at, '--datasource': options.datasource, '--to-path': options.toPath };
  for (const [name, value] of Object.entries(others)) {
    if (value === undefined) continue;
    throw fail(
      `${name} chooses among backups, and none is named`,
      `name a job or a backup: dguard restore JOB --from ${from}; or leave ${name} out`,
    );
  }
  return from;
}
