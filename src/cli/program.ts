import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { GlobalOptions } from './context.ts';
import type { CommandDefinition, OptionDefinition, ValueKind } from './definition.ts';
import { BACKUP_COMMANDS } from './definitions/backup.ts';
import { CONFIG_COMMANDS } from './definitions/config.ts';
import { KEEP_COMMANDS } from './definitions/keep.ts';
import { LOOK_COMMANDS } from './definitions/look.ts';
import { RESTORE_COMMANDS } from './definitions/restore.ts';
import { dguardVersion } from './version.ts';

const EXIT_CODES = `
Exit codes: 0 done; 1 nothing good came of it; 2 usage, configuration or unknown name; 3 partial;
4 bad bytes; 5 locked; 6 nothing there; 7 client tool missing; 8 wrong key; 9 stale; 75 optional
destination offline; 130, 143 interrupted.`;

const GLOBAL_OPTIONS: readonly OptionDefinition[] = [
  { flags: '-c, --config <file>', description: 'configuration file' },
  {
    flags: '--json',
    description: 'one JSON document on stdout; stderr is JSON lines: progress, warnings, errors',
  },
  { flags: '-q, --quiet', description: 'only results, warnings and errors' },
  { flags: '-v, --verbose', description: 'more about what happens' },
  { flags: '--log-dir <folder>', description: 'append a log of JSON lines there, one file per job and day' },
  { flags: '--no-color', description: 'no colours and no other escape codes' },
  { flags: '--no-progress', description: 'no progress' },
  { flags: '--trust-config', description: "run commands of a configuration that is someone else's, as root" },
  { flags: '--version', description: 'print the version' },
];

const COMMANDS = [
  ...BACKUP_COMMANDS,
  ...LOOK_COMMANDS,
  ...RESTORE_COMMANDS,
  ...KEEP_COMMANDS,
  ...CONFIG_COMMANDS,
];

/** Runs one command: its definition, its full name, the global options, its arguments and options. */
export type Runner = (
  definition: CommandDefinition,
  name: string,
  options: GlobalOptions,
  words: readonly unknown[],
) => Promise<void>;

export interface ProgramOptions {
  readonly run: Runner;
  /** Called when a command line is wrong (or only asks for help), before commander throws. */
  readonly onExit?: (name: string, empty: object) => void;
  /** With `--json` what commander says is printed by the caller. */
  readonly silent?: boolean;
}

/** The command line. Nothing but commander and the definitions is loaded until a command runs. */
export function createProgram(options: ProgramOptions): Command {
  const program = new Command('dguard')
    .description('Stateless, verifiable backups of databases and files')
    .addHelpText('after', EXIT_CODES)
    .configureOutput({ ...(options.silent ? { writeErr: () => undefined } : {}) });
  finishCommand(program, undefined, 'dguard', options);
  for (const option of GLOBAL_OPTIONS) addOption(program, option);
  program.on('option:version', () => {
    process.stdout.write(`${dguardVersion()}\n`);
    throw new CommanderError(0, 'commander.version', '');
  });
  const globals = () => program.opts<GlobalOptions>();
  for (const definition of COMMANDS) add(program, definition, '', globals, options);
  return program;
}

function add(
  parent: Command,
  definition: CommandDefinition,
  prefix: string,
  globals: () => GlobalOptions,
  options: ProgramOptions,
): void {
  const command = parent
    .command(definition.usage, { hidden: definition.hidden === true })
    .description(definition.description)
    .addHelpText('after', EXIT_CODES);
  const name = `${prefix}${command.name()}`;
  finishCommand(command, definition, name, options);
  for (const option of definition.options ?? []) addOption(command, option);
  if (definition.load) {
    // Commander hands over the arguments, the options and itself.
    command.action((...words: unknown[]) => {
      refuseEmpty(command);
      refuseTwoPlaces(command);
      return options.run(definition, name, globals(), words.slice(0, -1));
    });
  }
  for (const child of definition.commands ?? []) add(command, child, `${name} `, globals, options);
}

/** What a script hands over from a variable that is not set: `--to-path ''` would be the folder one is in. */
function refuseEmpty(command: Command): void {
  const isEmpty = (value: unknown) => value === '' || (Array.isArray(value) && value.includes(''));
  const given: { text: string; value: unknown }[] = [];
  for (let at: Command | null = command; at; at = at.parent) {
    for (const option of at.options)
      given.push({ text: option.flags, value: at.opts()[option.attributeName()] });
  }
  const words = command.registeredArguments.map((argument, at) => ({
    text: argument.name(),
    value: command.processedArgs[at],
  }));
  for (const { text, value } of [...given, ...words]) {
    if (isEmpty(value)) command.error(`error: '${text}' is given and empty`);
  }
}

/** Two spellings of one option: which of them would be read? */
function refuseTwoPlaces(command: Command): void {
  const { from, destination } = command.opts<{ from?: string; destination?: string }>();
  if (from === undefined || destination === undefined || from === destination) return;
  command.error(
    `error: '--from ${from}' and '--destination ${destination}' are one option: give one of them`,
  );
}

/** An option that takes one value takes one: `--to one --to two` would be the second alone. */
function addOption(command: Command, definition: OptionDefinition): void {
  const option = optionOf(definition);
  command.addOption(option);
  if (definition.value === 'list' || !(option.required || option.optional)) return;
  let given: string | undefined;
  command.on(`option:${option.name()}`, (value: string) => {
    // An alias's file, and that of a command as it was printed, are one in two spellings.
    const said = option.name() === 'config' ? resolve : String;
    if (given !== undefined && said(given) !== said(value))
      command.error(`error: option '${option.flags}' is given twice: ${given}, ${value}`);
    given = value;
  });
}

function finishCommand(
  command: Command,
  definition: CommandDefinition | undefined,
  name: string,
  { onExit }: ProgramOptions,
): void {
  command.showHelpAfterError(`  next: ${definition ? `dguard ${name}` : name} --help`);
  command.exitOverride((error) => {
    onExit?.(name, definition?.empty ?? {});
    throw error;
  });
}

function optionOf(definition: OptionDefinition): Option {
  const option = new Option(definition.flags, definition.description);
  if (definition.choices) option.choices(definition.choices);
  if (definition.default !== undefined) option.default(definition.default);
  if (definition.value) option.argParser(PARSERS[definition.value]);
  return definition.hidden ? option.hideHelp() : option;
}

const PARSERS: Readonly<Record<ValueKind, (value: string, previous: unknown) => unknown>> = {
  list: (value, previous) => [...((previous as readonly string[] | undefined) ?? []), value],
  count(value) {
    const count = Number(value);
    if (/^\d+$/.test(value) && count > 0 && Number.isSafeInteger(count)) return count;
    throw new InvalidArgumentError('It must be a whole number, 1 or more.');
  },
  percent(value) {
    const percent = Number(value.replace(/%$/, ''));
    if (/^\d+(\.\d+)?%?$/.test(value) && percent > 0 && percent <= 100) return percent;
    throw new InvalidArgumentError('It must be a share over 0 and up to 100, like 10%.');
  },
};
