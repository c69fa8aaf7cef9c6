import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { textLines } from '../../../src/engines/jsonl/lines.ts';
import {
  joinServerPath,
  parseFileList,
  parseHeader,
  placeFiles,
} from '../../../src/engines/sqlserver/dump/backup-file.ts';
import { agreedTables } from '../../../src/engines/sqlserver/dump/dump.ts';
import { memberName } from '../../../src/engines/sqlserver/dump/jsonl-dump.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/options.ts';
import { insertStatement } from '../../../src/engines/sqlserver/restore/jsonl-load.ts';
import {
  besideName,
  isMarkedName,
  type Mark,
  markStatement,
  parseMark,
} from '../../../src/engines/sqlserver/restore/marks.ts';
import { type SwapState, settleSwap } from '../../../src/engines/sqlserver/restore/swap.ts';
import {
  exportExpression,
  importExpression,
  jsonNumber,
  rowLine,
  typeText,
} from '../../../src/engines/sqlserver/server/columns.ts';
import { connectionOf } from '../../../src/engines/sqlserver/server/connection.ts';
import {
  createTableStatement,
  foreignKeyStatements,
  indexStatements,
} from '../../../src/engines/sqlserver/server/definitions.ts';
import { describeServer } from '../../../src/engines/sqlserver/server/server-info.ts';
import { identifier, literal } from '../../../src/engines/sqlserver/server/sql.ts';
import {
  backupStatement,
  renameStatement,
  restoreStatement,
  singleUserStatement,
  verifyStatement,
} from '../../../src/engines/sqlserver/server/statements.ts';
import { sqlserverSource } from './support.ts';

describe('names and texts in SQL', () => {
  it.each([
    ['app', '[app]'],
    ['a]b', '[a]]b]'],
    ["a'b", "[a'b]"],
    ['x]; DROP DATABASE master --', '[x]]; DROP DATABASE master --]'],
  ])('identifier %s', (name, sql) => expect(identifier(name)).toBe(sql));
  it.each([
    ["it's", "N'it''s'"],
    ["'; DROP DATABASE master --", "N'''; DROP DATABASE master --'"],
    ['ä\\', "N'ä\\'"],
  ])('literal %s', (text, sql) => expect(literal(text)).toBe(sql));
});

describe('statements', () => {
  it('back up without touching the chain, with checksums', () => {
    expect(backupStatement("o'b]x", "D:\\B\\it's.bak", true)).toBe(
      "BACKUP DATABASE [o'b]]x] TO DISK = N'D:\\B\\it''s.bak' WITH COPY_ONLY, CHECKSUM, STOP_ON_ERROR, COMPRESSION, FORMAT, INIT, NAME = N'dguard', STATS = 10",
    );
    expect(backupStatement('a', '/b/x.bak', false)).toContain(', NO_COMPRESSION,');
    expect(backupStatement('a', 's3://host:9000/bucket/x.bak', true)).toContain(
      "TO URL = N's3://host:9000/bucket/x.bak' WITH",
    );
  });
  it('verify and restore, never over an existing database', () => {
    expect(verifyStatement('/b/x.bak')).toBe(
      "RESTORE VERIFYONLY FROM DISK = N'/b/x.bak' WITH CHECKSUM, STOP_ON_ERROR",
    );
    const moves = [
      { logicalName: "it's", to: '/d/a_1.mdf' },
      { logicalName: 'log', to: '/l/a_2.ldf' },
    ];
    const sql = restoreStatement('a]', '/b/x.bak', moves);
    expect(sql).toBe(
      "RESTORE DATABASE [a]]] FROM DISK = N'/b/x.bak' WITH FILE = 1, MOVE N'it''s' TO N'/d/a_1.mdf', MOVE N'log' TO N'/l/a_2.ldf', CHECKSUM, STOP_ON_ERROR, RECOVERY, STATS = 10",
    );
    expect(sql).not.toContain('REPLACE');
  });
  it('rename and close', () => {
    expect(renameStatement('a]', 'b')).toBe('ALTER DATABASE [a]]] MODIFY NAME = [b]');
    expect(singleUserStatement('a')).toBe('ALTER DATABASE [a] SET SINGLE_USER WITH ROLLBACK IMMEDIATE');
  });
});

