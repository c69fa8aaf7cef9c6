import { createHash } from 'node:crypto';
import type { TableFact } from '../../types.ts';
import type { Database } from './driver.ts';

/** `virtual`: a module's (FTS5, R-Tree); `shadow`: where it keeps its data; `internal`: `sqlite_…`. */
export type TableKind = 'table' | 'virtual' | 'shadow' | 'internal';

export interface TableInfo {
  readonly name: string;
  readonly kind: TableKind;
  readonly withoutRowid: boolean;
}

export interface ColumnInfo {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** Position in the primary key, from 1; 0 outside of it. */
  readonly primaryKey: number;
  readonly generated: boolean;
}

/** All tables of the main database, in the order of their creation. */
export function listTables(database: Database): TableInfo[] {
  const order = database
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    .pluck()
    .all() as string[];
  const listed = database.pragma('main.table_list') as { name: string; type: string; wr: number }[];
  const byName = new Map(listed.map((row) => [row.name, row]));
  return order.map((name) => {
    const row = byName.get(name);
    return { name, kind: tableKind(name, row?.type), withoutRowid: row?.wr === 1 };
  });
}

function tableKind(name: string, type: string | undefined): TableKind {
  if (name.toLowerCase().startsWith('sqlite_')) return 'internal';
  return type === 'virtual' || type === 'shadow' ? type : 'table';
}

/** Columns in their order; the hidden ones of virtual tables are left out. */
export function listColumns(database: Database, table: string): ColumnInfo[] {
  const rows = database.pragma(`main.table_xinfo(${quoteName(table)})`) as {
    name: string;
    type: string;
    notnull: number;
    pk: number;
    hidden: number;
  }[];
  return rows
    .filter((row) => row.hidden !== 1)
    .map((row) => ({
      name: row.name,
      type: row.type,
      notNull: row.notnull === 1,
      primaryKey: row.pk,
      generated: row.hidden === 2 || row.hidden === 3,
    }));
}

/**
 * Rows of every table that a person would name: ordinary and virtual ones. A virtual table whose module
 * is not in this build of SQLite has no count.
 */
export function countTables(database: Database, tables: readonly TableInfo[]): TableFact[] {
  return tables
    .filter((table) => table.kind === 'table' || table.kind === 'virtual')
    .map((table) => {
      try {
        return { name: table.name, rows: countRows(database, table.name) };
      } catch (error) {
        if (table.kind !== 'virtual') throw error;
        return { name: table.name };
      }
    });
}

export function countRows(database: Database, table: string): number {
  return database
    .prepare(`SELECT count(*) FROM main.${quoteName(table)}`)
    .pluck()
    .get() as number;
}

export interface SchemaObject {
  readonly type: 'table' | 'index' | 'trigger' | 'view';
  readonly name: string;
  readonly table: string;
  readonly sql: string;
}

/** The CREATE statements, in the order in which they were issued; automatic indexes have none. */
export function listSchema(database: Database): SchemaObject[] {
  return database
    .prepare(
      'SELECT type, name, tbl_name AS "table", sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid',
    )
    .all() as SchemaObject[];
}

/**
 * SHA-256 over the sorted CREATE statements, line ends and outer white space normalised. SQLite's own
 * tables are left out: statistics come and go with ANALYZE.
 */
export function schemaHash(database: Database): string {
  const lines = listSchema(database)
    .filter((object) => !object.name.toLowerCase().startsWith('sqlite_'))
    .map(({ type, name, table, sql }) =>
      JSON.stringify([type, name, table, sql.replace(/\r\n?/g, '\n').trim()]),
    )
    .sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/** The modules of the virtual tables (`fts5`, `rtree`): a restore needs them in its SQLite. */
export function listModules(database: Database): string[] {
  const modules = listSchema(database)
    .map((object) => /^\s*CREATE\s+VIRTUAL\s+TABLE\b[\s\S]*?\bUSING\s+["'`[]?(\w+)/i.exec(object.sql)?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(modules.map((name) => name.toLowerCase()))].sort();
}

/** An identifier as SQL text. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
