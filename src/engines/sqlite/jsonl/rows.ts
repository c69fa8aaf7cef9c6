import type { ColumnInfo, TableInfo } from '../database/catalog.ts';
import { listColumns, quoteName } from '../database/catalog.ts';
import type { Database } from '../database/driver.ts';
import type { SqlValue, TextEncoding } from './values.ts';
import { decodeText } from './values.ts';

/** How a table's rows are read and written: its stored columns, and the name that its rowid answers to. */
export interface RowShape {
  readonly table: string;
  /** Stored columns in their order; generated ones are computed again by the restored database. */
  readonly columns: readonly ColumnInfo[];
  /** `rowid`, `_rowid_` or `oid`, whichever no column is called; absent when nothing can address it. */
  readonly rowid?: string;
  /** The rowid is no column of the table, so that it has to be kept besides. */
  readonly keepsRowid: boolean;
}

export function rowShape(database: Database, table: TableInfo): RowShape {
  const columns = listColumns(database, table.name);
  const names = new Set(columns.map((column) => column.name.toLowerCase()));
  const rowid = table.withoutRowid ? undefined : ['_rowid_', 'rowid', 'oid'].find((name) => !names.has(name));
  return {
    table: table.name,
    columns: columns.filter((column) => !column.generated),
    ...(rowid === undefined ? {} : { rowid }),
    keepsRowid: rowid !== undefined && table.kind !== 'internal' && !hasRowidAlias(database, table.name),
  };
}

/** Does an INTEGER PRIMARY KEY column stand for the rowid? SQLite knows best: it has no index of its own. */
function hasRowidAlias(database: Database, table: string): boolean {
  const keys = listColumns(database, table).filter((column) => column.primaryKey > 0);
  if (keys.length !== 1 || keys[0]!.type.toUpperCase() !== 'INTEGER') return false;
  const indexes = database.pragma(`main.index_list(${quoteName(table)})`) as { origin: string }[];
  return !indexes.some((index) => index.origin === 'pk');
}

/**
 * The rows of a table in key order, each as its columns' values, then the rowid where `keepsRowid`.
 * Exact: text that is not valid comes as its bytes, which the driver alone would replace by U+FFFD.
 */
export function* readRows(
  database: Database,
  shape: RowShape,
  encoding: TextEncoding,
): Generator<SqlValue[]> {
  const from = `FROM main.${quoteName(shape.table)}`;
  const names = shape.columns.map((column) => quoteName(column.name));
  const exact = exactColumns(names, shape);
  if (encoding !== 'UTF-8' || shape.rowid === undefined) {
    const order = shape.rowid === undefined ? keyOrder(shape.columns) : `ORDER BY ${shape.rowid}`;
    const all = database.prepare(`SELECT ${exact} ${from} ${order}`).raw().safeIntegers();
    for (const row of all.iterate()) yield decodeRow(row as SqlValue[], shape, encoding);
    return;
  }
  const all = database
    .prepare(`SELECT ${[...names, shape.rowid].join(', ')} ${from} ORDER BY ${shape.rowid}`)
    .raw()
    .safeIntegers();
  const one = database.prepare(`SELECT ${exact} ${from} WHERE ${shape.rowid} = ?`).raw().safeIntegers();
  for (const row of all.iterate() as Iterable<SqlValue[]>) {
    // Only text with U+FFFD in it can have been replaced: then that row is read once more, as bytes.
    if (row.some((value) => typeof value === 'string' && value.includes('\ufffd'))) {
      yield decodeRow(one.get(row.at(-1)) as SqlValue[], shape, encoding);
    } else {
      if (!shape.keepsRowid) row.pop();
      yield row;
    }
  }
}

/** Each column twice, its storage class and its value, with text as bytes; then the rowid. */
function exactColumns(names: readonly string[], shape: RowShape): string {
  const pairs = names.flatMap((name) => [
    `typeof(${name})`,
    `CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) ELSE ${name} END`,
  ]);
  return [...pairs, ...(shape.keepsRowid ? [shape.rowid] : [])].join(', ');
}

function decodeRow(pairs: readonly SqlValue[], shape: RowShape, encoding: TextEncoding): SqlValue[] {
  const row: SqlValue[] = shape.columns.map((_, i) => {
    const value = pairs[2 * i + 1]!;
    return pairs[2 * i] === 'text' && Buffer.isBuffer(value) ? decodeText(value, encoding) : value;
  });
  if (shape.keepsRowid) row.push(pairs.at(-1)!);
  return row;
}

/** WITHOUT ROWID tables have a primary key; a table that hides all names of its rowid is read as it lies. */
function keyOrder(columns: readonly ColumnInfo[]): string {
  const keys = columns
    .filter((column) => column.primaryKey > 0)
    .sort((a, b) => a.primaryKey - b.primaryKey)
    .map((column) => quoteName(column.name));
  return keys.length > 0 ? `ORDER BY ${keys.join(', ')}` : '';
}
