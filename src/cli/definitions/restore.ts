import { type CommandDefinition, FROM } from '../definition.ts';

/** Commands that restore, and that prove that it can be done. */
export const RESTORE_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'restore [job-or-id]',
    description:
      'restore a backup, or the newest good run of a job; without a name: a folder of mongodump (--from ./dump --to DATASOURCE)',
    options: [
      ...FROM,
      {
        flags: '--at <time>',
        description: 'the newest good one not after this (2026-01-31T23:00:00Z, or 7d: ago)',
      },
      { flags: '--datasource <datasource>', description: 'only this datasource (repeatable)', value: 'list' },
      { flags: '--only <pattern>', description: 'only this path or table (repeatable)', value: 'list' },
      { flags: '--to-path <path>', description: 'restore there' },
      {
        flags: '--to <datasource>',
        description: "to another datasource's place; of another type: plain tables of a JSONL export",
      },
      { flags: '--to-database <name>', description: 'to a database of this name' },
      { flags: '--overwrite', description: 'replace what is there; the old is kept for --undo' },
      {
        flags: '--delete-extra',
        description: 'also remove (keep for --undo) what the backup does not hold, after showing it',
      },
      { flags: '--no-safety', description: 'take no safety backup where nothing can be kept for --undo' },
      { flags: '--privileged', description: 'set-uid bits and devices too, as root' },
      {
        flags: '--roles',
        description: "make the roles that the server lacks, as the backup's globals have them (postgres)",
      },
      {
        flags: '--allow-duplicates',
        description: 'build a unique index that documents of the backup break without unique (mongodb)',
      },
      {
        flags: '--parallel-jobs <n>',
        description:
          "so many connections load at a time (default: the job's parallel_jobs; then the engine's choice)",
        value: 'count',
      },
      { flags: '--dry-run', description: 'say what would be done' },
      { flags: '--undo', description: 'put back what the newest restore of it replaced' },
      { flags: '--recover', description: 'finish or take back a restore that was interrupted' },
      { flags: '--drop-undo', description: 'remove what restores of it have kept, after showing it' },
      { flags: '--yes', description: 'do not ask' },
    ],
    empty: { restored: [] },
    load: async () => (await import('../commands/restore.ts')).restoreCommand,
  },
  {
    usage: 'rollback <job> [version]',
    description: 'restore the good backup before the newest good one, or the one named',
    options: [
      ...FROM,
      { flags: '--datasource <datasource>', description: 'only this datasource (repeatable)', value: 'list' },
      { flags: '--privileged', description: 'set-uid bits and devices too, as root' },
      { flags: '--no-safety', description: 'take no safety backup where nothing can be kept for --undo' },
      { flags: '--dry-run', description: 'say what would be done' },
      { flags: '--yes', description: 'do not ask' },
    ],
    empty: { restored: [] },
    load: async () => (await import('../commands/rollback.ts')).rollbackCommand,
  },
  {
    usage: 'verify [job-or-id]',
    description: 'prove that backups can be restored',
    options: [
      ...FROM,
      {
        flags: '--level <level>',
        description: 'how far',
        choices: ['exists', 'checksum', 'content', 'restore'],
        default: 'content',
      },
      { flags: '--all', description: 'every backup, not only the newest of each datasource' },
      {
        flags: '--sample <share>',
        description: 'a random share of all, at least one (10%)',
        value: 'percent',
      },
      { flags: '--newest <n>', description: 'the newest so many of each datasource', value: 'count' },
    ],
    empty: { checks: [] },
    load: async () => (await import('../commands/verify.ts')).verifyCommand,
  },
];
