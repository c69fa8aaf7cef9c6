import { Command, Option } from 'commander';
import type { Context, GlobalOptions } from './context.ts';

const EXIT_CODES = `
Exit codes: 0 done; 1 nothing good came of it; 2 usage, configuration or unknown name; 3 partial;
4 bad bytes; 5 locked; 6 nothing there; 7 client tool missing; 8 wrong key; 9 stale; 75 optional
destination offline; 130, 143 interrupted.`;

const list = (value: string, previous: readonly string[] = []) => [...previous, value];

type Run = (context: Context, ...args: never[]) => Promise<number>;

/** The command line. Nothing but commander is loaded until a command runs. */
export function createProgram(signal: AbortSignal, setStatus: (code: number) => void): Command {
  const program = new Command('dguard')
    .description('Stateless, verifiable backups of databases and files')
    .option('-c, --config <file>', 'configuration file')
    .option('--json', 'one JSON document on stdout')
    .option('-q, --quiet', 'only results, warnings and errors')
    .option('-v, --verbose', 'more about what happens')
    .option('--no-color', 'no colours')
    .option('--no-progress', 'no progress')
    .option('--trust-config', "run commands of a configuration that is someone else's, as root")
    .option('--version', 'print the version')
    .addHelpText('after', EXIT_CODES)
    .exitOverride()
    .showHelpAfterError('(dguard --help shows what there is)');
  program.action(async (options: { version?: boolean }) => {
    if (!options.version) return program.help();
    const { dguardVersion } = await import('./context.ts');
    process.stdout.write(`${dguardVersion()}\n`);
  });

  /** Loads the command's module when it runs, and hands it the context. */
  const run =
    (name: string, load: () => Promise<Run>) =>
    async (...args: unknown[]): Promise<void> => {
      const { createContext } = await import('./context.ts');
      const context = createContext(program.opts<GlobalOptions>(), signal);
      const command = await load();
      const words = args.slice(0, -1) as never[];
      try {
        setStatus(await command(context, ...words));
      } catch (thrown) {
        const { toDguardError } = await import('../errors.ts');
        const error = toDguardError(thrown, 'internal', { operation: name });
        context.finish();
        const { errorLines, jsonDocument } = await import('./render/outcome.ts');
        if (context.options.json) context.print(jsonDocument(name, error.exitStatus, {}, [error]));
        context.note(errorLines(error, context.options.verbose === true));
        setStatus(error.exitStatus);
      } finally {
        context.finish();
      }
    };
  const command = (usage: string, description: string) =>
    program.command(usage).description(description).exitOverride().addHelpText('after', EXIT_CODES);
  const from = new Option(
    '--from <destination>',
    'read from this destination: a name, or a folder (./backups)',
  );
  const fromToo = new Option('--destination <destination>', 'the same as --from').hideHelp();

  command('backup [jobs...]', 'run jobs')
    .option('--all', 'every job of the configuration')
    .addOption(new Option('--type <type>', 'kind of backup').choices(['full', 'snapshot', 'checkpoint']))
    .option('--tag <k=v>', 'tag it (repeatable)', list)
    .option('--only <pattern>', 'only this table or path (repeatable)', list)
    .option('--exclude <pattern>', 'without this table or path (repeatable)', list)
    .option('--to <destination>', 'only to this destination')
    .option('--dry-run', 'say what would be done')
    .action(run('backup', async () => (await import('./commands/backup.ts')).backupCommand as Run));
  command('list [job]', 'backups, newest first')
    .addOption(new Option('--destination <destination>', 'a name, or a folder (./backups)'))
    .option('--from <destination>', 'the same as --destination')
    .option('--datasource <name>')
    .option('--type <type>')
    .option('--status <status>')
    .option('--tag <tag>')
    .option('--since <time>')
    .option('--until <time>')
    .option('--limit <n>', 'at most so many', Number)
    .action(run('list', async () => (await import('./commands/list.ts')).listCommand as Run));
  command('show <id>', 'everything about one backup')
    .addOption(from)
    .addOption(fromToo)
    .action(run('show', async () => (await import('./commands/list.ts')).showCommand as Run));
  command('ls <id> [path]', 'what is inside')
    .addOption(from)
    .addOption(fromToo)
    .action(run('ls', async () => (await import('./commands/inside.ts')).lsCommand as Run));
  command('cat <id> <member>', 'one file or member to stdout')
    .addOption(from)
    .addOption(fromToo)
    .action(run('cat', async () => (await import('./commands/inside.ts')).catCommand as Run));
  command('diff <older> <newer>', 'what was added, removed, changed')
    .addOption(from)
    .addOption(fromToo)
    .action(run('diff', async () => (await import('./commands/inside.ts')).diffCommand as Run));
  command('restore <job-or-id>', 'restore a backup, or the newest good run of a job')
    .addOption(from)
    .addOption(fromToo)
    .option('--at <time>', 'the newest good one not after this')
    .option('--datasource <name>', 'only this datasource (repeatable)', list)
    .option('--only <pattern>', 'only this path or table (repeatable)', list)
    .option('--to-path <path>', 'restore there')
    .option('--overwrite', 'replace what is there; the old is kept beside it')
    .option('--privileged', 'set-uid bits and devices too, as root')
    .option('--dry-run', 'say what would be done')
    .option('--yes', 'do not ask')
    .action(run('restore', async () => (await import('./commands/restore.ts')).restoreCommand as Run));
  command('verify [job-or-id]', 'prove that backups can be restored')
    .addOption(from)
    .addOption(fromToo)
    .addOption(
      new Option('--level <level>', 'how far')
        .choices(['exists', 'checksum', 'content', 'restore'])
        .default('content'),
    )
    .option('--all', 'every backup, not only the newest of each datasource')
    .option('--newest <n>', 'the newest so many of each datasource', Number)
    .action(run('verify', async () => (await import('./commands/verify.ts')).verifyCommand as Run));
  command('delete <ids...>', 'delete backups')
    .addOption(from)
    .addOption(fromToo)
    .option('--yes', 'do not ask')
    .action(run('delete', async () => (await import('./commands/delete.ts')).deleteCommand as Run));
  const config = command('config', 'look at the configuration');
  for (const name of ['validate', 'show', 'schema'] as const) {
    config
      .command(name)
      .exitOverride()
      .action(
        run(`config ${name}`, async () => (await import('./commands/config.ts')).configCommands[name] as Run),
      );
  }
  return program;
}