describe('what the server says of a backup file', () => {
  const header = {
    BackupName: 'dguard',
    BackupType: 1,
    DatabaseName: 'app',
    SoftwareVersionMajor: 16,
    SoftwareVersionMinor: 0,
    SoftwareVersionBuild: 4125,
    Collation: 'Latin1_General_CI_AS',
    CompatibilityLevel: 160,
    HasBackupChecksums: true,
    IsDamaged: false,
    IsCopyOnly: true,
    BackupSize: '123456789012',
  };
  it('is read by names', () => {
    expect(parseHeader([header])).toEqual({
      database: 'app',
      serverVersion: '16.0.4125',
      majorVersion: 16,
      collation: 'Latin1_General_CI_AS',
      compatibility: 160,
      hasChecksums: true,
      isDamaged: false,
      isCopyOnly: true,
      sizeBytes: 123_456_789_012,
    });
  });
  it.each([
    ['nothing', [], /holds 0 backups/],
    ['two backups', [header, header], /holds 2 backups/],
    ['a log backup', [{ ...header, BackupType: 2 }], /not a full backup/],
    ['no name', [{ ...header, DatabaseName: null }], /lacks DatabaseName/],
  ])('refuses %s', (_, rows, message) => expect(() => parseHeader(rows)).toThrow(message));

  const file = (LogicalName: string, PhysicalName: string, Type: string, more = {}) => ({
    LogicalName,
    PhysicalName,
    Type,
    Size: '8388608',
    IsPresent: true,
    ...more,
  });
  const rows = [
    file('app', 'C:\\Data\\app.mdf', 'D'),
    file('app_log', 'C:\\Data\\app_log.ldf', 'L'),
    file('more', 'C:\\Data\\more.ndf', 'D'),
    file('mem', 'C:\\Data\\mem', 'S'),
    file('elsewhere', 'C:\\Data\\x.ndf', 'D', { IsPresent: false }),
  ];
  it('says where every file goes: the right folder, a name of its own, on Windows and on Linux', () => {
    const files = parseFileList(rows);
    expect(files).toHaveLength(4);
    expect(placeFiles(files, 'app__dg_new_0a1b2c3d', { data: 'E:\\D\\', log: 'F:\\L' })).toEqual([
      { logicalName: 'app', to: 'E:\\D\\app__dg_new_0a1b2c3d_1.mdf' },
      { logicalName: 'app_log', to: 'F:\\L\\app__dg_new_0a1b2c3d_2.ldf' },
      { logicalName: 'more', to: 'E:\\D\\app__dg_new_0a1b2c3d_3.ndf' },
      { logicalName: 'mem', to: 'E:\\D\\app__dg_new_0a1b2c3d_4' },
    ]);
    const linux = placeFiles(files, 'ä/../b', { data: '/var/opt/mssql/data/', log: '/var/opt/mssql/log' });
    expect(linux[0]!.to).toBe('/var/opt/mssql/data/_b_1.mdf');
    for (const { to } of linux) expect(to).toMatch(/^\/var\/opt\/mssql\/(data|log)\/[A-Za-z0-9_-]+(\.\w+)?$/);
    expect(new Set(linux.map(({ to }) => to)).size).toBe(4);
  });
  it.each([
    ['no data file', [rows[1]!], /no data file/],
    ['an unknown type', [file('x', '/x', 'Q')], /unknown type Q/],
    ['no name', [file('', '/x', 'D')], /lacks LogicalName/],
  ])('refuses %s', (_, list, message) => expect(() => parseFileList(list)).toThrow(message));
  it.each([
    ['D:\\Backup', 'D:\\Backup\\x'],
    ['D:\\', 'D:\\x'],
    ['\\\\nas\\share', '\\\\nas\\share\\x'],
    ['/var/backup', '/var/backup/x'],
    ['s3://h/b/f', 's3://h/b/f/x'],
    ['s3://h/b/', 's3://h/b/x'],
  ])('joins %s', (folder, path) => expect(joinServerPath(folder, 'x')).toBe(path));
});

