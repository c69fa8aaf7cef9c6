import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { agreedTables } from '../../../src/engines/sqlserver/dump/dump.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import { sqlserverEngine } from '../../../src/engines/sqlserver/engine.ts';
import { DguardError } from '../../../src/errors.ts';
import { inspectIn } from '../support.ts';
import {
  type Answers,
  BYTES,
  contentOf,
  DATABASE,
  fake,
  fileOf,
  HEADER,
  healthy,
  kinds,
  request,
  rowsOf,
  SERVER,
  source,
  useFake,
} from './support-fake.ts';
import type { Answer } from './support-tds.ts';

useFake();

describe('a native backup', () => {
  it('is written by the server, verified by it, read from the folder, and removed there', async () => {
    fake.answers = healthy();
    const dump = await sqlserverEngine.dump(source(), request());
    expect(kinds(/^(BACKUP DATABASE|RESTORE \w+)/)).toEqual([
      'BACKUP DATABASE',
      'RESTORE VERIFYONLY',
      'RESTORE HEADERONLY',
    ]);
    const backup = fake.listener.batches.find((batch) => batch.startsWith('BACKUP'))!;
    expect(backup).toMatch(
      /^BACKUP DATABASE \[app\] TO DISK = N'D:\\Backup\\dguard-[0-9a-f]{16}\.bak' WITH COPY_ONLY, CHECKSUM,/,
    );
    expect(readdirSync(fake.folder)).toHaveLength(1);
    const content = await contentOf(dump);
    await dump.close();
    expect(readdirSync(fake.folder)).toEqual([]);
    expect(dump.identity).toBe('sqlserver-MSSQL/app');
    expect(content.facts).toMatchObject({ consistency: 'snapshot', tables_count: 1, rows: 3 });
    const entry = await content.entry('database.bak');
    const chunks: Uint8Array[] = [];
    for await (const chunk of content.read(entry!)) chunks.push(Buffer.from(chunk));
    expect(Buffer.concat(chunks).equals(BYTES)).toBe(true);
    const inspect = inspectIn(fake.folder);
    expect(await sqlserverEngine.inspect(content, inspect)).toEqual([]);
  });

  const failing = (number: number, message: string): Answer => ({ errors: [{ number, message }] });
  const cases: [string, () => void, RegExp][] = [
    [
      'the server cannot write',
      () => fake.answers.unshift(['BACKUP DATABASE', failing(3201, 'Cannot open backup device')]),
      /Msg 3201/,
    ],
    [
      'the disk there is full',
      () => fake.answers.unshift(['BACKUP DATABASE', failing(3202, 'Write on … failed: 112')]),
      /Msg 3202/,
    ],
    [
      'the two folders are not one',
      () => fake.answers.unshift(['BACKUP DATABASE', {}]),
      /not the same folder/,
    ],
    [
      'what was written does not read back',
      () =>
        fake.answers.unshift(['RESTORE VERIFYONLY', failing(3189, 'Damage to the backup set was detected.')]),
      /Msg 3189/,
    ],
    [
      'it has no checksums',
      () => fake.answers.unshift(['RESTORE HEADERONLY', rowsOf({ ...HEADER, HasBackupChecksums: false })]),
      /without checksums/,
    ],
    [
      'there is no such database',
      () => fake.answers.unshift(['d.recovery_model_desc', { rows: [] }]),
      /no database app/,
    ],
    [
      'it is offline',
      () => fake.answers.unshift(['d.recovery_model_desc', rowsOf({ ...DATABASE, state: 'OFFLINE' })]),
      /OFFLINE/,
    ],
    [
      'it is Azure',
      () => fake.answers.unshift(['ProductVersion', rowsOf({ ...SERVER, engine: 5 })]),
      /Azure/,
    ],
  ];
  it.each(cases)('fails where %s, and leaves nothing in the folder', async (_, prepare, message) => {
    fake.answers = healthy();
    prepare();
    await expect(sqlserverEngine.dump(source(), request())).rejects.toThrow(message);
    expect(readdirSync(fake.folder)).toEqual([]);
  });

  it('needs the folder, and cannot pick tables', async () => {
    fake.answers = healthy();
    const { server_path: _s, local_path: _l, ...options } = source().options;
    await expect(
      sqlserverEngine.dump({ ...source(), options: options as SqlserverOptions }, request()),
    ).rejects.toMatchObject({ code: 'config_invalid', hint: expect.stringMatching(/format: jsonl/) });
    await expect(sqlserverEngine.dump(source(), request({ include: ['t'] }))).rejects.toThrow(
      /cannot be picked/,
    );
  });

  it('aborted while the server writes: ends at once, and its file goes', async () => {
    fake.answers = healthy();
    const abort = new AbortController();
    fake.answers.unshift([
      'BACKUP DATABASE',
      (batch) => {
        writeFileSync(join(fake.folder, fileOf(batch)), BYTES.subarray(0, 100));
        setTimeout(() => abort.abort(new DguardError('interrupted', 'interrupted')), 50);
        return { silent: true };
      },
    ]);
    await expect(sqlserverEngine.dump(source({}, abort.signal), request())).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(readdirSync(fake.folder)).toEqual([]);
  });
});

