// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { describe, expect, it } from 'vitest';
import { problemsOf, yamlWith } from './fixture.ts';

const PG = 'type: postgres, host: h, database: x';
const S3 = 'type: s3, bucket: bkt';
const SFTP = 'type: sftp, host: h, username: u, remote_path: /r';

/** What is wrong in each must be said, and be the only thing said. */

/** What is wrong in each must be said, and be the only thing said. */
const WRONG: readonly [string, Parameters<typeof yamlWith>[0], string][] = [
  // datasources
  [
    'an unknown type',
    { datasource: 'type: postgre' },
    'datasources.d.type: must be one of postgres, mysql, mongodb, sqlserver, sqlite, files (did you mean postgres?)',
  ],
  [
    'a missing type',
    { datasource: 'file_path: x' },
    'datasources.d.type: is required: one of postgres, mysql, mongodb, sqlserver, sqlite, files',
  ],
  [
    'a key of another type',
    { datasource: 'type: sqlite, file_path: x, host: y' },
    'datasources.d.host: is no key that is known here',
  ],
  [
    'a slip in a key',
    { datasource: 'type: sqlite, file_path: x, tgas: y' },
    'datasources.d.tgas: is no key that is known here (did you mean tags?)',
  ],
  [
    'camelCase',
    { datasource: 'type: files, source_path: x, excludePatterns: y' },
    'datasources.d.excludePatterns: is no key that is known here (did you mean exclude_patterns?)',
  ],
  ['a blank path', { destination: 'type: local, path: "  "' }, 'destinations.l.path: must not be blank'],
  [
    'a path with the line break of the file that it came from',
    { datasource: 'type: sqlite, file_path: "/srv/a.db\\n"' },
    'datasources.d.file_path: must not begin or end with a line break (a variable or a file may have brought it)',
  ],
  [
    'a path that no system has',
    { datasource: 'type: postgres, host: h, database: x, password_file: "a\\0b"' },
    'datasources.d.password_file: must not hold a NUL byte',
  ],
  [
    'a host of two lines',
    { datasource: 'type: mysql, database: x, host: "a\\nb"' },
    'datasources.d.host: must be a host name or address alone',
  ],
  ['a missing path', { datasource: 'type: sqlite' }, 'datasources.d.file_path: is required'],
  [
    'no source path',
    { datasource: 'type: files, source_path: []' },
    'datasources.d.source_path: needs at least one entry',
  ],
  [
    'an empty pattern',
    { datasource: 'type: files, source_path: x, exclude_patterns: [a, " "]' },
    'datasources.d.exclude_patterns[1]: must not be empty',
  ],
  [
    'a path as marker',
    { datasource: 'type: files, source_path: x, exclude_if_present: a/b' },
    'datasources.d.exclude_if_present[0]: must be a file name without /',
  ],
  [
    'text for a boolean',
    { datasource: 'type: files, source_path: x, one_file_system: "yes"' },
    'datasources.d.one_file_system: must be true or false',
  ],
  [
    'no place of a server',
    { datasource: 'type: postgres, database: x' },
    'datasources.d.host: is required, or else socket or uri',
  ],
  [
    'two places of a server',
    { datasource: `${PG}, socket: /s` },
    'datasources.d.host: cannot stand beside socket',
  ],
  [
    'no database',
    { datasource: 'type: mysql, host: h' },
    'datasources.d.database: is required: a name, a list of names, or all',
  ],
  [
    'all and more',
    { datasource: 'type: mysql, host: h, database: [all, x]' },
    'datasources.d.database: says all and names besides',
  ],
  [
    'a database twice',
    { datasource: 'type: mysql, host: h, database: [x, x]' },
    'datasources.d.database[1]: "x" stands here twice',
  ],
  ['a port out of range', { datasource: `${PG}, port: 65536` }, 'datasources.d.port: must be at most 65535'],
  ['a port as quoted text', { datasource: `${PG}, port: "5432"` }, 'datasources.d.port: must be a number'],
  ['a broken port', { datasource: `${PG}, port: 54.5` }, 'datasources.d.port: must be a whole number'],
  [
    'a number as text',
    { datasource: `${PG}, username: 12` },
    'datasources.d.username: must be text (put the value in quotes)',
  ],
  [
    'an unknown ssl mode',
    { datasource: `${PG}, ssl: verify_full` },
    'datasources.d.ssl: must be one of disable, prefer, require, verify-ca, verify-full (did you mean verify-full?)',
  ],
  [
    'half a certificate',
    { datasource: `${PG}, ssl_cert: c` },
    'datasources.d.ssl_cert: needs ssl_key beside it',
  ],
  [
    'a secret twice',
    { datasource: `${PG}, password: long-one, password_command: [b]` },
    'datasources.d.password_command: says the same as password; give only one of them',
  ],
  [
    'a command line as text',
    { datasource: `${PG}, password_command: pass show x` },
    'datasources.d.password_command: must be a list',
  ],
  [
    'a uri without scheme',
    { datasource: 'type: mysql, uri: localhost' },
    'datasources.d.uri: must be a connection URI, scheme://…',
  ],
  [
    'no value',
    { datasource: `${PG}, password: ` },
    'datasources.d.password: has no value (remove the key or give it one)',
  ],
  // destinations
  ['a local without path', { destination: 'type: local' }, 'destinations.l.path: is required'],
  [
    'a limit of nothing',
    { destination: 'type: local, path: x, max_size_gb: 0' },
    'destinations.l.max_size_gb: must be more than 0',
  ],
  [
    'a template without id',
    { destination: 'type: local, path: x, path_template: "{job}"' },
    'destinations.l.path_template: must contain {id}, or two backups would share a folder',
  ],
  [
    'an unknown variable',
    { destination: 'type: local, path: x, path_template: "{jobs}/{id}"' },
    'destinations.l.path_template: names the unknown variable {jobs}; did you mean {job}?',
  ],
  [
    'a bucket as address',
    { destination: 'type: s3, bucket: "s3://b"' },
    'destinations.l.bucket: must be the bare name of a bucket, without s3:// and /',
  ],
  [
    'half of a credential',
    { destination: `${S3}, access_key_id: x` },
    'destinations.l.access_key_id: needs secret_access_key beside it',
  ],
  [
    'the other half',
    { destination: `${S3}, secret_access_key: long-one` },
    'destinations.l.access_key_id: is required beside secret_access_key',
  ],
  [
    'a KMS key for nothing',
    { destination: `${S3}, kms_key_id: x` },
    'destinations.l.kms_key_id: needs server_side_encryption: aws:kms',
  ],
  [
    'a prefix that climbs',
    { destination: `${S3}, prefix: a/../b` },
    'destinations.l.prefix: must not hold the parts . or ..',
  ],
  [
    'an endpoint with password',
    { destination: `${S3}, endpoint: "https://u:p@h"` },
    'destinations.l.endpoint: must be an http:// or https:// address without user name and password',
  ],
  [
    'an endpoint of nothing',
    { destination: 'type: minio, bucket: bkt' },
    'destinations.l.endpoint: is required',
  ],
  [
    'a lock without time',
    { destination: `${S3}, object_lock: {mode: governance}` },
    'destinations.l.object_lock.retain_for: is required',
  ],
  [
    'a missing key',
    { destination: 'type: backblaze, bucket_name: bkt, application_key_id: x' },
    'destinations.l.application_key: is required',
  ],
  [
    'a passphrase for nothing',
    { destination: `${SFTP}, passphrase: long-one` },
    'destinations.l.passphrase: is the one of a private_key, which is not given',
  ],
  [
    'a host that is an option',
    { destination: 'type: ssh, host: -oProxyCommand=x, username: u, remote_path: r' },
    'destinations.l.host: must be a host name or address alone',
  ],
  [
    'a user that is an option',
    { destination: 'type: ssh, host: h, username: -x, remote_path: r' },
    'destinations.l.username: must not begin with -',
  ],
  [
    'a remote without colon',
    { destination: 'type: rclone, remote: gdrive' },
    'destinations.l.remote: must name a remote of rclone, as in name:path',
  ],
  [
    'memory, which is for tests',
    { destination: 'type: memory' },
    'destinations.l.type: must be one of local, s3, minio, backblaze, sftp, ssh, rclone',
  ],
  // jobs
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
  // notifications
  [
    'an event',
    { notification: 'type: ping, url: "http://h", events: backup_fail' },
    'notifications.n.events[0]: must be one of backup_success, backup_failed, backup_suspect, verify_failed, restore_completed, restore_failed, cleanup_completed, connection_lost, storage_full, storage_unreachable, health_degraded, stale (did you mean backup_failed?)',
  ],
  ['a webhook to nowhere', { notification: 'type: webhook' }, 'notifications.n.url: is required'],
  [
    'a webhook elsewhere',
    { notification: 'type: webhook, url: "file:///etc/passwd"' },
    'notifications.n.url: must be an http:// or https:// address without user name and password',
  ],
  [
    'half of telegram',
    { notification: 'type: webhook, preset: telegram, token: long-one' },
    'notifications.n.chat_id: is required for the preset telegram',
  ],
  [
    'a token that nobody reads',
    { notification: 'type: webhook, url: "http://h", token: long-one' },
    'notifications.n.token: is for the presets telegram and ntfy only (use headers)',
  ],
  [
    'a header that is two',
    { notification: 'type: webhook, url: "http://h", headers: {A: "x\\r\\nB: y"}' },
    'notifications.n.headers.A: must be one line of text',
  ],
  [
    'an address',
    { notification: 'type: smtp, host: h, from: a, to: c@d' },
    'notifications.n.from: must be an e-mail address',
  ],
  [
    'a password of nobody',
    { notification: 'type: smtp, host: h, from: a@b, to: c@d, password: long-one' },
    'notifications.n.username: is required beside password',
  ],
];

