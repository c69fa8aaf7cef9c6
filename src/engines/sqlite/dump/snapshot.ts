import { constants } from 'node:fs';
import { chmod, copyFile, mkdtemp, open, rm, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { abortError, DguardError, errnoOf, throwIfAborted } from '../../../errors.ts';
import { makeFolders } from '../../../folders.ts';
import type { EngineSource } from '../../types.ts';
import type { Database } from '../database/driver.ts';
import { isBusy, sqliteCode, sqliteError } from '../database/driver.ts';
import type { SourceFile } from '../database/locate.ts';
import { isOnNetwork, locateSource, requireSpace, sideFiles, unreadable } from '../database/locate.ts';
import { withSource } from '../database/source.ts';
import type { SqliteOptions } from '../options.ts';
import { copyPages, fileAt, refuseCutShort, stateOf } from './copy.ts';

/** One wait for a lock blocks the event loop, so it is short; together they make half a minute. */
const LOCK_WAIT_MS = 250;
const LOCK_TRIES = 120;
const COPY_TRIES = 3;
const SPACE_HINT = 'set temp_dir to a larger disk';

export interface Snapshot {
  /** The copy: complete in itself, mode 0600, in a folder of its own that `remove` deletes. */
  readonly copyPath: string;
  readonly folder: string;
  readonly sourcePath: string;
  readonly takenAt: Date;
  readonly remove: () => Promise<void>;
}

/**
 * Copies the source as it is at one moment into a folder of its own under `tempDir`, while others write.
 *
 * The copy runs inside one read transaction. Without it the backup API starts again whenever another
 * connection writes between two steps, and may never end; with it the pages stand still (WAL), or writers
 * wait for the end (rollback journal). Should something in this process have dropped its lock (closing any
 * descriptor of the file does), or a program write without asking for one, the file's times tell, and it is
 * taken again.
 *
 * @param copies how many copies have to fit, for the check of free space
 */
export async function takeSnapshot(source: EngineSource<SqliteOptions>, copies: number): Promise<Snapshot> {
  const file = await locateSource(source.options.file_path);
  await warnOfNetwork(file, source);
  makeFolders(source.tempDir);
  const folder = await mkdtemp(join(source.tempDir, 'sqlite-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const copyPath = join(folder, 'database.db');
  try {
    // The driver would create it with the umask's mode.
    await (await open(copyPath, 'wx', 0o600)).close();
    const takenAt = await copySource(file, copyPath, folder, copies, source);
    return { copyPath, folder, sourcePath: file.path, takenAt, remove };
  } catch (error) {
    await remove();
    throw sqliteError(error, 'source_failed', 'copy database', source.options.file_path);
  }
}

async function warnOfNetwork(file: SourceFile, source: EngineSource<SqliteOptions>): Promise<void> {
  if (!(await isOnNetwork(file.path))) return;
  const message =
    'the database lies on a network file system, whose locks SQLite cannot rely on: run dguard where the file is';
  source.warn({ message, subject: source.options.file_path, partial: false });
}

async function copySource(
  file: SourceFile,
  copyPath: string,
  folder: string,
  copies: number,
  source: EngineSource<SqliteOptions>,
): Promise<Date> {
  try {
    const opened = { path: file.path, file: await fileAt(file.path) };
    return await withSource(file.path, LOCK_WAIT_MS, async (database) => {
      for (let tried = 1; ; tried++) {
        const takenAt = await beginSnapshot(database, source);
        const pageBytes = database.pragma('page_size', { simple: true }) as number;
        const pages = database.pragma('page_count', { simple: true }) as number;
        if (tried === 1) await requireSpace(folder, pages * pageBytes * copies, 'source_failed', SPACE_HINT);
        const isOfOneMoment = await copyPages(database, opened, copyPath, source);
        database.exec('COMMIT');
        if (isOfOneMoment) return takenAt;
        if (tried === COPY_TRIES) throw changedMeanwhile(file, source);
        await truncate(copyPath, 0);
      }
    });
  } catch (error) {
    if (!/^SQLITE_(CANTOPEN|READONLY_CANTINIT|READONLY_DIRECTORY)/.test(sqliteCode(error))) throw error;
    return await copyAtRest(file, copyPath, folder, copies, source, error);
  }
}

/** Starts the read transaction that the copy belongs to; waits for writers, abortably. */
async function beginSnapshot(database: Database, source: EngineSource<SqliteOptions>): Promise<Date> {
  for (let tried = 1; ; tried++) {
    throwIfAborted(source.signal);
    const takenAt = source.now();
    try {
      database.exec('BEGIN');
      // BEGIN alone takes no lock and pins no snapshot: the first read does.
      database.prepare('SELECT count(*) FROM sqlite_master').get();
      return takenAt;
    } catch (error) {
      if (database.inTransaction) database.exec('ROLLBACK');
      if (!isBusy(error) || tried === LOCK_TRIES) throw error;
      await nextTurn();
    }
  }
}

/**
 * For a database in WAL mode in a folder where this user cannot create the `-shm` file. Without a `-wal`
 * nobody has it open and the file is all there is, so it is copied as a file; that it stood still
 * meanwhile is checked afterwards.
 */
async function copyAtRest(
  file: SourceFile,
  copyPath: string,
  folder: string,
  copies: number,
  source: EngineSource<SqliteOptions>,
  cause: unknown,
): Promise<Date> {
  const before = await restingState(file.path);
  if (before === undefined) throw cause;
  const takenAt = source.now();
  await requireSpace(folder, file.sizeBytes * copies, 'source_failed', SPACE_HINT);
  try {
    await copyFile(file.path, copyPath, constants.COPYFILE_FICLONE);
  } catch (error) {
    throw errnoOf(error) === 'EACCES' ? unreadable(source.options.file_path, error) : error;
  }
  await chmod(copyPath, 0o600);
  if (source.signal.aborted) throw abortError(source.signal);
  if ((await restingState(file.path)) === before) {
    await withSource(copyPath, LOCK_WAIT_MS, (copy) => refuseCutShort(copy, copyPath, file.path));
    return takenAt;
  }
  const hint = 'run dguard as the owner of the database, so that it can lock it';
  throw changedMeanwhile(file, source, hint, cause);
}

function changedMeanwhile(
  file: SourceFile,
  source: EngineSource<SqliteOptions>,
  hint = 'it was locked: back it up in a job of its own, apart from one of the files around it, and see who writes to it without asking SQLite: `fuser -v` names who has it open',
  cause?: unknown,
): DguardError {
  return new DguardError('source_failed', `${basename(file.path)} was written to while it was copied`, {
    operation: 'copy database',
    subject: source.options.file_path,
    hint,
    cause,
  });
}

/** What changes when a database is written to, or undefined when a journal beside it says that it is in use. */
async function restingState(path: string): Promise<string | undefined> {
  const beside = await sideFiles(path);
  if (beside.some((side) => side.sizeBytes > 0)) return undefined;
  return stateOf(path);
}
