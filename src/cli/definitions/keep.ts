import { type CommandDefinition, FROM } from '../definition.ts';

/** Commands that decide what stays. */
export const KEEP_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'delete <ids...>',
    description: 'delete backups',
    options: [...FROM, { flags: '--yes', description: 'do not ask' }],
    empty: { deleted: [] },
    load: async () => (await import('../commands/delete.ts')).deleteCommand,
  },
];
