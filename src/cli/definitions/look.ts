import { type CommandDefinition, FROM } from '../definition.ts';

/** Commands that look at backups and change nothing. */
export const LOOK_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'list [job]',
    description: 'backups, newest first',
    options: [
      { flags: '--destination <destination>', description: 'a name, or a folder (./backups)' },
      { flags: '--from <destination>', description: 'the same as --destination' },
      { flags: '--datasource <datasource>', description: 'only of this datasource' },
      {
        flags: '--type <type>',
        description: 'only of this kind',
        choices: ['full', 'incremental', 'differential', 'snapshot', 'checkpoint'],
      },
      {
        flags: '--status <status>',
        description: 'only with this status',
        choices: ['good', 'completed', 'partial', 'suspect', 'failed', 'broken', 'damaged', 'verify-failed'],
      },
      { flags: '--tag <tag>', description: 'only with this tag' },
      {
        flags: '--since <time>',
        description: 'not before this (2026-01-31, 2026-01-31T23:00:00Z, or 7d: ago)',
      },
      { flags: '--until <time>', description: 'not after this' },
      { flags: '--prefix <prefix>', description: 'only in folders of the destination that begin so' },
      { flags: '--limit <n>', description: 'at most so many', value: 'count' },
    ],
    empty: { backups: [] },
    load: async () => (await import('../commands/list.ts')).listCommand,
  },
  {
    usage: 'status [jobs...]',
    description: 'how old, how large and how well proven the backups are',
    options: [
      { flags: '--max-age <duration>', description: 'fail (9) where the last good one is older (26h)' },
      { flags: '--prometheus', description: 'print metrics' },
    ],
    empty: { rows: [], undo: [] },
    load: async () => (await import('../commands/status.ts')).statusCommand,
  },
  {
    usage: 'check [names...]',
    description: 'health of datasources and destinations, by name or by job',
    options: [{ flags: '--timeout <duration>', description: 'wait so long for each (15s)' }],
    empty: { datasources: [], destinations: [] },
    load: async () => (await import('../commands/check.ts')).checkCommand,
  },
  {
    usage: 'doctor [names...]',
    description: 'what would make a backup or a restore fail, and how to mend it',
    options: [{ flags: '--timeout <duration>', description: 'wait so long for each (60s)' }],
    empty: { findings: [], looked_at: [] },
    load: async () => (await import('../commands/doctor.ts')).doctorCommand,
  },
  {
    usage: 'show <id>',
    description: 'everything about one backup',
    options: FROM,
    load: async () => (await import('../commands/list.ts')).showCommand,
  },
  {
    usage: 'ls <id> [path]',
    description: 'what is inside',
    options: FROM,
    empty: { entries: [] },
    load: async () => (await import('../commands/inside.ts')).lsCommand,
  },
  {
    usage: 'cat <id> <member>',
    description: 'one file or member to stdout',
    options: FROM,
    load: async () => (await import('../commands/inside.ts')).catCommand,
  },
  {
    usage: 'diff <older> <newer>',
    description: 'what was added, removed, changed',
    options: FROM,
    empty: { changes: [] },
    load: async () => (await import('../commands/inside.ts')).diffCommand,
  },
];
