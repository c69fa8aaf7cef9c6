import { describe, expect, it } from 'vitest';
import {
  joinServerPath,
  parseFileList,
  parseHeader,
  placeFiles,
} from '../../../src/engines/sqlserver/dump/backup-file.ts';

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
