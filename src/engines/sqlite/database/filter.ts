import { open, rm } from 'node:fs/promises';
import type { Warning } from '../../types.ts';
import type { TableInfo } from './catalog.ts';
import { listSchema, listTables, quoteName } from './catalog.ts';
import type { Database } from './driver.ts';
import { closeQuietly, isDamage, openDatabase } from './driver.ts';

/**
 * Drops tables from a private copy, with their indexes and triggers, and writes what is left to `toPath`,
 * compacted. The copy is removed. VACUUM INTO and not VACUUM: only the first keeps the rowids of tables
 * without an INTEGER PRIMARY KEY, which an FTS index refers to.
 */
export async function dropTables(
  copyPath: string,
  toPath: string,
  dropped: readonly TableInfo[],
  warn: (warning: Warning) => void,
): Promise<void> {
  const database = await openDatabase(copyPath, { readonly: false });
  let journalMode: unknown;
  try {
    journalMode = database.pragma('journal_mode', { simple: true });
    // The copy is ours and can be made again: nothing has to survive a power cut.
    database.pragma('synchronous = OFF');
    database.pragma('journal_mode = DELETE');
    database.pragma('foreign_keys = OFF');
    const worked = new Set(workingViews(database));
    for (const table of dropped) dropTable(database, table);
    warnOfDangling(database, worked, dropped, warn);
    await (await open(toPath, 'wx', 0o600)).close();
    database.prepare('VACUUM main INTO ?').run(toPath);
  } finally {
    closeQuietly(database);
  }
  await rm(copyPath);
  if (journalMode === 'wal') await setWalMode(toPath);
}

/**
 * Drops a table of a private copy. A virtual one that this SQLite cannot enter, as it lacks the module (or a tokenizer),
 * it cannot drop either: then its entry goes, and the tables that are known to be its shadows.
 */
export function dropTable(database: Database, { name, kind }: TableInfo): void {
  try {
    database.exec(`DROP TABLE main.${quoteName(name)}`);
  } catch (error) {
    if (kind !== 'virtual' || isDamage(error)) throw error;
    const shadows = listTables(database).filter(
      (table) => table.kind === 'shadow' && isShadowOf(name, table.name),
    );
    // Off the defensive mode: an entry in sqlite_master, shadow tables.
    database.unsafeMode(true);
    const isOn = database.pragma('writable_schema', { simple: true }) === 1;
    database.pragma('writable_schema = ON');
    database.prepare("DELETE FROM main.sqlite_master WHERE type = 'table' AND name = ?").run(name);
    database.pragma('writable_schema = RESET');
    for (const shadow of shadows) database.exec(`DROP TABLE main.${quoteName(shadow.name)}`);
    if (isOn) database.pragma('writable_schema = ON');
    else database.unsafeMode(false);
  }
}

/**
 * As SQLite sees it (sqlite3ShadowTableName): what follows the last `_` is the module's own word (`content`, `node`).
 * So `docs_archive_content` belongs to `docs_archive`, not to `docs`.
 */
function isShadowOf(virtual: string, table: string): boolean {
  const cut = table.lastIndexOf('_');
  return cut >= 0 && table.slice(0, cut).toLowerCase() === virtual.toLowerCase();
}

/** VACUUM INTO always writes rollback-journal mode; the application expects the mode it once set. */
async function setWalMode(path: string): Promise<void> {
  const database = await openDatabase(path, { readonly: false });
  try {
    database.pragma('journal_mode = WAL');
  } finally {
    database.close();
  }
}

function warnOfDangling(
  database: Database,
  worked: ReadonlySet<string>,
  dropped: readonly TableInfo[],
  warn: (warning: Warning) => void,
): void {
  const works = new Set(workingViews(database));
  for (const view of worked) {
    if (works.has(view)) continue;
    warn({ message: `the view ${view} reads a table that is left out`, subject: view, partial: false });
  }
  for (const trigger of listSchema(database).filter((object) => object.type === 'trigger')) {
    const table = dropped.find((gone) => mentions(trigger.sql, gone.name));
    if (table === undefined) continue;
    const message = `the trigger ${trigger.name} may use the table ${table.name}, which is left out`;
    warn({ message, subject: trigger.name, partial: false });
  }
}

function workingViews(database: Database): string[] {
  return listSchema(database)
    .filter((object) => object.type === 'view')
    .map((view) => view.name)
    .filter((name) => {
      try {
        database.prepare(`SELECT * FROM main.${quoteName(name)}`);
        return true;
      } catch {
        return false;
      }
    });
}

function mentions(sql: string, name: string): boolean {
  const wanted = name.toLowerCase();
  const text = sql.toLowerCase();
  if (/[^\p{L}\p{N}_$]/u.test(wanted)) return text.includes(wanted);
  return text.split(/[^\p{L}\p{N}_$]+/u).includes(wanted);
}
