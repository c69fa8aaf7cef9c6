import type { Context } from './context.ts';

/**
 * What the command line offers, as data: `definitions/` holds it by subject, `program.ts` walks it into
 * commander, `completion/` walks that into shell scripts. A command's own module loads when it runs.
 */
export interface CommandDefinition {
  /** Name and arguments as commander reads them: `backup [jobs...]`. */
  readonly usage: string;
  readonly description: string;
  readonly options?: readonly OptionDefinition[];
  /** Left out of help and completion. */
  readonly hidden?: boolean;
  /** What `--json` promises of this command even when it fails before there is anything: `{ backups: [] }`. */
  readonly empty?: object;
  /** The action; it gets the context, the arguments, then the options. Absent where there are only subcommands. */
  readonly load?: () => Promise<Run>;
  readonly commands?: readonly CommandDefinition[];
}

export interface OptionDefinition {
  /**
   * As commander reads them: `--from <destination>`. The word in brackets says what completes it
   * (`completion/model.ts`): destination, datasource, job, file, folder.
   */
  readonly flags: string;
  readonly description: string;
  readonly choices?: readonly string[];
  readonly default?: string;
  readonly value?: ValueKind;
  readonly hidden?: boolean;
}

/** `list`: repeatable; `count`: 1 or more; `percent`: `10%` or `10`, over 0 up to 100. */
export type ValueKind = 'list' | 'count' | 'percent';

/** A command's action: the exit status. What it throws becomes the error that is printed. */
export type Run = (context: Context, ...args: never[]) => Promise<number>;

/** Where to read from; both spellings everywhere. */
export const FROM: readonly OptionDefinition[] = [
  {
    flags: '--from <destination>',
    description: 'read from this destination: a name, or a folder (./backups)',
  },
  { flags: '--destination <destination>', description: 'the same as --from', hidden: true },
];
