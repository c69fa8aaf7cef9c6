import { DguardError } from '../../../errors.ts';
import type { Row } from '../server/session.ts';
import type { Move } from '../server/statements.ts';

/** What a backup file says of itself: one row of RESTORE HEADERONLY. */
export interface Header {
  readonly database: string;
  readonly serverVersion: string;
  readonly majorVersion: number;
  readonly collation: string;
  readonly compatibility: number;
  readonly hasChecksums: boolean;
  readonly isDamaged: boolean;
  readonly isCopyOnly: boolean;
  readonly sizeBytes: number;
}

/** One file of a database: a row of RESTORE FILELISTONLY. */
export interface BackupFile {
  readonly logicalName: string;
  readonly physicalName: string;
  /** Rows, log, FILESTREAM or memory-optimised, full-text. */
  readonly type: 'D' | 'L' | 'S' | 'F';
  readonly sizeBytes: number;
}

/** BackupType of a full database backup. */
const FULL = 1;

/**
 * The header of the one backup in a file. Columns are found by their names, as versions add more of them.
 * Errors: `corrupt` for a file that holds none, several, or something else than a whole database.
 * https://learn.microsoft.com/sql/t-sql/statements/restore-statements-headeronly-transact-sql
 */
export function parseHeader(rows: readonly Row[]): Header {
  const [row] = rows;
  if (row === undefined || rows.length !== 1) throw broken(`it holds ${rows.length} backups instead of one`);
  if (Number(row['BackupType']) !== FULL) throw broken('it is not a full backup of a database');
  const major = Number(row['SoftwareVersionMajor']);
  return {
    database: textOf(row, 'DatabaseName'),
    serverVersion: [major, Number(row['SoftwareVersionMinor']), Number(row['SoftwareVersionBuild'])].join(
      '.',
    ),
    majorVersion: major,
    collation: String(row['Collation'] ?? ''),
    compatibility: Number(row['CompatibilityLevel']),
    hasChecksums: isTrue(row['HasBackupChecksums']),
    isDamaged: isTrue(row['IsDamaged']),
    isCopyOnly: isTrue(row['IsCopyOnly']),
    sizeBytes: Number(row['BackupSize']),
  };
}

/** https://learn.microsoft.com/sql/t-sql/statements/restore-statements-filelistonly-transact-sql */
export function parseFileList(rows: readonly Row[]): BackupFile[] {
  const files = rows
    // A file of a filegroup that is not in this backup.
    .filter((row) => row['IsPresent'] === undefined || isTrue(row['IsPresent']))
    .map((row): BackupFile => {
      const type = textOf(row, 'Type').toUpperCase();
      if (!['D', 'L', 'S', 'F'].includes(type)) throw broken(`it has a file of an unknown type ${type}`);
      return {
        logicalName: textOf(row, 'LogicalName'),
        physicalName: textOf(row, 'PhysicalName'),
        type: type as BackupFile['type'],
        sizeBytes: Number(row['Size']),
      };
    });
  if (!files.some(({ type }) => type === 'D')) throw broken('it has no data file');
  return files;
}

/** Where each file of a restored database goes: the server's default folders, names that nothing else has. */
export function placeFiles(
  files: readonly BackupFile[],
  database: string,
  folders: { readonly data: string; readonly log: string },
): Move[] {
  const stem = database.replace(/[^A-Za-z0-9_-]+/g, '_');
  return files.map(({ logicalName, physicalName, type }, at) => {
    const folder = type === 'L' ? folders.log : folders.data;
    // Containers of FILESTREAM and memory-optimised data are folders, and have no suffix.
    const suffix = /\.[A-Za-z0-9]{1,8}$/.exec(physicalName)?.[0] ?? '';
    return { logicalName, to: joinServerPath(folder, `${stem}_${at + 1}${type === 'S' ? '' : suffix}`) };
  });
}

/** A path in the server's own manner: of Windows, of Linux, or a URL. */
export function joinServerPath(folder: string, name: string): string {
  const isWindows = /^[A-Za-z]:|^\\\\/.test(folder);
  const separator = isWindows ? '\\' : '/';
  return /[\\/]$/.test(folder) ? folder + name : folder + separator + name;
}

function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string' || value === '') throw broken(`its description lacks ${column}`);
  return value;
}

function isTrue(value: unknown): boolean {
  return value === true || value === 1 || value === '1';
}

function broken(why: string): DguardError {
  return new DguardError('corrupt', `the server reads something unexpected in the backup file: ${why}`, {
    operation: 'read backup file',
    hint: 'look at it with RESTORE HEADERONLY and RESTORE FILELISTONLY',
  });
}
