import type { TableInfo } from './catalog.ts';
import type { ColumnDocument } from './columns.ts';
import type { Session } from './session.ts';
import { identifier, literal, qualified } from './sql.ts';

/** A table's keys and indexes, as statements that make them again, in the order in which they can be. */
export interface TableStatements {
  /** After the rows: indexes, unique ones and the primary key among them, and checks. */
  readonly keys: readonly string[];
  /** After all tables. */
  readonly foreignKeys: readonly string[];
}

/** A table with its columns and nothing else. */
export function createTableStatement(
  schema: string,
  table: string,
  columns: readonly ColumnDocument[],
): string {
  return `CREATE TABLE ${qualified(schema, table)} (${columns.map(columnText).join(', ')})`;
}

function columnText(column: ColumnDocument): string {
  const name = identifier(column.name);
  if (column.computed !== undefined)
    return `${name} AS ${column.computed}${column.persisted ? ' PERSISTED' : ''}`;
  const parts = [name, column.type];
  if (column.collation !== undefined) parts.push(`COLLATE ${column.collation}`);
  if (column.identity) parts.push(`IDENTITY(${column.identity.seed}, ${column.identity.increment})`);
  if (column.type !== 'timestamp') parts.push(column.nullable ? 'NULL' : 'NOT NULL');
  if (column.default)
    parts.push(`CONSTRAINT ${identifier(column.default.name)} DEFAULT ${column.default.sql}`);
  return parts.join(' ');
}

interface IndexRow {
  readonly name: string;
  readonly type: string;
  readonly is_unique: boolean;
  readonly is_primary_key: boolean;
  readonly is_unique_constraint: boolean;
  readonly filter: string | null;
  readonly column: string;
  readonly is_descending: boolean;
  readonly is_included: boolean;
}

/** Rows of the catalog (one for each column of an index) as statements. */
export function indexStatements(schema: string, table: string, rows: readonly IndexRow[]): string[] {
  const on = qualified(schema, table);
  const byName = groupByName(rows);
  const statements = [...byName].map(([name, columns]) => {
    const [first] = columns as [IndexRow];
    const keys = columns
      .filter((column) => !column.is_included)
      .map((column) => `${identifier(column.column)}${column.is_descending ? ' DESC' : ''}`);
    const included = columns.filter((column) => column.is_included).map(({ column }) => identifier(column));
    const clustered = first.type === 'CLUSTERED' ? 'CLUSTERED' : 'NONCLUSTERED';
    if (first.is_primary_key || first.is_unique_constraint) {
      const kind = first.is_primary_key ? 'PRIMARY KEY' : 'UNIQUE';
      const sql = `ALTER TABLE ${on} ADD CONSTRAINT ${identifier(name)} ${kind} ${clustered} (${keys.join(', ')})`;
      return { sql, clustered };
    }
    const sql = [
      `CREATE ${first.is_unique ? 'UNIQUE ' : ''}${clustered} INDEX ${identifier(name)} ON ${on} (${keys.join(', ')})`,
      ...(included.length === 0 ? [] : [`INCLUDE (${included.join(', ')})`]),
      ...(first.filter === null ? [] : [`WHERE ${first.filter}`]),
    ].join(' ');
    return { sql, clustered };
  });
  // A clustered one rebuilds all others: first.
  return statements
    .sort((a, b) => (a.clustered < b.clustered ? -1 : a.clustered > b.clustered ? 1 : 0))
    .map(({ sql }) => sql);
}

function groupByName<R extends { readonly name: string }>(rows: readonly R[]): Map<string, R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) groups.set(row.name, [...(groups.get(row.name) ?? []), row]);
  return groups;
}

interface ForeignKeyRow {
  readonly name: string;
  readonly column: string;
  readonly to_schema: string;
  readonly to_table: string;
  readonly to_column: string;
  readonly on_delete: string;
  readonly on_update: string;
  readonly is_disabled: boolean;
  readonly is_not_trusted: boolean;
}

export function foreignKeyStatements(
  schema: string,
  table: string,
  rows: readonly ForeignKeyRow[],
): string[] {
  return [...groupByName(rows)].flatMap(([name, columns]) => {
    const [first] = columns as [ForeignKeyRow];
    const action = (word: string) => word.replaceAll('_', ' ');
    const check = first.is_not_trusted ? 'WITH NOCHECK' : 'WITH CHECK';
    const on = qualified(schema, table);
    return [
      `ALTER TABLE ${on} ${check} ADD CONSTRAINT ${identifier(name)} FOREIGN KEY (${columns.map(({ column }) => identifier(column)).join(', ')}) REFERENCES ${qualified(first.to_schema, first.to_table)} (${columns.map((each) => identifier(each.to_column)).join(', ')}) ON DELETE ${action(first.on_delete)} ON UPDATE ${action(first.on_update)}`,
      ...(first.is_disabled ? [`ALTER TABLE ${on} NOCHECK CONSTRAINT ${identifier(name)}`] : []),
    ];
  });
}

