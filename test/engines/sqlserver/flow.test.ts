import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openContent } from '../../../src/archive/reader.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import { sqlserverEngine } from '../../../src/engines/sqlserver/engine.ts';
import type {
  BackupContent,
  Dump,
  DumpRequest,
  RestoreRequest,
  Warning,
} from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { writeBackup } from '../../archive/support.ts';
import { sqlserverSource } from './support.ts';
import { type Answer, type Cell, startTds, type TdsListener } from './support-tds.ts';

/**
 * What dguard sends, in which order, and what becomes of its files. The answers are the test's: that a real
 * server gives such ones is for `real.test.ts` to show.
 */
let listener: TdsListener;
let folder: string;
const warnings: Warning[] = [];
/** By a part of a batch, the first that fits. */
let answers: [string | RegExp, Answer | ((batch: string) => Answer)][] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dguard-mssql-'));
  warnings.length = 0;
  answers = [];
  listener = await startTds({
    answer(batch) {
      const [, found] =
        answers.find(([key]) => (typeof key === 'string' ? batch.includes(key) : key.test(batch))) ?? [];
      return typeof found === 'function' ? found(batch) : found;
    },
  });
});
afterEach(async () => {
  await listener.stop();
  rmSync(folder, { recursive: true, force: true });
});

const source = (more: Partial<SqlserverOptions> = {}, signal?: AbortSignal) =>
  sqlserverSource(
    { port: listener.port, server_path: 'D:\\Backup', local_path: folder, ...more },
    warnings,
    signal,
  );
const request = (more: Partial<DumpRequest> = {}): DumpRequest => ({
  format: 'native',
  include: [],
  exclude: [],
  parallelJobs: 1,
  ownPaths: [],
  ...more,
});

const SERVER = {
  version: '16.0.4125.3',
  edition: 'Developer',
  engine: 3,
  name: 'MSSQL',
  data: 'E:\\D\\',
  logs: 'F:\\L\\',
  login: 'backup',
};
const DATABASE = {
  name: 'app',
  state: 'ONLINE',
  owner: 'sa',
  collation: 'Latin1_General_CI_AS',
  compatibility: 160,
  recovery: 'FULL',
  snap: 1,
  is_read_only: false,
  is_trustworthy_on: false,
  is_broker_enabled: false,
  is_published: false,
  is_subscribed: false,
  is_merge_published: false,
  is_distributor: false,
  is_cdc_enabled: false,
  is_encrypted: false,
  in_group: 0,
  mirrored: 0,
  guid: '0-0',
};
const HEADER = {
  BackupType: 1,
  DatabaseName: 'app',
  SoftwareVersionMajor: 16,
  SoftwareVersionMinor: 0,
  SoftwareVersionBuild: 4125,
  Collation: 'x',
  CompatibilityLevel: 160,
  HasBackupChecksums: true,
  IsDamaged: false,
  IsCopyOnly: true,
  BackupSize: '5000',
};
const FILES = [
  { LogicalName: 'app', PhysicalName: 'C:\\app.mdf', Type: 'D', Size: '1', IsPresent: true },
  { LogicalName: 'app_log', PhysicalName: 'C:\\app.ldf', Type: 'L', Size: '1', IsPresent: true },
];
const BYTES = Buffer.concat([Buffer.from('MSSQLBAK'), Buffer.alloc(300_000, 7)]);
const rowsOf = (...rows: Record<string, Cell>[]): Answer => ({ rows });
const fileOf = (batch: string) => /(dguard-[0-9a-f]{16}\.bak)/.exec(batch)![1]!;

/** A server with one database of one table, that writes its backup where this host sees it. */
function healthy(): typeof answers {
  return [
    ['ProductVersion', rowsOf(SERVER)],
    ['d.recovery_model_desc', (batch) => (batch.includes("= N'app'") ? rowsOf(DATABASE) : { rows: [] })],
    ['FROM sys.tables t JOIN', rowsOf({ s: 'dbo', t: 't', n: 3 })],
    [
      'BACKUP DATABASE',
      (batch) => {
        writeFileSync(join(folder, fileOf(batch)), BYTES);
        return {};
      },
    ],
    ['RESTORE HEADERONLY', rowsOf(HEADER)],
    ['RESTORE FILELISTONLY', { rows: FILES }],
  ];
}

async function contentOf(dump: Dump): Promise<BackupContent> {
  const backup = await writeBackup(dump.members(), { level: 1 });
  const facts = JSON.parse(JSON.stringify(await dump.facts()));
  return { ...(await openContent(backup, async () => undefined)), facts, whole: dump.patterns === undefined };
}
const kinds = (pattern: RegExp) => listener.batches.flatMap((batch) => pattern.exec(batch)?.[0] ?? []);