it('editions: what a server can', () => {
  const of = (engine: number, more = {}) =>
    describeServer({
      version: '15.0.2000.5',
      engine,
      edition: 'x',
      name: 'n',
      data: '',
      logs: null,
      login: 'l',
      ...more,
    });
  expect(of(3)).toMatchObject({ major: 15, compresses: true, isAzure: false });
  expect(of(4)).toMatchObject({ compresses: false });
  expect(of(5)).toMatchObject({ isAzure: true });
  expect(of(3)).not.toHaveProperty('dataPath');
  expect(() => of(3, { version: null })).toThrow(/what version/);
});

it('counts are recorded only where they stood still', () => {
  const at = (...rows: number[]) => rows.map((n, i) => ({ name: `t${i}`, rows: n }));
  expect(agreedTables(at(1, 2), [...at(1, 3), { name: 'new', rows: 1 }])).toEqual([
    { name: 't0', rows: 1 },
    { name: 't1' },
  ]);
});

describe('values', () => {
  it.each([
    ['.5', '0.5'],
    ['-.5000', '-0.5000'],
    ['12345678901234567890.1234567890', '12345678901234567890.1234567890'],
    ['1.7976931348623157e+308', '1.7976931348623157e+308'],
    ['-2.2250738585072014e-308', '-2.2250738585072014e-308'],
    ['0', '0'],
    ['-0.0000000000000000e+000', '-0.0000000000000000e+000'],
    ['007', '7'],
  ])('number %s', (text, json) => {
    expect(jsonNumber(text)).toBe(json);
    expect(Object.is(Number(JSON.parse(json)), Number(text))).toBe(true);
  });
  it('what is no number is refused', () => expect(() => jsonNumber('NaN')).toThrow());
  it('types as definitions say them', () => {
    const raw = (type: string, max_length = 0, precision = 0, scale = 0) =>
      typeText({ type, max_length, precision, scale });
    expect(raw('nvarchar', 80)).toBe('nvarchar(40)');
    expect(raw('nvarchar', -1)).toBe('nvarchar(max)');
    expect(raw('varbinary', 16)).toBe('varbinary(16)');
    expect(raw('decimal', 9, 18, 4)).toBe('decimal(18,4)');
    expect(raw('datetimeoffset', 10, 34, 7)).toBe('datetimeoffset(7)');
    expect(raw('int', 4, 10)).toBe('int');
  });
  it('every type goes out as text, and back by its own conversion', () => {
    const types =
      'tinyint smallint int bigint decimal(18,4) numeric(9,0) money smallmoney float real bit char(3) varchar(max) nchar(2) nvarchar(max) text ntext xml uniqueidentifier hierarchyid date time(7) datetime datetime2(7) smalldatetime datetimeoffset(7) binary(4) varbinary(max) image geometry geography sql_variant';
    for (const type of types.split(' ')) {
      const { sql } = exportExpression({ name: 'a]b', type });
      expect(sql).toContain('[a]]b]');
      expect(importExpression({ type }, 'j.[c0]')).toContain('j.[c0]');
    }
    expect(exportExpression({ name: 'f', type: 'float' }).sql).toBe('CONVERT(varchar(48), [f], 3)');
    expect(exportExpression({ name: 'm', type: 'money' }).sql).toBe('CONVERT(varchar(48), [m], 2)');
    expect(importExpression({ type: 'varbinary(max)' }, 'v')).toBe('CONVERT(varbinary(max), v, 1)');
  });
  it('a row is one line of JSON, whatever is in it', () => {
    const columns = [
      { name: 'a"b', kind: 'string' as const },
      { name: 'n', kind: 'number' as const },
      { name: 'b', kind: 'boolean' as const },
    ];
    const line = rowLine(columns, ['x\n\u2028"\ud800', '1.50', '1']);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(line).toContain('"n":1.50,');
    expect(JSON.parse(line)).toEqual({ 'a"b': 'x\n\u2028"\ud800', n: 1.5, b: true });
    expect(JSON.parse(rowLine(columns, [null, null, null]))).toEqual({ 'a"b': null, n: null, b: null });
  });
  it('lines are put together however they are cut; a last one that does not end is refused', async () => {
    const read = async (...chunks: string[]) => {
      const lines: string[] = [];
      const bytes = async function* () {
        for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
      };
      for await (const line of textLines(bytes())) lines.push(line);
      return lines;
    };
    expect(await read('{"a":"\xc3', '\xa4"}\n{', '}\n')).toEqual(['{"a":"ä"}', '{}']);
    expect(await read()).toEqual([]);
    await expect(read('{}\n{')).rejects.toMatchObject({ code: 'corrupt' });
  });
});

