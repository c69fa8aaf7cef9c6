import { type CommandDefinition, FROM } from '../definition.ts';

const YES = { flags: '--yes', description: 'do not ask' };

/** Commands that decide what stays. */
export const KEEP_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'prune [jobs...]',
    description: 'apply retention, and sweep what interrupted runs left',
    options: [
      { flags: '--destination <destination>', description: 'only at this destination' },
      { flags: '--dry-run', description: 'show the plan with its reasons' },
      { flags: '--wait-lock <duration>', description: 'wait so long for another run (30m)' },
      { flags: '--ignore-clock', description: 'take the clock as it is' },
    ],
    empty: { plan: [], groups: [] },
    load: async () => (await import('../commands/prune.ts')).pruneCommand,
  },
  {
    usage: 'accept <id>',
    description: 'end the doubt about a suspect backup',
    options: FROM,
    empty: { marked: [] },
    load: async () => (await import('../commands/mark.ts')).acceptCommand,
  },
  {
    usage: 'pin <id>',
    description: 'keep a backup whatever retention says',
    options: FROM,
    empty: { marked: [] },
    load: async () => (await import('../commands/mark.ts')).pinCommand,
  },
  {
    usage: 'unpin <id>',
    description: 'leave a pinned backup or a checkpoint to retention again',
    options: FROM,
    empty: { marked: [] },
    load: async () => (await import('../commands/mark.ts')).unpinCommand,
  },
  {
    usage: 'unlock <job>',
    description: 'remove a stale lock after showing its owner',
    options: [{ flags: '--force', description: 'also when its owner seems to run' }, YES],
    empty: { unlocked: [] },
    load: async () => (await import('../commands/unlock.ts')).unlockCommand,
  },
  {
    usage: 'delete <ids...>',
    description: 'delete backups',
    options: [...FROM, { flags: '--with-dependents', description: 'and the backups that need them' }, YES],
    empty: { deleted: [] },
    load: async () => (await import('../commands/delete.ts')).deleteCommand,
  },
];
