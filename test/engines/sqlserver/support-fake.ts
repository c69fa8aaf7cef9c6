import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import type { Warning } from '../../../src/engines/types.ts';
import { sqlserverSource } from './support.ts';
import { type Answer, type Cell, startTds, type TdsListener } from './support-tds.ts';

export { contentOf, dumpRequest as request } from '../support.ts';

/** By a part of a batch, the first that fits. */
export type Answers = [string | RegExp, Answer | ((batch: string) => Answer)][];

/**
 * What dguard sends, in which order, and what becomes of its files. The answers are the test's: that a real
 * server gives such ones is for `real.test.ts` to show.
 */
export const fake: { listener: TdsListener; folder: string; answers: Answers } = {
  listener: undefined!,
  folder: '',
  answers: [],
};
export const warnings: Warning[] = [];

/** A fake server and a folder for each test of a file. */
export function useFake(): void {
  beforeEach(async () => {
    fake.folder = mkdtempSync(join(tmpdir(), 'dguard-mssql-'));
    warnings.length = 0;
    fake.answers = [];
    fake.listener = await startTds({
      answer(batch) {
        const [, found] =
          fake.answers.find(([key]) => (typeof key === 'string' ? batch.includes(key) : key.test(batch))) ??
          [];
        return typeof found === 'function' ? found(batch) : found;
      },
    });
  });
  afterEach(async () => {
    await fake.listener.stop();
    rmSync(fake.folder, { recursive: true, force: true });
  });
}

export const source = (more: Partial<SqlserverOptions> = {}, signal?: AbortSignal) =>
  sqlserverSource(
    { port: fake.listener.port, server_path: 'D:\\Backup', local_path: fake.folder, ...more },
    warnings,
    signal,
  );

export const SERVER = {
  version: '16.0.4125.3',
  edition: 'Developer',
  engine: 3,
  name: 'MSSQL',
  data: 'E:\\D\\',
  logs: 'F:\\L\\',
  login: 'backup',
};
export const DATABASE = {
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
export const HEADER = {
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
export const FILES = [
  { LogicalName: 'app', PhysicalName: 'C:\\app.mdf', Type: 'D', Size: '1', IsPresent: true },
  { LogicalName: 'app_log', PhysicalName: 'C:\\app.ldf', Type: 'L', Size: '1', IsPresent: true },
];
export const BYTES = Buffer.concat([Buffer.from('MSSQLBAK'), Buffer.alloc(300_000, 7)]);
export const rowsOf = (...rows: Record<string, Cell>[]): Answer => ({ rows });
export const fileOf = (batch: string) => /(dguard-[0-9a-f]{16}\.bak)/.exec(batch)![1]!;

/** A server with one database of one table, that writes its backup where this host sees it. */
export function healthy(): Answers {
  return [
    ['ProductVersion', rowsOf(SERVER)],
    ['d.recovery_model_desc', (batch) => (batch.includes("= N'app'") ? rowsOf(DATABASE) : { rows: [] })],
    ['FROM sys.tables t JOIN', rowsOf({ s: 'dbo', t: 't', n: 3 })],
    [
      'BACKUP DATABASE',
      (batch) => {
        writeFileSync(join(fake.folder, fileOf(batch)), BYTES);
        return {};
      },
    ],
    ['RESTORE HEADERONLY', rowsOf(HEADER)],
    ['RESTORE FILELISTONLY', { rows: FILES }],
  ];
}

export const kinds = (pattern: RegExp) =>
  fake.listener.batches.flatMap((batch) => pattern.exec(batch)?.[0] ?? []);