describe('tables', () => {
  const columns = [
    { name: 'id', type: 'bigint', nullable: false, identity: { seed: '1', increment: '1' } },
    { name: 'na]me', type: 'nvarchar(40)', nullable: true, collation: 'Latin1_General_CI_AS' },
    { name: 'at', type: 'datetime2(7)', nullable: false, default: { name: 'df', sql: '(sysutcdatetime())' } },
    { name: 'twice', type: 'bigint', nullable: true, computed: '([id]*(2))', persisted: true },
    { name: 'v', type: 'timestamp', nullable: false, generated: true },
  ];
  it('are made again column by column', () => {
    expect(createTableStatement('s', 't', columns)).toBe(
      'CREATE TABLE [s].[t] ([id] bigint IDENTITY(1, 1) NOT NULL, [na]]me] nvarchar(40) COLLATE Latin1_General_CI_AS NULL, [at] datetime2(7) NOT NULL CONSTRAINT [df] DEFAULT (sysutcdatetime()), [twice] AS ([id]*(2)) PERSISTED, [v] timestamp)',
    );
  });
  it('are filled out of one JSON text, but for what the server makes', () => {
    expect(insertStatement({ schema: 's', table: 't', columns })).toBe(
      `SET IDENTITY_INSERT [s].[t] ON; INSERT INTO [s].[t] ([id], [na]]me], [at]) SELECT CONVERT(bigint, j.[c0]), CONVERT(nvarchar(40), j.[c1]), CONVERT(datetime2(7), j.[c2], 126) FROM OPENJSON(@p) WITH ([c0] nvarchar(max) N'$."id"', [c1] nvarchar(max) N'$."na]me"', [c2] nvarchar(max) N'$."at"') AS j; SET IDENTITY_INSERT [s].[t] OFF`,
    );
  });
  it('get their keys and indexes, the clustered one first', () => {
    const row = (name: string, column: string, more = {}) => ({
      name,
      column,
      type: 'NONCLUSTERED',
      is_unique: false,
      is_primary_key: false,
      is_unique_constraint: false,
      filter: null,
      is_descending: false,
      is_included: false,
      ...more,
    });
    expect(
      indexStatements('s', 't', [
        row('ix', 'a', { is_descending: true, filter: '([a] IS NOT NULL)' }),
        row('ix', 'b', { is_included: true }),
        row('pk', 'id', { type: 'CLUSTERED', is_unique: true, is_primary_key: true }),
        row('uq', 'a', { is_unique: true, is_unique_constraint: true }),
      ]),
    ).toEqual([
      'ALTER TABLE [s].[t] ADD CONSTRAINT [pk] PRIMARY KEY CLUSTERED ([id])',
      'CREATE NONCLUSTERED INDEX [ix] ON [s].[t] ([a] DESC) INCLUDE ([b]) WHERE ([a] IS NOT NULL)',
      'ALTER TABLE [s].[t] ADD CONSTRAINT [uq] UNIQUE NONCLUSTERED ([a])',
    ]);
    const key = { name: 'fk', to_schema: 's', to_table: 'p', on_update: 'NO_ACTION', is_not_trusted: true };
    expect(
      foreignKeyStatements('s', 't', [
        { ...key, column: 'a', to_column: 'x', on_delete: 'SET_NULL', is_disabled: true },
        { ...key, column: 'b', to_column: 'y', on_delete: 'SET_NULL', is_disabled: true },
      ]),
    ).toEqual([
      'ALTER TABLE [s].[t] WITH NOCHECK ADD CONSTRAINT [fk] FOREIGN KEY ([a], [b]) REFERENCES [s].[p] ([x], [y]) ON DELETE SET NULL ON UPDATE NO ACTION',
      'ALTER TABLE [s].[t] NOCHECK CONSTRAINT [fk]',
    ]);
  });
  it('have members of names that no file system confuses', () => {
    const taken = new Set<string>();
    expect(
      ['dbo.t', 'DBO.T', 'a/b.c', 'schema', `x.${'ä'.repeat(128)}`].map((name) => memberName(name, taken)),
    ).toEqual([
      'dbo.t.jsonl',
      'DBO.T~2.jsonl',
      'a%2fb.c.jsonl',
      'schema.jsonl',
      expect.stringMatching(/^x\.[%0-9a-f]+~[0-9a-f]{8}\.jsonl$/),
    ]);
  });
});