describe('bad values', () => {
  it.each(WRONG)('%s', async (_, parts, expected) => {
    const problems = await problemsOf(yamlWith(parts));
    expect(problems.map((problem) => problem.replace(/^\d+:\d+ /, ''))).toEqual([expected]);
  });

  it.each([
    ['version: 2\n', '1:1 version: must be 1'],
    ['jobs: {}\n', '1:1 version: is required: 1'],
    ['version: 1\njob: {}\n', '2:1 job: is no key that is known here (did you mean jobs?)'],
    ['version: 1\njobs: []\n', '2:1 jobs: must be a mapping of names'],
    ['- 1\n', '1:1 : must be a mapping of sections'],
    ['', '1:1 : is empty; copy backup.example.yaml, which shows every key'],
    ['# later\n', '1:1 : is empty; copy backup.example.yaml, which shows every key'],
    [
      'version: 1\ndestinations: {-x: {type: local, path: p}}\n',
      '2:16 destinations.-x: a name has letters, digits and . _ - only, begins with a letter or digit, and has at most 100',
    ],
    [
      'version: 1\ndestinations: {__proto__: {type: local, path: p}}\n',
      '2:16 : __proto__ is no key that can be used',
    ],
  ])('%j as a whole', async (yaml, expected) => expect(await problemsOf(yaml)).toEqual([expected]));

  it('a datasource that is called as a database of another one of the job', async () => {
    const yaml = (database: string) => `version: 1
datasources:
  pg: { type: postgres, host: h, database: ${database} }
  pg.eu: { type: sqlite, file_path: /f }
destinations: { d: { type: local, path: /b } }
jobs:
  j: { datasources: [pg, pg.eu], destinations: [d] }
`;
    const problems = [
      '7:26 jobs.j.datasources[1]: "pg.eu" may be the name of a database of pg too: their histories would be one (give the datasource another name, without the dot)',
    ];
    expect(await problemsOf(yaml('all'))).toEqual(problems);
    expect(await problemsOf(yaml('[eu, us]'))).toEqual(problems);
    expect(await problemsOf(yaml('one'))).toEqual([]);
  });

  it('reports everything at once, each at its place, in order', async () => {
    const yaml = `version: 1
datasources:
  db:
    type: postgres
    hots: x
    port: 99999
destinations:
  out: { type: local }
jobs:
  prod:
    datasources: [bd]
    destinations:
      - { name: out, retension: {} }
    options:
      compression: gzip
      bogus: 1
      compression_level: 22
    notify: ops
`;
    expect(await problemsOf(yaml)).toEqual([
      '3:3 datasources.db.host: is required, or else socket or uri',
      '3:3 datasources.db.database: is required: a name, a list of names, or all',
      '5:5 datasources.db.hots: is no key that is known here (did you mean host?)',
      '6:5 datasources.db.port: must be at most 65535',
      '8:3 destinations.out.path: is required',
      '11:19 jobs.prod.datasources[0]: names the datasource "bd", which is not defined (did you mean db?)',
      '13:22 jobs.prod.destinations[0].retension: is no key that is known here (did you mean retention?)',
      '16:7 jobs.prod.options.bogus: is no key that is known here',
      '17:7 jobs.prod.options.compression_level: must lie between 1 and 9 for gzip',
      '18:5 jobs.prod.notify[0]: names the notification "ops", which is not defined (no notification is defined)',
    ]);
  });
});
