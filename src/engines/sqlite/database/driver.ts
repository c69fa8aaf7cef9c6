import type BetterSqlite3 from 'better-sqlite3';
import type { ErrorCode } from '../../../errors.ts';
import { DguardError, errorText } from '../../../errors.ts';
import { addonMissing } from '../../../native.ts';
import { shellWord } from '../../../shell-word.ts';

export type Database = BetterSqlite3.Database;

export interface OpenOptions {
  readonly readonly: boolean;
  /** How long a statement waits for another program's lock. Blocks the event loop meanwhile. */
  readonly busyTimeoutMs?: number;
  /** Creates the file when it is missing. Never for a source. */
  readonly create?: boolean;
}

/** Opens a database file. The driver is loaded here and nowhere else, at the first call. Errors: SQLite's; tool_missing. */
export async function openDatabase(path: string, options: OpenOptions): Promise<Database> {
  // better-sqlite3 trims file names, so such a name would open (or create) another file.
  if (path !== path.trim()) throw new Error('the file name begins or ends with white space');
  const { default: Driver } = await import('better-sqlite3');
  try {
    return new Driver(path, {
      readonly: options.readonly,
      fileMustExist: options.create !== true,
      timeout: options.busyTimeoutMs ?? 2_000,
    });
  } catch (error) {
    throw addonMissing('better-sqlite3', error) ?? error;
  }
}

/** Closes without a word: for the way out of an error, which is the one to report. */
export function closeQuietly(database: Database | undefined): void {
  try {
    database?.close();
  } catch {
    // An iterator that its reader abandoned keeps the handle busy; the file is removed all the same.
  }
}

/** The extended result code of an SQLite error (`SQLITE_BUSY_SNAPSHOT`), or the empty string. */
export function sqliteCode(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : '';
}

/** True for the codes that say: these bytes are no (sound) database. */
export function isDamage(thrown: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(thrown));
}

/** True when another connection holds a lock. */
export function isBusy(thrown: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(sqliteCode(thrown));
}

/** An SQLite error in words that say why and what to do, with the result code kept for search. */
export function sqliteError(thrown: unknown, code: ErrorCode, operation: string, path: string): DguardError {
  if (thrown instanceof DguardError) return thrown;
  const [why, hint] = explain(sqliteCode(thrown), path);
  const text = why === '' ? errorText(thrown) : `${why} (${errorText(thrown)})`;
  return new DguardError(code, text, {
    operation,
    subject: path,
    ...(hint === undefined ? {} : { hint }),
    cause: thrown,
  });
}

function explain(code: string, path: string): [string, string?] {
  if (code.startsWith('SQLITE_NOTADB')) {
    return ['the file is not an SQLite database, or it is encrypted', 'check file_path'];
  }
  if (code.startsWith('SQLITE_CORRUPT')) {
    return ['the database is corrupt', `what can be saved: sqlite3 ${shellWord(path)} .recover`];
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return ['another program keeps the database locked', `see who uses it: fuser -v ${shellWord(path)}`];
  }
  if (code === 'SQLITE_READONLY_ROLLBACK' || code === 'SQLITE_READONLY_RECOVERY') {
    return [
      'its last writer crashed, and the journal beside it has to be rolled back first',
      `start the application once, or: sqlite3 ${shellWord(path)} 'PRAGMA quick_check'`,
    ];
  }
  if (/^SQLITE_(CANTOPEN|READONLY|PERM|AUTH)/.test(code)) {
    return [
      'the database cannot be opened by this user',
      'a database in WAL mode needs a -shm file beside it: run dguard as the owner of the database, or let its user write in that folder',
    ];
  }
  if (code.startsWith('SQLITE_FULL')) return ['no space left for the copy', 'set temp_dir to a larger disk'];
  return [''];
}
