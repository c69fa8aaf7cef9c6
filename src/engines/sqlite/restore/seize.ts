import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { DguardError } from '../../../errors.ts';
import { shellWord } from '../../../shell-word.ts';
import type { Database } from '../database/driver.ts';
import { closeQuietly, isBusy, isDamage, openDatabase, sqliteError } from '../database/driver.ts';
import { sideFiles } from '../database/locate.ts';

const LOCK_WAIT_MS = 2_000;
/** Section 1.2 of https://sqlite.org/fileformat2.html */
const HEADER = Buffer.from('SQLite format 3\0');

export interface Seized {
  readonly wasWal: boolean;
  /** The connection that holds the lock; undefined where the target is no sound database. */
  readonly database?: Database;
  /** After the swap: the handle is on what is now kept for undo. */
  close(): void;
  /** Without a swap: leaves the target as it was. */
  letGo(): void;
}

/** Empties the target's journal into it and locks everyone out until `close` or `letGo`. */
export async function seize(path: string): Promise<Seized> {
  let database: Database | undefined;
  let wasWal = false;
  const letGo = () => {
    try {
      if (database?.inTransaction) database.exec('ROLLBACK');
      database?.pragma('locking_mode = NORMAL');
      // The lock goes with the next read.
      database?.prepare('SELECT count(*) FROM sqlite_master').get();
      if (wasWal) database?.pragma('journal_mode = WAL');
    } catch {
      // The journal mode is the least that can be wrong now; the first error is the one to report.
    }
    closeQuietly(database);
  };
  // A file without SQLite's header has no journal that SQLite could empty into it: opening it would only
  // delete the one that lies there. It is kept together with it, as they are.
  if (!(await isDatabase(path))) return { wasWal: false, close: () => {}, letGo: () => {} };
  try {
    database = await openDatabase(path, { readonly: false, busyTimeoutMs: LOCK_WAIT_MS });
    wasWal = database.pragma('journal_mode', { simple: true }) === 'wal';
    if (wasWal) checkpoint(database);
    // By way of PERSIST, which makes SQLite remove a journal file that a connection in that mode has left.
    database.pragma('journal_mode = PERSIST');
    const mode = database.pragma('journal_mode = DELETE', { simple: true });
    if (mode !== 'delete') throw inUse(path);
    // The lock outlives its transaction, in which the backup API could not read.
    database.pragma('locking_mode = EXCLUSIVE');
    database.exec('BEGIN EXCLUSIVE');
    database.exec('COMMIT');
    const left = (await sideFiles(path)).filter((side) => side.sizeBytes > 0);
    if (left.length > 0) {
      throw new DguardError('target_refused', `${basename(left[0]!.path)} is still there and not empty`, {
        operation: 'swap',
        subject: path,
        hint: 'stop the writers; if none runs, open the database once with sqlite3 and close it again',
      });
    }
    const held = database;
    return { wasWal, database: held, close: () => closeQuietly(held), letGo };
  } catch (error) {
    letGo();
    if (isBusy(error)) throw inUse(path, error);
    // Replacing a database that is broken is what a restore is for: it is kept with its journals as they are.
    if (isDamage(error)) return { wasWal: false, close: () => {}, letGo: () => {} };
    throw sqliteError(error, 'target_failed', 'lock target', path);
  }
}

async function isDatabase(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(HEADER.length), 0, HEADER.length, 0);
    return buffer.equals(HEADER);
  } finally {
    await file.close();
  }
}

function checkpoint(database: Database): void {
  const [result] = database.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[];
  if (result?.busy !== 0) throw inUse(database.name);
}

function inUse(path: string, cause?: unknown): DguardError {
  return new DguardError('target_refused', 'another program uses the database', {
    operation: 'lock target',
    subject: path,
    hint: `stop the writers, then restore again; see who they are: fuser -v ${shellWord(path)}`,
    cause,
  });
}
