import { describe, expect, it } from 'vitest';
import { memberName } from '../../../src/engines/sqlserver/dump/jsonl-dump.ts';
import { insertStatement } from '../../../src/engines/sqlserver/restore/jsonl-load.ts';
import {
  createTableStatement,
  foreignKeyStatements,
  indexStatements,
} from '../../../src/engines/sqlserver/server/definitions.ts';
import { identifier, literal } from '../../../src/engines/sqlserver/server/sql.ts';
import {
  backupStatement,
  renameStatement,
  restoreStatement,
  singleUserStatement,
  verifyStatement,
} from '../../../src/engines/sqlserver/server/statements.ts';

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
