import type { CommandDefinition } from '../definition.ts';

/** Commands that make backups. */
export const BACKUP_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'backup [jobs...]',
    description: 'run jobs',
    options: [
      { flags: '--all', description: 'every job of the configuration' },
      { flags: '--type <type>', description: 'kind of backup', choices: ['full', 'snapshot', 'checkpoint'] },
      { flags: '--tag <k=v>', description: 'tag it (repeatable)', value: 'list' },
      { flags: '--only <pattern>', description: 'only this table or path (repeatable)', value: 'list' },
      { flags: '--exclude <pattern>', description: 'without this table or path (repeatable)', value: 'list' },
      { flags: '--to <destination>', description: 'only to this destination' },
      { flags: '--wait-lock <duration>', description: 'wait so long for another run of it (30m)' },
      { flags: '--ignore-clock', description: 'take the clock as it is' },
      { flags: '--dry-run', description: 'say what would be done' },
    ],
    empty: { backups: [], pruned: [] },
    load: async () => (await import('../commands/backup.ts')).backupCommand,
  },
];
