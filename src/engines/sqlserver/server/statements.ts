import { identifier, literal } from './sql.ts';

/** Statements that back up and restore, as text. Names and paths are quoted, nothing is assumed of them. */

/** How the server is told where a backup file is: a file of its own, or an object of S3. */
function device(path: string): string {
  return /^s3:\/\//i.test(path) ? `URL = ${literal(path)}` : `DISK = ${literal(path)}`;
}

/**
 * A full backup that breaks no chain of differential or log backups, with checksums of pages and of the file.
 * https://learn.microsoft.com/sql/t-sql/statements/backup-transact-sql
 */
export function backupStatement(database: string, path: string, compress: boolean): string {
  const options = [
    'COPY_ONLY',
    'CHECKSUM',
    'STOP_ON_ERROR',
    compress ? 'COMPRESSION' : 'NO_COMPRESSION',
    'FORMAT',
    'INIT',
    `NAME = ${literal('dguard')}`,
    'STATS = 10',
  ];
  return `BACKUP DATABASE ${identifier(database)} TO ${device(path)} WITH ${options.join(', ')}`;
}

/** https://learn.microsoft.com/sql/t-sql/statements/restore-statements-verifyonly-transact-sql */
export function verifyStatement(path: string): string {
  return `RESTORE VERIFYONLY FROM ${device(path)} WITH CHECKSUM, STOP_ON_ERROR`;
}

export function headerStatement(path: string): string {
  return `RESTORE HEADERONLY FROM ${device(path)}`;
}

export function fileListStatement(path: string): string {
  return `RESTORE FILELISTONLY FROM ${device(path)}`;
}

export interface Move {
  readonly logicalName: string;
  readonly to: string;
}

/** Into a database that does not exist yet: no REPLACE, so that none that does is ever overwritten. */
export function restoreStatement(database: string, path: string, moves: readonly Move[]): string {
  const options = [
    'FILE = 1',
    ...moves.map(({ logicalName, to }) => `MOVE ${literal(logicalName)} TO ${literal(to)}`),
    'CHECKSUM',
    'STOP_ON_ERROR',
    'RECOVERY',
    'STATS = 10',
  ];
  return `RESTORE DATABASE ${identifier(database)} FROM ${device(path)} WITH ${options.join(', ')}`;
}

/** Ends all sessions in a database but ours; open transactions are rolled back. */
export function singleUserStatement(database: string): string {
  return `ALTER DATABASE ${identifier(database)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE`;
}

export function multiUserStatement(database: string): string {
  return `ALTER DATABASE ${identifier(database)} SET MULTI_USER`;
}

export function renameStatement(from: string, to: string): string {
  return `ALTER DATABASE ${identifier(from)} MODIFY NAME = ${identifier(to)}`;
}

export function dropStatement(database: string): string {
  return `DROP DATABASE ${identifier(database)}`;
}
