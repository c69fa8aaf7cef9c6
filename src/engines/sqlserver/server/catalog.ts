import { createHash } from 'node:crypto';
import type { Session } from './session.ts';
import { identifier } from './sql.ts';

/** Catalog of the database that the session is in. */

export interface TableInfo {
  readonly schema: string;
  readonly table: string;
  /** `schema.table`: how backups and patterns name it. */
  readonly name: string;
  /** As the server keeps count of them: right but for what is being changed just now. */
  readonly rows: number;
}

/** All tables of the user's, by name. */
export async function listTables(session: Session): Promise<TableInfo[]> {
  const rows = await session.rows<{ s: string; t: string; n: number | string | null }>(
    `SELECT s.name AS s, t.name AS t, (SELECT SUM(p.rows) FROM sys.partitions p
        WHERE p.object_id = t.object_id AND p.index_id IN (0, 1)) AS n
      FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE t.is_ms_shipped = 0`,
  );
  return rows
    .map(({ s, t, n }) => ({ schema: s, table: t, name: `${s}.${t}`, rows: Number(n ?? 0) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Exact rows of a table, in the session's transaction. */
export async function countRows(session: Session, { schema, table }: TableInfo): Promise<number> {
  const [row] = await session.rows<{ n: string | number }>(
    `SELECT COUNT_BIG(*) AS n FROM ${identifier(schema)}.${identifier(table)}`,
  );
  return Number(row!.n);
}

const DEFINITIONS = [
  `SELECT s.name AS a, o.name AS b, c.name AS c, TYPE_NAME(c.user_type_id) AS d,
      CONCAT(c.max_length, ' ', c.precision, ' ', c.scale, ' ', c.is_nullable, c.is_identity, c.is_computed) AS e,
      c.collation_name AS f
    FROM sys.columns c JOIN sys.objects o ON o.object_id = c.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id
    WHERE o.is_ms_shipped = 0 AND o.type IN ('U', 'V') ORDER BY s.name, o.name, c.column_id`,
  `SELECT s.name AS a, o.name AS b, o.type AS c, m.definition AS d FROM sys.sql_modules m
    JOIN sys.objects o ON o.object_id = m.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id
    WHERE o.is_ms_shipped = 0 ORDER BY s.name, o.name`,
  `SELECT s.name AS a, o.name AS b, i.name AS c, i.type_desc AS d, CONCAT(i.is_unique, i.is_primary_key) AS e,
      i.filter_definition AS f
    FROM sys.indexes i JOIN sys.objects o ON o.object_id = i.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id
    WHERE o.is_ms_shipped = 0 AND o.type = 'U' AND i.name IS NOT NULL ORDER BY s.name, o.name, i.name`,
];

/** SHA-256 over columns, code and indexes: the same for the same schema on servers of one version. */
export async function schemaHash(session: Session): Promise<string> {
  const hash = createHash('sha256');
  for (const query of DEFINITIONS) {
    for (const row of await session.rows(query)) hash.update(`${JSON.stringify(Object.values(row))}\n`);
    hash.update('\n');
  }
  return hash.digest('hex');
}
