import type { TableFact } from '../../types.ts';
import { listCode } from './code.ts';
import { identifier, literal, type Session } from './session.ts';

export interface TableInfo {
  readonly name: string;
  readonly kind: 'table' | 'view' | 'sequence';
  readonly engine: string;
  /** Its rows can be read as of one moment. */
  readonly transactional: boolean;
  /** MariaDB keeps what its rows once were. */
  readonly versioned: boolean;
  /** Of data, as the server estimates it. */
  readonly sizeBytes: number;
  /** CREATE_TIME, in UTC: to the second. */
  readonly created?: string;
}

/** What all tables of dguard's own begin with. */
export const OWN_PREFIX = '__dguard_';

/** Schemas of the server's own. */
export const SYSTEM_SCHEMAS: readonly string[] = [
  'information_schema',
  'performance_schema',
  'mysql',
  'sys',
  'ndbinfo',
];

/** Tables, sequences and views of a schema, by name; dguard's own tables are not among them. */
export async function listTables(session: Session, schema: string): Promise<TableInfo[]> {
  const rows = await session.rows<Record<string, string | null>>(
    `SELECT t.TABLE_NAME AS name, t.TABLE_TYPE AS kind, t.ENGINE AS engine, e.TRANSACTIONS AS transactions,
      t.DATA_LENGTH AS size, t.CREATE_TIME AS created FROM information_schema.TABLES t
      LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = ${literal(schema)}`,
  );
  return rows
    .map((row) => ({
      name: row['name']!,
      kind: kindOf(row['kind'] ?? ''),
      engine: row['engine'] ?? '',
      transactional: row['transactions'] === 'YES' || row['kind'] === 'VIEW',
      versioned: row['kind'] === 'SYSTEM VERSIONED',
      sizeBytes: Number(row['size'] ?? 0),
      ...(row['created'] == null ? {} : { created: row['created'] }),
    }))
    .filter(({ name }) => !isOwnTable(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The parts that hold rows, subpartitions where there are some, in their order, by the table; of a schema, or of one
 * table of it. A table without parts is not there. (MySQL's CREATE_OPTIONS are silent about `PARTITION BY KEY ()`.)
 */
export async function listPartitions(
  session: Session,
  schema: string,
  table?: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await session.rows<{ t: string; p: string; s: string | null }>(
    `SELECT TABLE_NAME AS t, PARTITION_NAME AS p, SUBPARTITION_NAME AS s FROM information_schema.PARTITIONS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND PARTITION_NAME IS NOT NULL
        ${table === undefined ? '' : `AND TABLE_NAME = ${literal(table)}`}
      ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION`,
  );
  const found = new Map<string, string[]>();
  for (const { t, p, s } of rows) {
    const names = found.get(t) ?? [];
    found.set(t, names);
    names.push(s ?? p);
  }
  return found;
}

/** As both dump tools have it: what these show is in other tables, on other servers, or in files. */
const WITHOUT_OWN_ROWS = ['mrg_myisam', 'mrg_isam', 'connect', 'oqgraph', 'spider', 'vp', 'federated'];

/** Whether a dump has a table's rows; to write them back would write them wherever they come from, once more. */
export function hasOwnRows({ kind, engine }: Pick<TableInfo, 'kind' | 'engine'>): boolean {
  return kind === 'table' && !WITHOUT_OWN_ROWS.includes(engine.toLowerCase());
}

function isOwnTable(name: string): boolean {
  return name.toLowerCase().startsWith(OWN_PREFIX);
}

function kindOf(type: string): TableInfo['kind'] {
  if (type.endsWith('VIEW')) return 'view';
  return type === 'SEQUENCE' ? 'sequence' : 'table';
}

/**
 * Rows of each table, counted in the session's transaction. Every table's lock on its definition is given back
 * at once: one that were kept would make an ALTER wait for us, and everybody else, the dump tool too, for the ALTER.
 */
export async function countRows(
  session: Session,
  schema: string,
  tables: readonly TableInfo[],
): Promise<TableFact[]> {
  const facts: TableFact[] = [];
  for (const { name, kind } of tables) {
    if (kind !== 'table') continue;
    await session.run('SAVEPOINT dguard');
    const [row] = await session.rows<{ n: string }>(
      `SELECT COUNT(*) AS n FROM ${identifier(schema)}.${identifier(name)}`,
    );
    await session.run('ROLLBACK TO SAVEPOINT dguard');
    facts.push({ name, rows: Number(row!.n) });
  }
  return facts;
}

export interface SchemaFacts {
  readonly charset: string;
  readonly collation: string;
}

/** Default character set and collation of a schema; undefined when there is none of that name. */
export async function readSchema(session: Session, schema: string): Promise<SchemaFacts | undefined> {
  const [row] = await session.rows<{ charset: string; collation: string }>(
    `SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
      FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(schema)}`,
  );
  return row;
}

/** Bytes of data and indexes, as the server estimates them. */
export async function schemaSize(session: Session, schema: string): Promise<number | undefined> {
  const [row] = await session.rows<{ size: string | null }>(
    `SELECT SUM(DATA_LENGTH + INDEX_LENGTH) AS size FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = ${literal(schema)}`,
  );
  return row?.size == null ? undefined : Number(row.size);
}

/** Whether a schema holds nothing of anybody's. */
export async function isEmptySchema(session: Session, schema: string): Promise<boolean> {
  return (await listTables(session, schema)).length === 0 && (await listCode(session, schema)).length === 0;
}
