import { constants } from 'node:fs';
import { access, lstat, realpath, stat, statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DguardError, errnoOf, toDguardError } from '../../../errors.ts';
import { freeBytesOf } from '../../../folders.ts';

/** The names that SQLite gives to the files beside a database. */
export const SIDE_SUFFIXES = ['-wal', '-shm', '-journal'] as const;

/** Magic numbers of Linux' statfs(2): NFS, SMB, CIFS, SMB2, 9P. */
const NETWORK_FILESYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997]);

/** Room beyond the copy itself: a journal, a few blocks of the file system. */
const SPACE_MARGIN_BYTES = 4 * 1024 * 1024;

export interface SourceFile {
  /** With every link resolved. SQLite names its side files after this one too. */
  readonly path: string;
  readonly sizeBytes: number;
}

/**
 * The source's file, or an error that says why there is none. It is never opened here: closing any
 * descriptor of a database file drops every lock that this process holds on it (POSIX, fcntl(2)), and
 * another job of this process may be reading it.
 */
export async function locateSource(filePath: string): Promise<SourceFile> {
  const fail = (message: string, hint: string, cause?: unknown) =>
    new DguardError('source_failed', message, {
      operation: 'open database',
      subject: filePath,
      hint,
      cause,
    });
  try {
    const path = await realpath(resolve(filePath));
    const stats = await stat(path);
    if (stats.isDirectory()) throw fail('this is a directory, not a database file', 'name the file itself');
    if (!stats.isFile()) throw fail('this is not a regular file', 'check file_path');
    await access(path, constants.R_OK);
    if (stats.size === 0) {
      throw new DguardError('source_empty', 'the file has zero bytes: there is no database in it', {
        operation: 'open database',
        subject: filePath,
        hint: 'check file_path; leave the datasource out until the application has created its tables',
      });
    }
    return { path, sizeBytes: stats.size };
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw fail(
        'no such database file; nothing was created',
        'check file_path, and that it is mounted',
        error,
      );
    }
    if (code === 'EACCES' || code === 'EPERM') throw unreadable(filePath, error);
    throw toDguardError(error, 'source_failed', { operation: 'open database', subject: filePath });
  }
}

export function unreadable(filePath: string, cause: unknown): DguardError {
  return new DguardError('source_failed', 'this user may not read the file', {
    operation: 'open database',
    subject: filePath,
    hint: 'run dguard as its owner, or give it read access',
    cause,
  });
}

/** True on file systems whose locks SQLite cannot trust. */
export async function isOnNetwork(path: string): Promise<boolean> {
  return NETWORK_FILESYSTEMS.has((await statfs(path)).type >>> 0);
}

/** Throws `code` unless `folder` has room for `sizeBytes` and a margin. */
export async function requireSpace(
  folder: string,
  sizeBytes: number,
  code: 'source_failed' | 'target_failed',
  hint: string,
): Promise<void> {
  const free = await freeBytesOf(folder);
  const needed = sizeBytes + SPACE_MARGIN_BYTES;
  if (free === undefined || free >= needed) return;
  const text = `${megabytes(needed)} are needed for a copy of the database, ${megabytes(free)} are free`;
  throw new DguardError(code, text, { operation: 'check free space', subject: folder, hint });
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

/** The side files that lie beside a database, with their sizes. */
export async function sideFiles(database: string): Promise<{ path: string; sizeBytes: number }[]> {
  const found: { path: string; sizeBytes: number }[] = [];
  for (const suffix of SIDE_SUFFIXES) {
    const stats = await lstatIfThere(database + suffix);
    if (stats !== undefined) found.push({ path: database + suffix, sizeBytes: stats.size });
  }
  return found;
}

export async function lstatIfThere(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
