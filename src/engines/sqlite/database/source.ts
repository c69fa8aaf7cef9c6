import type { Database } from './driver.ts';
import { closeQuietly, openDatabase } from './driver.ts';
import { lstatIfThere } from './locate.ts';

/**
 * Runs `work` on a readonly connection to somebody's database and leaves nothing beside it.
 *
 * A readonly connection to a database in WAL mode creates an empty `-wal` and a `-shm`, and cannot remove
 * them. Removing them by hand would take them from under a program that just opened them; the close of a
 * writing connection does it under SQLite's own locks, and only if it is the last one.
 */
export async function withSource<T>(
  path: string,
  busyTimeoutMs: number,
  work: (database: Database) => Promise<T> | T,
): Promise<T> {
  const hadWal = (await lstatIfThere(`${path}-wal`)) !== undefined;
  const database = await openDatabase(path, { readonly: true, busyTimeoutMs });
  try {
    return await work(database);
  } finally {
    closeQuietly(database);
    if (!hadWal && (await lstatIfThere(`${path}-wal`)) !== undefined) await closeAsWriter(path);
  }
}

async function closeAsWriter(path: string): Promise<void> {
  try {
    const database = await openDatabase(path, { readonly: false, busyTimeoutMs: 0 });
    try {
      database.prepare('SELECT count(*) FROM sqlite_master').get();
    } finally {
      database.close();
    }
  } catch {
    // Not allowed to write, or in use by now: then the empty files stay, which harms nobody.
  }
}
