import { resolve } from 'node:path';
import { shellWord } from '../../shell-word.ts';
import { isFolderName } from '../context.ts';

/** What the command line says of a restore. */
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

/**
 * The command that takes a restore back, from any folder; `of`: undefined where no backup was restored; `config`: the
 * file that `-c` named.
 */
export function undoCommand(
  of: { readonly job: string; readonly datasource: string } | undefined,
  options: RestoreCommandOptions,
  config: string | undefined,
): string {
  const option = (name: string, value: string | undefined) =>
    value === undefined ? '' : ` --${name} ${shellWord(value)}`;
  const name = of === undefined ? '' : ` ${shellWord(of.job)}${option('datasource', of.datasource)}`;
  const place = option('to-path', options.toPath === undefined ? undefined : resolve(options.toPath));
  const to = option('to', options.to);
  const database = option('to-database', options.toDatabase);
  // A folder of a tool's dump says nothing of the target.
  const read = of === undefined ? undefined : (options.from ?? options.destination);
  const from = option('from', read !== undefined && isFolderName(read) ? resolve(read) : read);
  const file = option('config', config === undefined ? undefined : resolve(config));
  return `dguard restore --undo${name}${to}${place}${database}${from}${file}`;
}
