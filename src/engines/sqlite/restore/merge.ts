import { open } from 'node:fs/promises';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import type { TableFact, Warning } from '../../types.ts';
import { listColumns, listSchema, listTables, quoteName, type SchemaObject } from '../database/catalog.ts';
import { checkDatabase, compareTables, examine, requireSound } from '../database/check.ts';
import type { Database } from '../database/driver.ts';
import { closeQuietly, openDatabase, sqliteError } from '../database/driver.ts';
import { dropTable } from '../database/filter.ts';
import { foreignKeyDoubts } from '../database/foreign-keys.ts';
import type { Seized } from './seize.ts';
import { syncFile } from './stage.ts';

export interface MergeRequest {
  readonly signal: AbortSignal;
  readonly warn: (warning: Warning) => void;
  /** The target, with everyone else locked out. */
  readonly seized: Seized;
  /** A database with the tables to be put in, and nothing else. */
  readonly chosen: string;
  /** The file that is made: the target with those tables in place of its own. */
  readonly merged: string;
  /** What `chosen` holds. */
  readonly tables: readonly TableFact[];
}

const STEP_PAGES = 4_096;

/**
 * Copies the target and replaces the chosen tables in the copy, with their indexes and triggers; everything
 * else stays as it is. Returns the restored tables. Errors: `target_refused` where the target cannot take them.
 */
export async function mergeTables(request: MergeRequest): Promise<readonly TableFact[]> {
  const { database: target } = request.seized;
  if (target === undefined) {
    throw new DguardError('target_refused', 'the target is no sound database: tables cannot be put into it', {
      operation: 'merge tables',
      subject: request.merged,
      hint: 'restore the whole backup, or to another file with --to-path',
    });
  }
  await (await open(request.merged, 'wx', 0o600)).close();
  await target.backup(request.merged, {
    progress: () => {
      throwIfAborted(request.signal);
      return STEP_PAGES;
    },
  });
  let database: Database | undefined;
  try {
    database = await openDatabase(request.merged, { readonly: false });
    const pages = (of: Database) => of.pragma('page_count', { simple: true });
    if (pages(database) !== pages(target)) {
      throw new DguardError('target_failed', 'the target could not be copied', { operation: 'merge tables' });
    }
    await refuseOtherEncoding(database, request.chosen);
    const doubtsBefore = await doubtsOf(request.merged);
    replaceTables(database, request.chosen);
    const findings = checkDatabase(database, 'quick_check');
    const hint = 'restore to another file with --to-path';
    requireSound(findings, 'corrupt', 'merge tables', request.merged, hint);
    const differences = compareTables(request.tables, examine(database).tables);
    if (differences.length > 0) {
      throw new DguardError('corrupt', differences.slice(0, 5).join('; '), { operation: 'merge tables' });
    }
    const isNew = (doubt: string) => !doubtsBefore.has(doubt);
    for (const doubt of [
      ...findings.doubts.filter(isNew).slice(0, 20),
      ...foreignKeyDoubts(database).filter(isNew),
    ]) {
      request.warn({ message: `after the merge, ${doubt}`, partial: false });
    }
    database.close();
    if (request.seized.wasWal) {
      database = await openDatabase(request.merged, { readonly: false });
      database.pragma('journal_mode = WAL');
      database.close();
    }
  } catch (error) {
    closeQuietly(database);
    throw sqliteError(error, 'target_failed', 'merge tables', request.merged);
  }
  await syncFile(request.merged);
  return request.tables;
}

/** What is doubtful in the target as it was; by a connection of its own, as a check leaves tables opened. */
async function doubtsOf(path: string): Promise<ReadonlySet<string>> {
  const database = await openDatabase(path, { readonly: false });
  try {
    return new Set([...checkDatabase(database, 'quick_check').doubts, ...foreignKeyDoubts(database)]);
  } finally {
    closeQuietly(database);
  }
}

/** SQLite attaches no database whose texts are encoded otherwise. */
async function refuseOtherEncoding(database: Database, chosen: string): Promise<void> {
  const encoding = (of: Database) => String(of.pragma('encoding', { simple: true }));
  const other = await openDatabase(chosen, { readonly: false });
  try {
    if (encoding(other) === encoding(database)) return;
    throw new DguardError(
      'target_refused',
      `the backup's database is ${encoding(other)}, the target is ${encoding(database)}: SQLite cannot copy tables between the two`,
      {
        operation: 'merge tables',
        hint: 'restore to another file with --to-path, or the whole database in its place: --overwrite without --only',
      },
    );
  } finally {
    closeQuietly(other);
  }
}

