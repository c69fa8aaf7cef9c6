import type { TableFact } from '../../types.ts';
import { identifier, literal, type Session } from './session.ts';
import { tableName } from './table-name.ts';

export interface TableInfo {
  readonly oid: string;
  readonly schema: string;
  readonly table: string;
  /** How backups and patterns name it. */
  readonly name: string;
  /** Only its partitions have rows. */
  readonly partitioned: boolean;
  /** Its rows lie in the partition that the hash of an enum says: another one in each database. */
  readonly hashed: boolean;
  readonly unlogged: boolean;
  /** The tables that it is a partition or a child of, by oid. */
  readonly parents: readonly string[];
}

/** Objects of the user's: not of the system, not of an extension. `alias` is the catalog's, `class` its name. */
export function ownObjects(alias: string, catalog: string): string {
  return `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend dep WHERE dep.deptype = 'e' AND dep.objid = ${alias}.oid
    AND dep.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass)`;
}

/** How the text of a restore's mark begins, as a pattern of LIKE, in SQL. */
export const MARKED = literal('{"dguard":%');

/** Schemas of the user's, of the alias `n`: neither the system's, nor those in which a restore keeps old rows. */
export const OWN_SCHEMA = `(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
  SELECT 1 FROM pg_catalog.pg_description kept WHERE kept.objoid = n.oid AND kept.objsubid = 0
    AND kept.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND kept.description LIKE ${MARKED}))`;

export async function isMissingSchema(session: Session, name: string): Promise<boolean> {
  const rows = await session.rows(
    `SELECT 1 AS one FROM pg_catalog.pg_namespace WHERE nspname = ${literal(name)}`,
  );
  return rows.length === 0;
}

/** Keeps whoever would alter, truncate or drop one of these tables waiting to the end of the transaction. */
export function tableLock(tables: readonly Pick<TableInfo, 'schema' | 'table'>[]): string {
  const names = tables.map(({ schema, table }) => `ONLY ${identifier(schema)}.${identifier(table)}`);
  return `LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`;
}

/** All tables, partitioned ones and partitions among them, in the order of their names. */
export async function listTables(session: Session): Promise<TableInfo[]> {
  const rows = await session.rows<Omit<TableInfo, 'name'>>(`
    SELECT c.oid::pg_catalog.text AS oid, n.nspname AS "schema", c.relname AS "table",
      c.relkind = 'p' AS partitioned, EXISTS (SELECT 1 FROM pg_catalog.pg_partitioned_table p
        JOIN pg_catalog.pg_opclass o ON o.oid = ANY (p.partclass) JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
        WHERE p.partrelid = c.oid AND m.amname = 'hash' AND o.opcname = 'enum_ops') AS hashed, c.relpersistence = 'u' AS unlogged,
      coalesce((SELECT pg_catalog.jsonb_agg(i.inhparent::pg_catalog.text)
        FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), '[]') AS parents
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_class')}
    ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`);
  return rows.map((row) => ({ ...row, name: tableName(row.schema, row.table) }));
}

/**
 * Where rows of a table are written in a copy of its database: into itself, or into the topmost table of which it is
 * a partition by the hash of an enum, which is one of its number in the catalog. pg_dump does so by itself
 * (`forcePartitionRootLoad`).
 */
export function placesOfRows(tables: readonly TableInfo[]): (table: TableInfo) => TableInfo {
  const known = new Map(tables.map((table) => [table.oid, table]));
  return (table) => {
    let place = table;
    const seen = new Set<string>();
    for (
      let at: TableInfo | undefined = table;
      at && !seen.has(at.oid);
      at = known.get(at.parents[0] ?? '')
    ) {
      seen.add(at.oid);
      if (at.hashed) place = at;
    }
    return place;
  };
}

/** How many tables are counted by one statement: a compromise between round trips and plans. */
const COUNTED_AT_ONCE = 50;

/**
 * Exact rows of each table, without those of its children and partitions: these are counted by themselves.
 * `inTransaction`: in the open transaction of the session, whose locks on the tables nobody who waits for them
 * can come before; behind a savepoint for each few tables, because the indexes that a count looks at stay locked
 * to its end, and those of thousands of tables at once are more than a server has room for.
 */
export async function countRows(
  session: Session,
  tables: readonly TableInfo[],
  inTransaction = false,
): Promise<{ name: string; rows: number }[]> {
  const facts: { name: string; rows: number }[] = [];
  const counted = tables.filter((table) => !table.partitioned);
  for (let at = 0; at < counted.length; at += COUNTED_AT_ONCE) {
    const batch = counted.slice(at, at + COUNTED_AT_ONCE);
    const parts = batch.map(
      ({ schema, table }, index) =>
        `SELECT ${index} AS i, (SELECT pg_catalog.count(*) FROM ONLY ${identifier(schema)}.${identifier(table)})::pg_catalog.text AS n`,
    );
    if (inTransaction) await session.run('SAVEPOINT counted');
    const rows = await session.rows<{ i: number; n: string }>(parts.join(' UNION ALL '));
    if (inTransaction) await session.run('ROLLBACK TO SAVEPOINT counted; RELEASE SAVEPOINT counted');
    for (const { i, n } of rows) facts.push({ name: batch[i]!.name, rows: Number(n) });
  }
  return facts.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Rows by the planner's statistics: nothing is read, and a table that was never analysed has none. */
export async function estimateRows(session: Session, tables: readonly TableInfo[]): Promise<TableFact[]> {
  const rows = await session.rows<{ oid: string; n: number }>(
    `SELECT c.oid::pg_catalog.text AS oid, c.reltuples AS n FROM pg_catalog.pg_class c
      WHERE c.relkind = 'r' AND c.reltuples >= 0`,
  );
  const known = new Map(rows.map(({ oid, n }) => [oid, Math.round(n)]));
  return tables
    .filter((table) => !table.partitioned)
    .map(({ oid, name }) => (known.has(oid) ? { name, rows: known.get(oid)! } : { name }));
}

/** A standby has no content of unlogged tables, and cannot even count it. */
export async function isStandby(session: Session): Promise<boolean> {
  const [row] = await session.rows<{ standby: boolean }>('SELECT pg_catalog.pg_is_in_recovery() AS standby');
  return row!.standby;
}

export async function countLargeObjects(session: Session): Promise<number> {
  const [row] = await session.rows<{ n: number }>(
    'SELECT pg_catalog.count(*) AS n FROM pg_catalog.pg_largeobject_metadata',
  );
  return row!.n;
}

/** Whether anything of a user's is in the database. */
export async function isEmptyDatabase(session: Session): Promise<boolean> {
  const [row] = await session.rows<{ used: boolean }>(`
    SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_class')})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_proc c JOIN pg_catalog.pg_namespace n ON n.oid = c.pronamespace
        WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_proc')})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_type c JOIN pg_catalog.pg_namespace n ON n.oid = c.typnamespace
        WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_type')})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE ${OWN_SCHEMA} AND n.nspname <> 'public'
        AND ${ownObjects('n', 'pg_namespace')})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_largeobject_metadata)
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql') AS used`);
  return !row!.used;
}