describe('where a server is', () => {
  const of = (options: Partial<SqlserverOptions>) => connectionOf(sqlserverSource(options).options, 'ms');
  it('host, port, instance', () => {
    expect(of({ host: 'db' })).toMatchObject({ host: 'db', port: 1433, ssl: 'prefer' });
    expect(of({ host: 'db\\SQLEXPRESS' })).toMatchObject({ host: 'db', instance: 'SQLEXPRESS' });
    expect(of({ host: 'db\\SQLEXPRESS' })).not.toHaveProperty('port');
  });
  it('a uri, with what it holds', () => {
    const uri = new Secret(
      'sqlserver://us%40er:p%2Fw@[::1]:1444/my%20db?encrypt=true&trustServerCertificate=true',
    );
    const bare = sqlserverSource({}).options;
    const { host: _h, username: _u, password: _p, ...rest } = bare;
    expect(connectionOf({ ...rest, uri } as SqlserverOptions, 'ms')).toEqual({
      host: '::1',
      port: 1444,
      user: 'us@er',
      password: 'p/w',
      database: 'my db',
      ssl: 'require',
    });
  });
  it.each([
    ['a socket', { socket: '/x' }, /no Unix socket/],
    ['instance and port', { host: 'a\\b', port: 1 }, /named instance and a port/],
    ['a client command', { client_command: ['docker'] }, /no client tool/],
    ['a uri of another kind', { uri: new Secret('postgres://h/d') }, /does not begin with sqlserver/],
    ['an unknown parameter', { uri: new Secret('mssql://h/d?foo=1') }, /foo=1/],
  ])('refuses %s', (_, options, message) => expect(() => of(options)).toThrow(message));
});

describe('marks', () => {
  const mark: Mark = { role: 'undo', target: "o'b]x", backupId: 'full-1', createdAt: '2026-01-01T00:00:00Z' };
  it('are written as a quoted extended property, and read back', () => {
    const sql = markStatement('a]b', mark);
    expect(sql).toContain('[a]]b].sys.sp_addextendedproperty');
    const value = /@value = N'((?:[^']|'')*)'/.exec(sql)![1]!.replaceAll("''", "'");
    expect(parseMark(value)).toEqual(mark);
  });
  it.each(['', 'x', '{}', '{"role":"boss","target":"a"}', '{"role":"new"}', 'null'])('%j is none', (text) =>
    expect(parseMark(text)).toBeUndefined(),
  );
  it('names stay within what the server takes, and apart', () => {
    const long = 'd'.repeat(128);
    const names = [
      besideName('app', 'new'),
      besideName(long, 'undo'),
      besideName(`${long.slice(1)}e`, 'undo'),
    ];
    for (const name of names) {
      expect(name.length).toBeLessThanOrEqual(128);
      expect(isMarkedName(name)).toBe(true);
    }
    expect(names[1]!.slice(0, 110)).not.toBe(names[2]!.slice(0, 110));
    expect(isMarkedName('app')).toBe(false);
  });
});