describe('a native backup', () => {
  it('is written by the server, verified by it, read from the folder, and removed there', async () => {
    answers = healthy();
    const dump = await sqlserverEngine.dump(source(), request());
    expect(kinds(/^(BACKUP DATABASE|RESTORE \w+)/)).toEqual([
      'BACKUP DATABASE',
      'RESTORE VERIFYONLY',
      'RESTORE HEADERONLY',
    ]);
    const backup = listener.batches.find((batch) => batch.startsWith('BACKUP'))!;
    expect(backup).toMatch(
      /^BACKUP DATABASE \[app\] TO DISK = N'D:\\Backup\\dguard-[0-9a-f]{16}\.bak' WITH COPY_ONLY, CHECKSUM,/,
    );
    expect(readdirSync(folder)).toHaveLength(1);
    const content = await contentOf(dump);
    await dump.close();
    expect(readdirSync(folder)).toEqual([]);
    expect(dump.identity).toBe('sqlserver-MSSQL/app');
    expect(content.facts).toMatchObject({ consistency: 'snapshot', tables_count: 1, rows: 3 });
    const entry = await content.entry('database.bak');
    const chunks: Uint8Array[] = [];
    for await (const chunk of content.read(entry!)) chunks.push(Buffer.from(chunk));
    expect(Buffer.concat(chunks).equals(BYTES)).toBe(true);
    const inspect = { env: {}, tempDir: folder, signal: new AbortController().signal, onProgress: () => {} };
    expect(await sqlserverEngine.inspect(content, inspect)).toEqual([]);
  });

  const failing = (number: number, message: string): Answer => ({ errors: [{ number, message }] });
  const cases: [string, () => void, RegExp][] = [
    [
      'the server cannot write',
      () => answers.unshift(['BACKUP DATABASE', failing(3201, 'Cannot open backup device')]),
      /Msg 3201/,
    ],
    [
      'the disk there is full',
      () => answers.unshift(['BACKUP DATABASE', failing(3202, 'Write on … failed: 112')]),
      /Msg 3202/,
    ],
    ['the two folders are not one', () => answers.unshift(['BACKUP DATABASE', {}]), /not the same folder/],
    [
      'what was written does not read back',
      () => answers.unshift(['RESTORE VERIFYONLY', failing(3189, 'Damage to the backup set was detected.')]),
      /Msg 3189/,
    ],
    [
      'it has no checksums',
      () => answers.unshift(['RESTORE HEADERONLY', rowsOf({ ...HEADER, HasBackupChecksums: false })]),
      /without checksums/,
    ],
    [
      'there is no such database',
      () => answers.unshift(['d.recovery_model_desc', { rows: [] }]),
      /no database app/,
    ],
    [
      'it is offline',
      () => answers.unshift(['d.recovery_model_desc', rowsOf({ ...DATABASE, state: 'OFFLINE' })]),
      /OFFLINE/,
    ],
    ['it is Azure', () => answers.unshift(['ProductVersion', rowsOf({ ...SERVER, engine: 5 })]), /Azure/],
  ];
  it.each(cases)('fails where %s, and leaves nothing in the folder', async (_, prepare, message) => {
    answers = healthy();
    prepare();
    await expect(sqlserverEngine.dump(source(), request())).rejects.toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('needs the folder, and cannot pick tables', async () => {
    answers = healthy();
    const { server_path: _s, local_path: _l, ...options } = source().options;
    await expect(
      sqlserverEngine.dump({ ...source(), options: options as SqlserverOptions }, request()),
    ).rejects.toMatchObject({ code: 'config_invalid', hint: expect.stringMatching(/format: jsonl/) });
    await expect(sqlserverEngine.dump(source(), request({ include: ['t'] }))).rejects.toThrow(
      /cannot be picked/,
    );
  });

  it('aborted while the server writes: ends at once, and its file goes', async () => {
    answers = healthy();
    const abort = new AbortController();
    answers.unshift([
      'BACKUP DATABASE',
      (batch) => {
        writeFileSync(join(folder, fileOf(batch)), BYTES.subarray(0, 100));
        setTimeout(() => abort.abort(new DguardError('interrupted', 'interrupted')), 50);
        return { silent: true };
      },
    ]);
    await expect(sqlserverEngine.dump(source({}, abort.signal), request())).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a restore', () => {
  async function backedUp(): Promise<BackupContent> {
    answers = healthy();
    const dump = await sqlserverEngine.dump(source(), request());
    const content = await contentOf(dump);
    await dump.close();
    return content;
  }
  const restoreRequest = (
    more: Partial<RestoreRequest<SqlserverOptions>> = {},
  ): RestoreRequest<SqlserverOptions> => ({
    ...source(),
    source: source(),
    only: [],
    overwrite: true,
    deleteExtra: false,
    scratch: false,
    dryRun: false,
    privileged: false,
    backupId: 'full-2026-01-02T03-04-05Z-abcdefgh',
    onProgress: () => {},
    ...more,
  });
  /** The server of a restore: it has `app`, and whatever is restored. */
  function restoring(): typeof answers {
    const names = new Set(['app']);
    return [
      [
        /^RESTORE DATABASE \[([^\]]+)\]/,
        (batch) => {
          expect(
            readFileSync(join(folder, fileOf(batch))).equals(BYTES),
            'the file is whole, and the same',
          ).toBe(true);
          names.add(/^RESTORE DATABASE \[([^\]]+)\]/.exec(batch)![1]!);
          return {};
        },
      ],
      [
        'd.recovery_model_desc',
        (batch) => {
          const name = /WHERE d\.name = N'([^']+)'/.exec(batch)![1]!;
          return names.has(name) ? rowsOf({ ...DATABASE, name }) : { rows: [] };
        },
      ],
      ["HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')", rowsOf({ may: 1 })],
      ['dm_exec_sessions s WHERE', { rows: [] }],
      ['sp_getapplock', rowsOf({ result: 0 })],
      [/SUM\(CONVERT\(bigint, size\)\)/, rowsOf({ bytes: '16777216' })],
      ...healthy(),
    ];
  }
  const steps = () =>
    listener.batches
      .flatMap((batch) => batch.split('; '))
      .flatMap((sql) => {
        const short = sql.replaceAll(/[0-9a-f]{8}\b/g, '#').replaceAll(/[0-9a-f]{16}/g, '##');
        if (/^RESTORE (VERIFYONLY|DATABASE)/.test(sql)) return [short.slice(0, short.indexOf(' FROM'))];
        if (/^(ALTER DATABASE|ALTER AUTHORIZATION|DROP DATABASE|DBCC)/.test(sql)) return [short];
        const role = /"role":"(\w+)"/.exec(sql.replaceAll("''", "'"))?.[1];
        if (role) return [`mark ${/\[([^\]]+)\]\.sys/.exec(short)![1]} ${role}`];
        return /sp_dropextendedproperty/.test(sql) ? [`unmark ${/\[([^\]]+)\]\.sys/.exec(short)![1]}`] : [];
      });

  it('loads beside, checks, and swaps by names; every step is marked before it is done', async () => {
    const content = await backedUp();
    answers = restoring();
    const sent = listener.batches.length;
    const outcome = await sqlserverEngine.restore(content, restoreRequest());
    expect(outcome).toMatchObject({
      target: 'app',
      undo: expect.stringMatching(/^app__dg_undo_/),
      sizeBytes: 16_777_216,
    });
    expect(readdirSync(folder)).toEqual([]);
    expect(steps().slice(steps().indexOf('RESTORE VERIFYONLY', sent > 0 ? 1 : 0))).toEqual([
      'RESTORE VERIFYONLY',
      'RESTORE DATABASE [app__dg_new_#]',
      'mark app__dg_new_# new',
      "DBCC CHECKDB (N'app__dg_new_#') WITH NO_INFOMSGS, PHYSICAL_ONLY",
      'ALTER AUTHORIZATION ON DATABASE::[app__dg_new_#] TO [sa]',
      'mark app__dg_new_# ready',
      'mark app swap',
      'ALTER DATABASE [app] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'ALTER DATABASE [app] MODIFY NAME = [app__dg_undo_#]',
      'ALTER DATABASE [app__dg_new_#] MODIFY NAME = [app]',
      'unmark app',
      'ALTER DATABASE [app__dg_undo_#] SET MULTI_USER',
      'mark app__dg_undo_# undo',
    ]);
    const restore = listener.batches.find((batch) => batch.startsWith('RESTORE DATABASE'))!;
    expect(restore).toMatch(
      /MOVE N'app' TO N'E:\\D\\app__dg_new_[0-9a-f]{8}_1\.mdf', MOVE N'app_log' TO N'F:\\L\\app__dg_new_[0-9a-f]{8}_2\.ldf'/,
    );
    expect(restore).not.toMatch(/REPLACE/);
  });

  it('of a test is dropped afterwards, and never named as the target', async () => {
    const content = await backedUp();
    answers = restoring();
    await sqlserverEngine.restore(content, restoreRequest({ scratch: true }));
    expect(steps().slice(-2)).toEqual([
      'ALTER DATABASE [app__dg_scratch_#] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'DROP DATABASE [app__dg_scratch_#]',
    ]);
    expect(steps().join()).not.toContain('MODIFY NAME');
  });

  const failing = (number: number, message: string): Answer => ({ errors: [{ number, message }] });
  it.each([
    ['the file is damaged', ['RESTORE VERIFYONLY', failing(3189, 'Damage')], /Msg 3189/],
    [
      'the restore fails',
      [/^RESTORE DATABASE/, failing(3154, 'The backup set holds a backup of another database')],
      /Msg 3154/,
    ],
    ['the check finds a broken page', ['DBCC CHECKDB', failing(8939, 'Table error')], /Msg 8939/],
    [
      'somebody is at work',
      ['dm_exec_sessions s WHERE', rowsOf({ id: 55, login: 'app', program: 'web', host: 'h' })],
      /session 55 \(app, web, h\)/,
    ],
    ['nobody may tell who is', ["'VIEW SERVER STATE'", rowsOf({ may: 0 })], /may not see who else/],
    ['another restore is going on', ['sp_getapplock', rowsOf({ result: -1 })], /another restore/],
    [
      'it is in an availability group',
      ["= N'app'", rowsOf({ ...DATABASE, in_group: 1 })],
      /availability group/,
    ],
    [
      'the server is older',
      ['ProductVersion', rowsOf({ ...SERVER, version: '15.0.1.1' })],
      /no backup goes into an older server/,
    ],
    ['the tables are not there', ['FROM sys.tables t JOIN', { rows: [] }], /tables are missing: dbo.t/],
  ] as [string, (typeof answers)[number], RegExp][])(
    'fails where %s: the target keeps its name and its users',
    async (_, answer, message) => {
      const content = await backedUp();
      answers = [answer, ...restoring()];
      const before = steps().length;
      await expect(sqlserverEngine.restore(content, restoreRequest())).rejects.toThrow(message);
      expect(readdirSync(folder)).toEqual([]);
      expect(
        steps()
          .slice(before)
          .filter((step) => step.includes('[app]')),
      ).toEqual([]);
    },
  );

  it('whose last rename fails puts the old one back', async () => {
    const content = await backedUp();
    answers = [
      [/\[app__dg_new_\w+\] MODIFY NAME/, failing(1801, "Database 'app' already exists.")],
      ...restoring(),
    ];
    await expect(sqlserverEngine.restore(content, restoreRequest())).rejects.toThrow(/1801/);
    expect(steps().slice(-6)).toEqual([
      'ALTER DATABASE [app__dg_new_#] MODIFY NAME = [app]',
      'ALTER DATABASE [app__dg_undo_#] MODIFY NAME = [app]',
      'ALTER DATABASE [app] SET MULTI_USER',
      'unmark app',
      'ALTER DATABASE [app__dg_new_#] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'DROP DATABASE [app__dg_new_#]',
    ]);
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
  function exporting(): typeof answers {
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
    answers = exporting();
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
    const begun = listener.batches.findIndex((batch) =>
      batch.includes('ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION'),
    );
    expect(begun).toBeGreaterThan(0);
    expect(
      listener.batches.findIndex((batch) => batch.startsWith('SELECT CONVERT(varchar(48)')),
    ).toBeGreaterThan(begun);
    const inspect = { env: {}, tempDir: folder, signal: new AbortController().signal, onProgress: () => {} };
    expect(await sqlserverEngine.inspect(content, inspect)).toEqual([]);
  });

  it('is refused where there is no snapshot, with the statement that allows one', async () => {
    answers = [['d.recovery_model_desc', rowsOf({ ...DATABASE, snap: 0 })], ...exporting()];
    await expect(sqlserverEngine.dump(source(), request({ format: 'jsonl' }))).rejects.toMatchObject({
      hint: expect.stringContaining('ALTER DATABASE [app] SET ALLOW_SNAPSHOT_ISOLATION ON'),
    });
  });

  it('that the server cuts short is a failure', async () => {
    answers = [['COUNT_BIG(*)', rowsOf({ n: '4' })], ...exporting()];
    const dump = await sqlserverEngine.dump(source(), request({ format: 'jsonl' }));
    await expect(contentOf(dump)).rejects.toThrow(/3 rows came of 4/);
    await dump.close();
  });
});

describe('doctor', () => {
  it('calls it experimental, and prints what a login lacks', async () => {
    answers = [
      ['DATEDIFF_BIG', rowsOf({ ms: String(Date.now() + 7_200_000) })],
      ['HAS_PERMS_BY_NAME', rowsOf({ may: 0 })],
      ['d.recovery_model_desc', rowsOf({ ...DATABASE, snap: 0 })],
      ['SELECT name FROM sys.databases', { rows: [] }],
      ...healthy(),
    ];
    const left = join(folder, 'dguard-0123456789abcdef.bak');
    writeFileSync(left, '');
    utimesSync(left, new Date(0), new Date(0));
    writeFileSync(join(folder, 'somebody-else.bak'), '');
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
    expect(readdirSync(folder).sort()).toEqual([basename(left), 'somebody-else.bak'].sort());
  });
});