function replaceTables(database: Database, chosen: string): void {
  // Off the defensive mode: shadow tables, sqlite_sequence, entries in sqlite_master. The file is ours.
  database.unsafeMode(true);
  database.pragma('journal_mode = DELETE');
  database.pragma('synchronous = OFF');
  database.pragma('foreign_keys = OFF');
  database.pragma('ignore_check_constraints = ON');
  database.pragma('recursive_triggers = OFF');
  database.pragma('legacy_alter_table = ON');
  database.pragma('writable_schema = ON');
  database.prepare('ATTACH ? AS chosen').run(chosen);
  database.exec('BEGIN');
  const objects = chosenSchema(database);
  const tables = objects.filter(({ type, name }) => type === 'table' && !isInternal(name));
  refuseOthers(database, objects);
  // A virtual table takes its shadow tables with it.
  const isReplaced = (name: string) =>
    tables.some((table) => table.name.toLowerCase() === name.toLowerCase());
  for (const wanted of [true, false]) {
    const there = listTables(database).filter(({ name }) => isReplaced(name));
    for (const table of there.filter(({ kind }) => (kind === 'virtual') === wanted))
      dropTable(database, table);
  }
  for (const table of tables.filter(({ sql }) => !isVirtual(sql))) {
    database.prepare(table.sql).run();
    copyRows(database, table.name);
  }
  copySequences(database, tables);
  create('index');
  for (const { name, sql } of tables.filter((table) => isVirtual(table.sql))) {
    database
      .prepare(
        "INSERT INTO main.sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('table', ?, ?, 0, ?)",
      )
      .run(name, name, sql);
  }
  create('trigger');
  database.exec('COMMIT');
  database.exec('DETACH chosen');
  database.pragma('writable_schema = RESET');

  function create(type: SchemaObject['type']): void {
    for (const object of objects.filter((each) => each.type === type)) database.prepare(object.sql).run();
  }
}

/** Tables with their indexes and triggers; views are left out: they have no rows. */
function chosenSchema(database: Database): SchemaObject[] {
  const all = database
    .prepare(
      'SELECT type, name, tbl_name AS "table", sql FROM chosen.sqlite_master WHERE sql IS NOT NULL ORDER BY rowid',
    )
    .all() as SchemaObject[];
  const tables = new Set(all.filter(({ type }) => type === 'table').map(({ name }) => name));
  return all.filter(({ type, name, table }) => type !== 'view' && tables.has(table) && !isInternal(name));
}

/** A name of the backup's that is something else in the target. */
function refuseOthers(database: Database, objects: readonly SchemaObject[]): void {
  const replaced = new Set(
    objects.filter(({ type }) => type === 'table').map(({ name }) => name.toLowerCase()),
  );
  const there = new Map(listSchema(database).map((object) => [object.name.toLowerCase(), object]));
  for (const object of objects) {
    const other = there.get(object.name.toLowerCase());
    if (other === undefined || (other.type !== 'view' && replaced.has(other.table.toLowerCase()))) continue;
    const what = `the ${object.type} ${object.name} of the backup is a ${other.type}${other.type === 'view' ? '' : ` of ${other.table}`} in the target`;
    throw new DguardError('target_refused', what, {
      operation: 'merge tables',
      subject: object.name,
      hint: 'restore to another file with --to-path',
    });
  }
}

/** With their rowids, which an FTS index or an application may refer to. */
function copyRows(database: Database, table: string): void {
  const columns = listColumns(database, table).filter((column) => !column.generated);
  const names = columns.map((column) => quoteName(column.name));
  const taken = new Set(columns.map((column) => column.name.toLowerCase()));
  const rowid = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name));
  const info = listTables(database).find(({ name }) => name === table);
  if (rowid !== undefined && info?.withoutRowid !== true) names.push(rowid);
  const list = names.join(', ');
  database.exec(
    `INSERT INTO main.${quoteName(table)} (${list}) SELECT ${list} FROM chosen.${quoteName(table)}`,
  );
}

/** The counters of AUTOINCREMENT go with their tables. */
function copySequences(database: Database, tables: readonly SchemaObject[]): void {
  const has = (schema: string) =>
    database.prepare(`SELECT 1 FROM ${schema}.sqlite_master WHERE name = 'sqlite_sequence'`).get() !==
    undefined;
  if (!has('main')) return;
  for (const { name } of tables) {
    database.prepare('DELETE FROM main.sqlite_sequence WHERE name = ?').run(name);
    if (!has('chosen')) continue;
    database
      .prepare(
        'INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM chosen.sqlite_sequence WHERE name = ?',
      )
      .run(name);
  }
}

function isInternal(name: string): boolean {
  return name.toLowerCase().startsWith('sqlite_');
}

function isVirtual(sql: string): boolean {
  return /^\s*CREATE\s+VIRTUAL\s/i.test(sql);
}
