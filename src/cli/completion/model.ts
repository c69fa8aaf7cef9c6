import type { Command, Option } from 'commander';

/** What stands for a value: names of the configuration, paths, or one of these words. */
export type ValueKind =
  | 'jobs'
  | 'datasources'
  | 'destinations'
  | 'names'
  | 'file'
  | 'folder'
  | 'none'
  | { readonly words: readonly string[] };

/** The kinds that `dguard __complete KIND` lists. */
export const DYNAMIC_KINDS = ['jobs', 'datasources', 'destinations', 'names'] as const;

export interface CompletionOption {
  /** `-c` and `--config`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Undefined where the option takes no value. */
  readonly value: ValueKind | undefined;
  readonly repeatable: boolean;
}

export interface CompletionCommand {
  /** `config validate`; empty for dguard itself. */
  readonly path: string;
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletionOption[];
  readonly arguments: readonly { readonly kind: ValueKind; readonly variadic: boolean }[];
  readonly commands: readonly CompletionCommand[];
}

/** By the word in a definition's brackets. */
const KINDS: Readonly<Record<string, ValueKind>> = {
  job: 'jobs',
  jobs: 'jobs',
  'job-or-id': 'jobs',
  datasource: 'datasources',
  destination: 'destinations',
  from: 'destinations',
  to: 'destinations',
  name: 'names',
  names: 'names',
  file: 'file',
  folder: 'folder',
  shell: { words: ['bash', 'zsh', 'fish'] },
};

/** Everything that can be completed, out of the program itself; hidden commands and options are left out. */
export function completionModel(program: Command): CompletionCommand {
  return commandOf(program, '');
}

/** All commands, dguard itself first. */
export function allCommands(root: CompletionCommand): CompletionCommand[] {
  return [root, ...root.commands.flatMap(allCommands)];
}

function commandOf(command: Command, path: string): CompletionCommand {
  const help = command.createHelp();
  const own = command.commands;
  return {
    path,
    name: command.name(),
    description: command.description(),
    options: help.visibleOptions(command).map(optionOf),
    arguments: command.registeredArguments.map((argument) => ({
      kind: argument.argChoices ? { words: argument.argChoices } : (KINDS[argument.name()] ?? 'none'),
      variadic: argument.variadic,
    })),
    commands: help
      .visibleCommands(command)
      .filter((child) => own.includes(child))
      .map((child) => commandOf(child, `${path} ${child.name()}`.trim())),
  };
}

function optionOf(option: Option): CompletionOption {
  const placeholder = /[<[]([^>\].]+)/.exec(option.flags)?.[1];
  const kind = (placeholder === undefined ? undefined : KINDS[placeholder]) ?? 'none';
  // On the command line's side a path may be a file or a folder.
  const value = option.argChoices ? { words: option.argChoices } : placeholder === 'path' ? 'file' : kind;
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined),
    description: option.description,
    value: placeholder === undefined ? undefined : value,
    repeatable: / \(repeatable\)$/.test(option.description),
  };
}
