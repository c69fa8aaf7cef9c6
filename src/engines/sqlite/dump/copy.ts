import { stat, truncate } from 'node:fs/promises';
import { runChild } from '../../../child/read.ts';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { shellWord } from '../../../shell-word.ts';
import type { EngineSource } from '../../types.ts';
import type { Database } from '../database/driver.ts';
import { isOnNetwork, lstatIfThere } from '../database/locate.ts';
import type { SqliteOptions } from '../options.ts';

/** How much one step of the backup API moves; between two of them the event loop runs. */
const STEP_BYTES = 16 * 1024 * 1024;

export interface OpenedFile {
  readonly path: string;
  /** What `fileAt` said of the path before it was opened. */
  readonly file: string;
}

/**
 * Copies the database whose read transaction `database` holds to `copyPath`, an empty file. False where the file
 * changed meanwhile, though the transaction kept it locked: then the copy is of no one moment.
 *
 * Outside of WAL mode that transaction's shared lock keeps every writer from the file (sqlite.org/lockingv3.html), so
 * it is copied as a file, byte for byte. The backup API takes five times as long, for which writers have to wait; it
 * copies what is in WAL mode, where a reader keeps nobody from the file, and what cannot be copied otherwise.
 */
export async function copyPages(
  database: Database,
  { path, file }: OpenedFile,
  copyPath: string,
  source: EngineSource<SqliteOptions>,
): Promise<boolean> {
  const isWal = database.pragma('journal_mode', { simple: true }) === 'wal';
  // A server's clock and cache say little of when a file was written. And where another file has taken the place
  // of the one that was opened, this lock keeps nobody from it.
  const isElsewhere = (await isOnNetwork(path)) || (await fileAt(path)) !== file;
  if (isWal || isElsewhere) {
    if (!isElsewhere && !(await hasFrames(path))) await refuseCutShort(database, path);
    await copyByApi(database, copyPath, source);
    return true;
  }
  const before = await stateOf(path);
  if (!(await copyAsFile(database, path, copyPath, source))) await copyByApi(database, copyPath, source);
  return (await stateOf(path)) === before;
}

/**
 * A program of its own reads the file: were it opened here, closing it would drop the lock (POSIX, fcntl(2)). False
 * where that program is missing, or failed: the backup API's errors say more.
 */
async function copyAsFile(
  database: Database,
  path: string,
  copyPath: string,
  source: EngineSource<SqliteOptions>,
): Promise<boolean> {
  const { failed } = await runChild(['cp', '--', path, copyPath], {
    env: source.env,
    signal: source.signal,
  });
  throwIfAborted(source.signal);
  const pageBytes = database.pragma('page_size', { simple: true }) as number;
  const sizeBytes = pageBytes * (database.pragma('page_count', { simple: true }) as number);
  await refuseCutShort(database, path);
  const copiedBytes = (await stat(copyPath)).size;
  const isWhole = !failed && copiedBytes >= sizeBytes && copiedBytes === (await stat(path)).size;
  // What lies behind the last page is no part of the database.
  if (!isWhole || copiedBytes > sizeBytes) await truncate(copyPath, isWhole ? sizeBytes : 0);
  return isWhole;
}

/**
 * Whether pages of the database may be in its `-wal` alone, and a checkpoint may be writing them to the file. Where not,
 * no page of the file is written to while this process reads: a checkpoint wants the lock that a reader holds who
 * needs no frames (WAL_READ_LOCK(0), wal.c, walCheckpoint), and no `-wal` is emptied under one who needs some.
 */
async function hasFrames(path: string): Promise<boolean> {
  return ((await lstatIfThere(`${path}-wal`))?.size ?? 0) > 0;
}

/**
 * SQLite reads zeros where the last page is not all there, and its checks find nothing amiss. For a file that nobody
 * can be writing to: it is locked, or a copy.
 */
export async function refuseCutShort(database: Database, path: string, subject = path): Promise<void> {
  const pageBytes = database.pragma('page_size', { simple: true }) as number;
  const sizeBytes = pageBytes * (database.pragma('page_count', { simple: true }) as number);
  const { size } = await stat(path);
  if (size >= sizeBytes || size % pageBytes === 0) return;
  const message = `the database is cut off: ${size} bytes are no whole number of pages of ${pageBytes} bytes`;
  throw new DguardError('source_failed', message, {
    operation: 'copy database',
    subject,
    hint: `what can be saved: sqlite3 ${shellWord(subject)} .recover; or restore the newest good backup`,
  });
}

async function copyByApi(
  database: Database,
  copyPath: string,
  source: EngineSource<SqliteOptions>,
): Promise<void> {
  const pageBytes = database.pragma('page_size', { simple: true }) as number;
  const stepPages = Math.max(1, Math.floor(STEP_BYTES / pageBytes));
  await database.backup(copyPath, {
    progress: () => {
      throwIfAborted(source.signal);
      return stepPages;
    },
  });
}

/** Which file lies there; no other has the same while that one is open. Empty: none. */
export async function fileAt(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  return stats === undefined ? '' : `${stats.dev} ${stats.ino}`;
}

/** What changes when a file is written to, or another takes its place. */
export async function stateOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true });
  return [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
}
