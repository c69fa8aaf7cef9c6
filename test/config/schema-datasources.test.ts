import { badValues } from './fixture.ts';

const PG = 'type: postgres, host: h, database: x';

badValues([
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
]);
