import { identifier, literal, type Session } from './session.ts';

/**
 * How a column's values come in the server's text protocol. `number`: digits; `float`: digits, some of them
 * in words of their own (1e308, -0); `binary`: bytes; `text`: UTF-8.
 */
export type ColumnKind = 'number' | 'float' | 'binary' | 'text';

export interface ColumnInfo {
  readonly name: string;
  /** As it was declared: `decimal(12,2)`. */
  readonly type: string;
  /** The type's first word: `decimal`. */
  readonly dataType: string;
  /** Undefined: a type that is not known. */
  readonly kind?: ColumnKind;
  readonly nullable: boolean;
  /** Computed by the server: never written. */
  readonly generated: boolean;
  readonly default?: string;
  /** What SHOW COLUMNS says besides: `auto_increment`, `INVISIBLE` … */
  readonly extra: string;
  readonly charset?: string;
  readonly collation?: string;
  /** Position in the primary key, from 1; 0 outside of it. */
  readonly primaryKey: number;
}

/** Columns of all tables of a schema, in their order, by the table's name. */
export async function listColumns(
  session: Session,
  schema: string,
): Promise<ReadonlyMap<string, readonly ColumnInfo[]>> {
  const keys = await session.rows<{ t: string; c: string; n: string }>(
    `SELECT TABLE_NAME AS t, COLUMN_NAME AS c, SEQ_IN_INDEX AS n FROM information_schema.STATISTICS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND INDEX_NAME = 'PRIMARY'`,
  );
  const places = new Map(keys.map(({ t, c, n }) => [`${t}\0${c}`, Number(n)]));
  const rows = await session.rows<Record<string, string | null>>(
    `SELECT TABLE_NAME AS t, COLUMN_NAME AS c, DATA_TYPE AS data_type, COLUMN_TYPE AS type, IS_NULLABLE AS nullable,
      COLUMN_DEFAULT AS value, EXTRA AS extra, CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ${literal(schema)} ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
  const columns = new Map<string, ColumnInfo[]>();
  for (const row of rows) {
    const [table, name, dataType, extra] = [
      row['t']!,
      row['c']!,
      row['data_type']!.toLowerCase(),
      row['extra'],
    ];
    const kind = KINDS.get(dataType);
    const of = columns.get(table) ?? [];
    columns.set(table, of);
    of.push({
      name,
      type: row['type']!,
      dataType,
      ...(kind === undefined ? {} : { kind }),
      nullable: row['nullable'] === 'YES',
      // `DEFAULT_GENERATED` is a default that is an expression.
      generated: /\b(VIRTUAL|STORED|PERSISTENT)\b/i.test(extra ?? ''),
      ...(row['value'] == null ? {} : { default: row['value'] }),
      extra: extra ?? '',
      ...(row['charset'] == null ? {} : { charset: row['charset'] }),
      ...(row['collation'] == null ? {} : { collation: row['collation'] }),
      primaryKey: places.get(`${table}\0${name}`) ?? 0,
    });
  }
  return columns;
}

const TYPES: Record<ColumnKind, string> = {
  number: 'tinyint smallint mediumint int integer bigint decimal numeric year',
  float: 'float double real',
  binary:
    'bit binary varbinary tinyblob blob mediumblob longblob vector geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection geomcollection',
  text: 'char varchar tinytext text mediumtext longtext enum set json date time datetime timestamp uuid inet4 inet6',
};
const KINDS: ReadonlyMap<string, ColumnKind> = new Map(
  Object.entries(TYPES).flatMap(([kind, types]) =>
    types.split(' ').map((type): [string, ColumnKind] => [type, kind as ColumnKind]),
  ),
);

/**
 * A query of a table's stored columns, in the order of its primary key: the same rows always come in the same
 * order. A FLOAT as such would come with six digits; as a DOUBLE it comes with all that it has.
 */
export function rowsQuery(
  schema: string,
  table: string,
  columns: readonly ColumnInfo[],
  { partition, where }: { readonly partition?: string; readonly where?: string } = {},
): string {
  const values = columns.map(({ name, dataType }) =>
    dataType === 'float' ? `${identifier(name)} * 1e0` : identifier(name),
  );
  const key = columns.filter(({ primaryKey }) => primaryKey > 0).sort((a, b) => a.primaryKey - b.primaryKey);
  const order = key.map(({ name }) => identifier(name)).join(', ');
  return [
    `SELECT ${values.join(', ')} FROM ${identifier(schema)}.${identifier(table)}`,
    ...(partition === undefined ? [] : [`PARTITION (${identifier(partition)})`]),
    ...(key.length === 0 ? [] : ['FORCE INDEX (PRIMARY)']),
    ...(where === undefined ? [] : [`WHERE ${where}`]),
    ...(key.length === 0 ? [] : [`ORDER BY ${order}`]),
  ].join(' ');
}
