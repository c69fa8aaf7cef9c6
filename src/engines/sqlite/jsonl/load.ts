import { throwIfAborted } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import { quoteName } from '../database/catalog.ts';
import type { Database } from '../database/driver.ts';
import { closeQuietly, openDatabase, sqliteError } from '../database/driver.ts';
import { readTable } from './read-table.ts';
import type { SchemaDocument, TableDocument } from './schema-document.ts';
import type { SqlValue } from './values.ts';

/**
 * Makes a new database file at `path` (which exists, empty) out of a JSONL export: tables, rows, then
 * indexes, triggers and views. Nothing in it may run on the way: no trigger, no foreign key, no CHECK.
 */
export async function loadExport(
  content: BackupContent,
  schema: SchemaDocument,
  path: string,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<void> {
  let database: Database | undefined;
  try {
    database = await openDatabase(path, { readonly: false });
    prepareEmpty(database, schema);
    database.exec('BEGIN');
    createObjects(database, schema, (object) => object.type === 'table' && !isVirtual(object.sql));
    for (const table of schema.tables.filter((each) => each.kind !== 'internal')) {
      await insertRows(database, content, table, signal, onBytes);
    }
    createObjects(database, schema, (object) => object.type === 'index');
    for (const table of schema.tables.filter((each) => each.kind === 'internal')) {
      makeInternal(database, table.name);
      await insertRows(database, content, table, signal, onBytes);
    }
    createObjects(database, schema, (object) => object.type === 'view');
    // Shadow tables were filled as they stood, so the virtual table itself is only entered: creating it
    // would create them a second time. This is what the shell's .dump does.
    for (const { name, sql } of schema.objects.filter((object) => isVirtual(object.sql))) {
      database
        .prepare(
          "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('table', ?, ?, 0, ?)",
        )
        .run(name, name, sql);
    }
    database.pragma(`user_version = ${Number(schema.user_version)}`);
    database.pragma(`application_id = ${Number(schema.application_id)}`);
    database.exec('COMMIT');
    database.close();
    // Virtual tables are known to a connection opened after they were entered; triggers may be on them.
    database = await openDatabase(path, { readonly: false });
    createObjects(database, schema, (object) => object.type === 'trigger');
    if (schema.journal_mode === 'wal') database.pragma('journal_mode = WAL');
    database.close();
  } catch (error) {
    closeQuietly(database);
    throw sqliteError(error, 'target_failed', 'load database', path);
  }
}

function prepareEmpty(database: Database, schema: SchemaDocument): void {
  // Off the defensive mode: entries in sqlite_master, names of shadow tables. The file is new and ours.
  database.unsafeMode(true);
  database.pragma(`page_size = ${Number(schema.page_size)}`);
  database.pragma(`encoding = '${schema.encoding.replace(/[^\w-]/g, '')}'`);
  database.pragma(`auto_vacuum = ${Number(schema.auto_vacuum)}`);
  // A load that fails is thrown away, so it needs no journal; the caller syncs the file at the end.
  database.pragma('journal_mode = OFF');
  database.pragma('synchronous = OFF');
  database.pragma('foreign_keys = OFF');
  database.pragma('ignore_check_constraints = ON');
  database.pragma('writable_schema = ON');
}

function createObjects(
  database: Database,
  schema: SchemaDocument,
  wanted: (object: SchemaDocument['objects'][number]) => boolean,
): void {
  for (const object of schema.objects.filter(wanted)) {
    if (object.name.toLowerCase().startsWith('sqlite_')) continue;
    try {
      // `prepare` takes one statement only, so that a doctored schema cannot bring a second one.
      database.prepare(object.sql).run();
    } catch (error) {
      throw sqliteError(error, 'target_failed', `create ${object.type}`, object.name);
    }
  }
}

function isVirtual(sql: string): boolean {
  return /^\s*CREATE\s+VIRTUAL\s/i.test(sql);
}

/** SQLite's own tables come into being by what uses them. */
function makeInternal(database: Database, name: string): void {
  const exists = () => database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').get(name);
  if (exists() === undefined) {
    if (name === 'sqlite_sequence') {
      database.exec(
        'CREATE TABLE "dguard-seq" (id INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE "dguard-seq"',
      );
    } else database.exec('ANALYZE sqlite_schema');
  }
  database.exec(`DELETE FROM ${quoteName(name)}`);
}

async function insertRows(
  database: Database,
  content: BackupContent,
  table: TableDocument,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<void> {
  const names = table.columns.filter((column) => !column.generated).map((column) => quoteName(column.name));
  if (table.rowid_column !== undefined) names.push(table.rowid_column);
  const insert = inserter(database, quoteName(table.name), names);
  let rows = 0;
  for await (const row of readTable(content, table, onBytes)) {
    if (++rows % 1_000 === 0) throwIfAborted(signal);
    insert(row);
  }
}

/** Inserts rows; text that is not valid is bound as its bytes and cast, one statement for each pattern of them. */
function inserter(database: Database, table: string, names: readonly string[]) {
  const statements = new Map<string, (values: unknown[]) => unknown>();
  const statement = (mask: string) => {
    const known = statements.get(mask);
    if (known !== undefined) return known;
    const values = [...mask].map((flag) => (flag === 'r' ? 'CAST(? AS TEXT)' : '?'));
    const prepared = database.prepare(
      `INSERT INTO ${table} (${names.join(', ')}) VALUES (${values.join(', ')})`,
    );
    const run = (bound: unknown[]) => prepared.run(...bound);
    statements.set(mask, run);
    return run;
  };
  const plain = '-'.repeat(names.length);
  return (row: readonly SqlValue[]) => {
    const isRaw = row.map((value) => value !== null && typeof value === 'object' && 'rawText' in value);
    const mask = isRaw.includes(true) ? isRaw.map((raw) => (raw ? 'r' : '-')).join('') : plain;
    statement(mask)(
      row.map((value) =>
        value !== null && typeof value === 'object' && 'rawText' in value ? value.rawText : value,
      ),
    );
  };
}
