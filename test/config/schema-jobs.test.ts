import { badValues } from './fixture.ts';

badValues([
  [
    'an unknown datasource',
    { job: 'formerly: a/b, notify: m' },
    'jobs.j.notify[0]: names the notification "m", which is not defined (did you mean n?)',
  ],
  ['a notification twice', { job: 'notify: [n, n]' }, 'jobs.j.notify[1]: "n" stands here twice'],
  [
    'a strategy',
    { job: 'strategy: al' },
    'jobs.j.strategy: must be one of all, any, priority (did you mean all?)',
  ],
  [
    'a backup type',
    { job: 'type: incr' },
    'jobs.j.type: must be one of full, incremental, differential, snapshot, checkpoint',
  ],
  [
    'a cron expression',
    { job: 'schedule: "0 25 * * *"' },
    'jobs.j.schedule[0].cron: hour "25": must lie between 0 and 23',
  ],
  [
    'a day that no month has',
    { job: 'schedule: "0 0 30 2 *"' },
    'jobs.j.schedule[0].cron: never comes: no month "2" has a day "30"',
  ],
  [
    'a cron among several',
    { job: 'schedule: [{cron: "@daily"}, {cron: x}]' },
    'jobs.j.schedule[1].cron: must have five fields (minute hour day month weekday), has 1',
  ],
  [
    'a bare number as duration',
    { job: 'full_every: 7' },
    'jobs.j.full_every: must be a duration such as 90s, 30m, 26h, 7d',
  ],
  ['a duration', { job: 'timeout: 7 days' }, 'jobs.j.timeout: must be a duration such as 90s, 30m, 26h, 7d'],
  [
    'a time zone',
    { job: 'timezone: Europe/Berln' },
    'jobs.j.timezone: must be an IANA time zone such as Europe/Berlin or UTC',
  ],
  [
    'an offset',
    { defaults: 'timezone: "+01:00"' },
    'defaults.timezone: must be an IANA time zone such as Europe/Berlin or UTC',
  ],
  [
    'a negative count',
    { job: 'retention: {keep_last: -1}' },
    'jobs.j.retention.keep_last: must be at least 0',
  ],
  [
    'a retention rule',
    { job: 'retention: {keep_dialy: 1}' },
    'jobs.j.retention.keep_dialy: is no key that is known here (did you mean keep_daily?)',
  ],
  [
    'a key a level too high',
    { job: 'compression: zstd' },
    'jobs.j.compression: is no key that is known here (it belongs to options, a level below)',
  ],
  [
    'a key a level too low',
    { job: 'options: {hooks: {}}' },
    'jobs.j.options.hooks: is no key that is known here (it belongs a level above, beside options)',
  ],
  [
    'zstd 23',
    { job: 'options: {compression_level: 23}' },
    'jobs.j.options.compression_level: must lie between 1 and 22 for zstd',
  ],
  [
    'gzip 0',
    { job: 'options: {compression: gzip, compression_level: 0}' },
    'jobs.j.options.compression_level: must lie between 1 and 9 for gzip',
  ],
  [
    'deflate 10',
    { job: 'options: {compression: deflate, compression_level: 10}' },
    'jobs.j.options.compression_level: must lie between 1 and 9 for deflate',
  ],
  [
    'brotli 12',
    { job: 'options: {compression: brotli, compression_level: 12}' },
    'jobs.j.options.compression_level: must lie between 0 and 11 for brotli',
  ],
  [
    'a level of lz4',
    { job: 'options: {compression: lz4, compression_level: 1}' },
    'jobs.j.options.compression_level: lz4 has no levels (remove the key)',
  ],
  ['no workers', { job: 'options: {parallel_jobs: 0}' }, 'jobs.j.options.parallel_jobs: must be at least 1'],
  [
    'an empty glob',
    { job: 'options: {exclude_tables: [""]}' },
    'jobs.j.options.exclude_tables[0]: must not be empty',
  ],
  [
    'a size',
    { job: 'options: {bandwidth_limit: fast}' },
    'jobs.j.options.bandwidth_limit: must be a size such as 500KB, 10MB, 1GiB',
  ],
  [
    'encryption without key',
    { job: 'encryption: {}' },
    'jobs.j.encryption: needs a passphrase, a key or recipients to encrypt for',
  ],
  [
    'a null encryption, which must not mean none',
    { job: 'encryption: ' },
    'jobs.j.encryption: has no value (remove the key or give it one)',
  ],
  [
    'a short key',
    { job: 'encryption: {key: abcd}' },
    'jobs.j.encryption.key: is no key: 32 bytes, or these as hex or base64',
  ],
  [
    'a hook',
    { job: 'hooks: {before: [{run: x}]}' },
    'jobs.j.hooks.before[0]: must be a command as text, or a list of program and arguments',
  ],
  [
    'an unknown hook',
    { job: 'hooks: {on_failure: x}' },
    'jobs.j.hooks.on_failure: is no key that is known here',
  ],
  [
    'a share over 100',
    { job: 'gate: {min_size_percent: 101}' },
    'jobs.j.gate.min_size_percent: must be at most 100',
  ],
  ['one run alike', { job: 'gate: {accept_after: 1}' }, 'jobs.j.gate.accept_after: must be at least 2'],
  [
    'a former name',
    { job: 'formerly: old' },
    'jobs.j.formerly[0].was: must be job/datasource, or namespace/job/datasource, as it was called',
  ],
]);