/** Keys, indexes (row stores with a B-tree), checks and foreign keys of a table. */
export async function readTableStatements(
  session: Session,
  { schema, table }: TableInfo,
): Promise<TableStatements> {
  const id = `OBJECT_ID(${literal(qualified(schema, table))})`;
  const indexes = await session.rows<IndexRow>(
    `SELECT i.name, i.type_desc AS type, i.is_unique, i.is_primary_key, i.is_unique_constraint,
      i.filter_definition AS filter, COL_NAME(c.object_id, c.column_id) AS [column],
      c.is_descending_key AS is_descending, c.is_included_column AS is_included
    FROM sys.indexes i JOIN sys.index_columns c ON c.object_id = i.object_id AND c.index_id = i.index_id
    WHERE i.object_id = ${id} AND i.type IN (1, 2) AND i.is_hypothetical = 0
    ORDER BY i.index_id, c.key_ordinal, c.index_column_id`,
  );
  const checks = await session.rows<{ name: string; sql: string; off: boolean; untrusted: boolean }>(
    `SELECT name, definition AS sql, is_disabled AS off, is_not_trusted AS untrusted
      FROM sys.check_constraints WHERE parent_object_id = ${id} ORDER BY name`,
  );
  const foreign = await session.rows<ForeignKeyRow>(
    `SELECT f.name, COL_NAME(c.parent_object_id, c.parent_column_id) AS [column],
      OBJECT_SCHEMA_NAME(f.referenced_object_id) AS to_schema, OBJECT_NAME(f.referenced_object_id) AS to_table,
      COL_NAME(c.referenced_object_id, c.referenced_column_id) AS to_column,
      f.delete_referential_action_desc AS on_delete, f.update_referential_action_desc AS on_update,
      f.is_disabled, f.is_not_trusted
    FROM sys.foreign_keys f JOIN sys.foreign_key_columns c ON c.constraint_object_id = f.object_id
    WHERE f.parent_object_id = ${id} ORDER BY f.name, c.constraint_column_id`,
  );
  const on = qualified(schema, table);
  return {
    keys: [
      ...indexStatements(schema, table, indexes),
      ...checks.flatMap(({ name, sql, off, untrusted }) => [
        `ALTER TABLE ${on} ${untrusted ? 'WITH NOCHECK' : 'WITH CHECK'} ADD CONSTRAINT ${identifier(name)} CHECK ${sql}`,
        ...(off ? [`ALTER TABLE ${on} NOCHECK CONSTRAINT ${identifier(name)}`] : []),
      ]),
    ],
    foreignKeys: foreignKeyStatements(schema, table, foreign),
  };
}

/** Views, functions, procedures and triggers with their text, in an order that mostly works. */
export interface CodeDocument {
  readonly kind: string;
  readonly schema: string;
  readonly name: string;
  /** Null: encrypted at the server. */
  readonly sql: string | null;
  readonly quoted_identifier: boolean;
  readonly ansi_nulls: boolean;
}

export async function readCode(session: Session): Promise<CodeDocument[]> {
  return await session.rows<CodeDocument>(
    `SELECT RTRIM(o.type) AS kind, s.name AS [schema], o.name, m.definition AS sql,
      m.uses_quoted_identifier AS quoted_identifier, m.uses_ansi_nulls AS ansi_nulls
    FROM sys.sql_modules m JOIN sys.objects o ON o.object_id = m.object_id
      JOIN sys.schemas s ON s.schema_id = o.schema_id
    WHERE o.is_ms_shipped = 0 AND o.type IN ('V', 'FN', 'IF', 'TF', 'P', 'TR')
    ORDER BY CASE RTRIM(o.type) WHEN 'FN' THEN 1 WHEN 'IF' THEN 2 WHEN 'TF' THEN 2 WHEN 'V' THEN 3 WHEN 'P' THEN 4
      ELSE 5 END, o.create_date, s.name, o.name`,
  );
}

/** What a JSONL export has no words for: counts of it, for a warning. */
export async function readUnheld(session: Session): Promise<string[]> {
  const [row] = await session.rows<Record<string, number>>(
    `SELECT (SELECT COUNT(*) FROM sys.sequences) AS sequences,
      (SELECT COUNT(*) FROM sys.types WHERE is_user_defined = 1) AS [types of the user's own],
      (SELECT COUNT(*) FROM sys.synonyms) AS synonyms,
      (SELECT COUNT(*) FROM sys.tables WHERE temporal_type = 2) AS [system versions of tables],
      (SELECT COUNT(*) FROM sys.assemblies WHERE is_user_defined = 1) AS assemblies,
      (SELECT COUNT(*) FROM sys.indexes i JOIN sys.tables t ON t.object_id = i.object_id WHERE i.type > 2) AS [special indexes],
      (SELECT COUNT(*) FROM sys.database_principals WHERE principal_id > 4 AND is_fixed_role = 0) AS [users and roles]`,
  );
  return Object.entries(row ?? {})
    .filter(([, count]) => Number(count) > 0)
    .map(([what, count]) => `${count} ${what}`);
}