/** Carries out the statements of `settleSwap` on a model of what they touch: names, marks and who may enter. */
describe('a swap cut off after any of its steps', () => {
  type Model = Map<string, { data: 'old' | 'new'; role?: Mark['role']; single: boolean }>;
  const target = 'app';
  const mark = (role: Mark['role']): Mark => ({ role, target, backupId: 'b', createdAt: 't' });
  const steps: ((model: Model) => void)[] = [
    (m) => (m.get('app__dg_new_00000001')!.role = 'ready'),
    (m) => (m.get('app')!.role = 'swap'),
    (m) => (m.get('app')!.single = true),
    (m) => move(m, 'app', 'app__dg_undo_00000002'),
    (m) => move(m, 'app__dg_new_00000001', 'app'),
    (m) => delete m.get('app')!.role,
    (m) => (m.get('app__dg_undo_00000002')!.single = false),
    (m) => (m.get('app__dg_undo_00000002')!.role = 'undo'),
  ];
  function move(model: Model, from: string, to: string): void {
    expect(model.has(to), 'a rename never meets a name that is taken').toBe(false);
    model.set(to, model.get(from)!);
    model.delete(from);
  }
  function carryOut(model: Model, sql: string): void {
    const name = /(?:DATABASE |FROM |\()\[([^\]]+)\]/.exec(sql)![1]!;
    const renamed = /MODIFY NAME = \[([^\]]+)\]/.exec(sql)?.[1];
    if (renamed) move(model, name, renamed);
    else if (sql.includes('SET MULTI_USER')) model.get(name)!.single = false;
    else if (sql.includes('sp_dropextendedproperty')) delete model.get(name)!.role;
    else model.get(name)!.role = /"role":"(\w+)"/.exec(sql)![1] as Mark['role'];
  }
  function settle(model: Model): string[] {
    const there = model.get(target);
    const state: SwapState = {
      target,
      ...(there ? { there: there.role === undefined ? {} : { role: there.role } } : {}),
      beside: [...model]
        .filter(([name, { role }]) => name !== target && role !== undefined)
        .map(([name, { role }]) => ({ name, mark: mark(role!) })),
    };
    const { sql, done } = settleSwap(state);
    for (const statement of sql) carryOut(model, statement);
    return done;
  }

  it.each(steps.map((_, at) => at))('after step %i: the target is old or new, whole and open', (last) => {
    const model: Model = new Map([
      ['app', { data: 'old', single: false }],
      ['app__dg_new_00000001', { data: 'new', role: 'new', single: false }],
    ]);
    for (const step of steps.slice(0, last + 1)) step(model);
    settle(model);
    const found = model.get('app');
    expect(found).toBeDefined();
    expect(found!.role).toBeUndefined();
    expect(found!.single).toBe(false);
    const others = [...model].filter(([name]) => name !== 'app');
    if (found!.data === 'new')
      expect(others).toEqual([
        [expect.stringContaining('undo'), { data: 'old', role: 'undo', single: false }],
      ]);
    // Reverted: the new one is still marked as dguard's, and goes.
    else
      expect(others).toEqual([
        ['app__dg_new_00000001', expect.objectContaining({ data: 'new', role: 'ready' })],
      ]);
    expect(settle(new Map(model)), 'it is safe to repeat').toEqual([]);
  });
});