describe('an export of rows', () => {
  const column = (name: string, type: string, more = {}) => ({
    name,
    type,
    max_length: 8,
    precision: 19,
    scale: 0,
    is_nullable: true,
    collation_name: null,
    seed: null,
    step: null,
    computed: null,
    is_persisted: null,
    default_name: null,
    default_sql: null,
    ...more,
  });
  function exporting(): Answers {
    return [
      ['COUNT_BIG(*)', rowsOf({ n: '3' })],
      [
        'FROM sys.columns c\n      JOIN sys.types',
        rowsOf(column('id', 'bigint'), column('t', 'nvarchar', { max_length: 80 }), column('on', 'bit')),
      ],
      [
        /^SELECT CONVERT\(varchar\(48\), \[id\]\)/,
        {
          rows: [
            { a: '1', b: 'x"\n', c: '1' },
            { a: '9007199254740993', b: null, c: '0' },
            { a: null, b: 'ä\u2028', c: null },
          ],
        },
      ],
      ...healthy(),
    ];
  }

  it('is one transaction, one line a row, every digit kept', async () => {
    fake.answers = exporting();
    const dump = await sqlserverEngine.dump(source(), request({ format: 'jsonl' }));
    const content = await contentOf(dump);
    await dump.close();
    const text = async (path: string) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of content.read((await content.entry(path))!)) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString('utf8');
    };
    expect(await text('dbo.t.jsonl')).toBe(
      '{"id":1,"t":"x\\"\\n","on":true}\n{"id":9007199254740993,"t":null,"on":false}\n{"id":null,"t":"ä\u2028","on":null}\n',
    );
    const document = JSON.parse(await text('schema.json'));
    expect(document).toMatchObject({
      format: 'dguard-sqlserver-jsonl',
      version: 1,
      tables: [
        {
          schema: 'dbo',
          table: 't',
          member: 'dbo.t.jsonl',
          rows: 3,
          sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        },
      ],
    });
    expect(document.tables[0].columns.map(({ type }: { type: string }) => type)).toEqual([
      'bigint',
      'nvarchar(40)',
      'bit',
    ]);
    expect(content.facts).toMatchObject({ consistency: 'snapshot', rows: 3 });
    const begun = fake.listener.batches.findIndex((batch) =>
      batch.includes('ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION'),
    );
    expect(begun).toBeGreaterThan(0);
    expect(
      fake.listener.batches.findIndex((batch) => batch.startsWith('SELECT CONVERT(varchar(48)')),
    ).toBeGreaterThan(begun);
    const inspect = inspectIn(fake.folder);
    expect(await sqlserverEngine.inspect(content, inspect)).toEqual([]);
  });

  it('is refused where there is no snapshot, with the statement that allows one', async () => {
    fake.answers = [['d.recovery_model_desc', rowsOf({ ...DATABASE, snap: 0 })], ...exporting()];
    await expect(sqlserverEngine.dump(source(), request({ format: 'jsonl' }))).rejects.toMatchObject({
      hint: expect.stringContaining('ALTER DATABASE [app] SET ALLOW_SNAPSHOT_ISOLATION ON'),
    });
  });

  it('that the server cuts short is a failure', async () => {
    fake.answers = [['COUNT_BIG(*)', rowsOf({ n: '4' })], ...exporting()];
    const dump = await sqlserverEngine.dump(source(), request({ format: 'jsonl' }));
    await expect(contentOf(dump)).rejects.toThrow(/3 rows came of 4/);
    await dump.close();
  });
});

describe('doctor', () => {
  it('calls it experimental, and prints what a login lacks', async () => {
    fake.answers = [
      ['DATEDIFF_BIG', rowsOf({ ms: String(Date.now() + 7_200_000) })],
      ['HAS_PERMS_BY_NAME', rowsOf({ may: 0 })],
      ['d.recovery_model_desc', rowsOf({ ...DATABASE, snap: 0 })],
      ['SELECT name FROM sys.databases', { rows: [] }],
      ...healthy(),
    ];
    const left = join(fake.folder, 'dguard-0123456789abcdef.bak');
    writeFileSync(left, '');
    utimesSync(left, new Date(0), new Date(0));
    writeFileSync(join(fake.folder, 'somebody-else.bak'), '');
    const findings = await sqlserverEngine.diagnose!(source(), { job: 'prod' });
    expect(findings[0]).toMatchObject({ severity: 'notice', message: expect.stringMatching(/experimental/) });
    expect(findings.flatMap(({ fix }) => fix?.lines ?? [])).toEqual([
      'timedatectl set-ntp true',
      'ALTER SERVER ROLE dbcreator ADD MEMBER [backup]',
      'GRANT VIEW SERVER STATE TO [backup]',
      `rm -- '${left}'`,
      'ALTER ROLE db_backupoperator ADD MEMBER [backup]',
      'ALTER ROLE db_datareader ADD MEMBER [backup]',
      'GRANT VIEW DEFINITION TO [backup]',
      'ALTER DATABASE [app] SET ALLOW_SNAPSHOT_ISOLATION ON',
    ]);
    expect(readdirSync(fake.folder).sort()).toEqual([basename(left), 'somebody-else.bak'].sort());
  });
});

it('counts are recorded only where they stood still', () => {
  const at = (...rows: number[]) => rows.map((n, i) => ({ name: `t${i}`, rows: n }));
  expect(agreedTables(at(1, 2), [...at(1, 3), { name: 'new', rows: 1 }])).toEqual([
    { name: 't0', rows: 1 },
    { name: 't1' },
  ]);
});
