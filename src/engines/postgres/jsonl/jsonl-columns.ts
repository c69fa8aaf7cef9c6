import type { TableInfo } from '../server/catalog.ts';
import { identifier, literal, type Session } from '../server/session.ts';

/** How the values of a column stand in JSON. */
export type ColumnForm =
  /** As `to_json` has it: a number, true or false, otherwise the value's text. */
  | 'plain'
  /** `jsonb`: a container, number or boolean as itself; what is a string or null in JSON, as its JSON text. */
  | 'json'
  /** An array of plain values: a JSON array where it has one dimension from 1, else PostgreSQL's own text of it. */
  | 'array'
  /** PostgreSQL's own text: `json` (its blanks are its own), composite values, types of extensions
   * (which may have an idea of JSON of their own), types that somebody casts his own way, arrays of what is not plain. */
  | 'text';

export interface ColumnDocument {
  readonly name: string;
  readonly type: string;
  readonly form: ColumnForm;
  readonly not_null: boolean;
  /** Position in the primary key, from 1; 0 outside of it. */
  readonly primary_key: number;
  readonly generated: boolean;
  readonly identity: boolean;
  readonly default?: string;
  /** Of an array: the type of its elements. */
  readonly element?: string;
  /** Of a domain: the type that it is made of. */
  readonly base?: string;
  /** Its values are the labels of an enum. */
  readonly enumerated?: true;
  /** Somebody's function makes its type of text, or text or JSON of it: a cast would give what that thinks. */
  readonly own_cast?: true;
}

/** What the words of `form` mean, for readers of the files. */
export const VALUE_ENCODING: Readonly<Record<ColumnForm, string>> = {
  plain:
    'null, true, false, a number in full precision, otherwise the text that PostgreSQL writes (NaN and Infinity too, bytea as \\x and hex)',
  json: 'objects, arrays, numbers and booleans as they are; JSON strings and JSON null as their JSON text in a string; null is SQL NULL',
  array: "an array, or the text '{…}' in a string where it has several dimensions or does not begin at 1",
  text: "PostgreSQL's text of the value in a string",
};

/** As the server makes it: what is not there is null. */
type Nulls<T> = { readonly [Key in keyof T]: T[Key] | (undefined extends T[Key] ? null : never) };

interface Row {
  readonly oid: string;
  readonly column: ColumnDocument;
}

/** Whether a type has casts of somebody's own to or from what values are written as. */
const hasOwnCast = (
  type: string,
) => `EXISTS (SELECT FROM pg_catalog.pg_cast own WHERE own.oid >= 16384 AND own.castmethod = 'f'
  AND (own.castsource = ${type} AND own.casttarget IN ('text'::pg_catalog.regtype, 'json'::pg_catalog.regtype)
    OR own.casttarget = ${type} AND own.castsource = 'text'::pg_catalog.regtype))`;

/** The columns of many tables, by the tables' oid, in their order. */
export async function listColumns(
  session: Session,
  tables: readonly TableInfo[],
): Promise<ReadonlyMap<string, readonly ColumnDocument[]>> {
  const columns = new Map<string, ColumnDocument[]>(tables.map(({ oid }) => [oid, []]));
  if (tables.length === 0) return columns;
  // A domain is what it is made of, through any number of domains.
  const rows = await session.rows<Row>(`
    WITH RECURSIVE base (oid, base, mod) AS (
      SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
      UNION ALL SELECT t.oid, b.base, CASE WHEN b.oid = b.base THEN t.typtypmod ELSE b.mod END FROM pg_catalog.pg_type t JOIN base b ON t.typtype = 'd' AND t.typbasetype = b.oid)
    SELECT a.attrelid::pg_catalog.text AS oid, pg_catalog.jsonb_build_object(
      'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'form', CASE
        WHEN t.oid = 'jsonb'::pg_catalog.regtype THEN 'json'
        WHEN t.oid = 'json'::pg_catalog.regtype OR t.typtype = 'c' OR t.typtype = 'b' AND t.oid >= 16384 AND t.typelem = 0 THEN 'text'
        WHEN t.typcategory = 'A' THEN
          CASE WHEN e.typtype IN ('b', 'e') AND e.typcategory <> 'A' AND (e.typtype = 'e' OR e.oid < 16384)
            AND t.oid IN (SELECT direct.typarray FROM pg_catalog.pg_type direct WHERE direct.oid = t.typelem)
            AND e.oid NOT IN ('json'::pg_catalog.regtype, 'jsonb'::pg_catalog.regtype) AND NOT ${hasOwnCast('e.oid')} THEN 'array' ELSE 'text' END
        WHEN t.oid >= 16384 AND ${hasOwnCast('t.oid')} THEN 'text'
        ELSE 'plain' END,
      'not_null', a.attnotnull, 'generated', a.attgenerated <> '', 'identity', a.attidentity <> '',
      'primary_key', coalesce((SELECT pg_catalog.array_position(x.indkey::pg_catalog.int2[], a.attnum) + 1
        FROM pg_catalog.pg_index x WHERE x.indrelid = a.attrelid AND x.indisprimary), 0),
      'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
      'base', CASE WHEN t.oid <> a.atttypid THEN pg_catalog.format_type(t.oid, b.mod) END, 'enumerated', t.typtype = 'e',
      'own_cast', ${hasOwnCast('t.oid')},
      'element', CASE WHEN t.typelem <> 0 THEN pg_catalog.format_type(t.typelem, a.atttypmod) END) AS "column"
    FROM pg_catalog.pg_attribute a JOIN base b ON b.oid = a.atttypid JOIN pg_catalog.pg_type t ON t.oid = b.base
    LEFT JOIN base eb ON eb.oid = t.typelem LEFT JOIN pg_catalog.pg_type e ON e.oid = eb.base
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ANY (${literal(`{${tables.map(({ oid }) => oid).join(',')}}`)}::pg_catalog.oid[])
      AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`);
  for (const { oid, column } of rows) {
    const { default: value, element, base, enumerated, own_cast, ...rest } = column as Nulls<ColumnDocument>;
    columns.get(oid)?.push({
      ...rest,
      ...(value === null || value === undefined ? {} : { default: value }),
      ...(element == null || rest.form !== 'array' ? {} : { element }),
      ...(base == null ? {} : { base }),
      ...(enumerated ? { enumerated } : {}),
      ...(own_cast ? { own_cast } : {}),
    });
  }
  return columns;
}

/** A query that gives a table's rows as one JSON object each. */
export function exportQuery(table: TableInfo, columns: readonly ColumnDocument[]): string {
  const from = `ONLY ${identifier(table.schema)}.${identifier(table.table)}`;
  const values = columns.map((column) => `${exportValue(column)} AS ${identifier(column.name)}`);
  if (values.length === 0) return `SELECT '{}' FROM ${from} t`;
  return `SELECT pg_catalog.row_to_json(dguard_row.*) FROM (SELECT ${values.join(', ')} FROM ${from} t) dguard_row`;
}

function exportValue({ name, form, own_cast }: ColumnDocument): string {
  const value = `t.${identifier(name)}`;
  // What the type itself writes. A row of nulls is one: IS NULL would take it for none.
  const written = own_cast
    ? `CASE WHEN ${value} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', ${value}) END`
    : `${value}::pg_catalog.text`;
  const text = `pg_catalog.to_json(${written})`;
  if (form === 'plain') return value;
  if (form === 'text') return written;
  if (form === 'array') {
    // Also {} has no dimension and no bound.
    return `CASE WHEN pg_catalog.array_dims(${value}) ~ '^\\[1:\\d+\\]$' OR pg_catalog.cardinality(${value}) = 0
      THEN pg_catalog.to_json(${value}) ELSE ${text} END`;
  }
  return `CASE WHEN pg_catalog.jsonb_typeof(${value}::pg_catalog.jsonb) IN ('string', 'null') THEN ${text}
    ELSE pg_catalog.to_json(${value}::pg_catalog.jsonb) END`;
}

/** A statement that inserts the rows that stand as JSON in the column `j` of `from`. Generated columns make themselves. */
export function importStatement(
  table: { readonly schema: string; readonly table: string },
  columns: readonly ColumnDocument[],
  from: string,
): string {
  const stored = columns.filter(({ generated }) => !generated);
  const into = `${identifier(table.schema)}.${identifier(table.table)}`;
  if (stored.length === 0) {
    // A table without columns has rows nevertheless.
    return `INSERT INTO ${into} SELECT FROM ${from}`;
  }
  const names = stored.map(({ name }) => identifier(name)).join(', ');
  return `INSERT INTO ${into} (${names}) OVERRIDING SYSTEM VALUE SELECT ${stored.map(importValue).join(', ')} FROM ${from}`;
}

/** A value of its text by the type's own reader: as an element of an array, which no cast is asked for. */
function asRead(text: string, type: string, ownCast: true | undefined): string {
  if (!ownCast || type.endsWith('[]')) return `(${text})::${type}`;
  const quoted = `pg_catalog.regexp_replace(${text}, ${literal('(["\\\\])')}, ${literal('\\\\\\1')}, 'g')`;
  return `(('{"' || ${quoted} || '"}')::${type}[])[1]`;
}

function importValue({ name, type, form, element, own_cast }: ColumnDocument): string {
  const key = literal(name);
  const text = asRead(`j->>${key}`, type, own_cast);
  if (form === 'array') {
    const items = `pg_catalog.json_array_elements_text(j->${key}) WITH ORDINALITY AS e (v, n)`;
    return `CASE pg_catalog.json_typeof(j->${key}) WHEN 'array'
      THEN (SELECT coalesce(pg_catalog.array_agg(e.v::${element} ORDER BY e.n), '{}')::${type} FROM ${items}) ELSE ${text} END`;
  }
  if (form !== 'json') return text;
  return `CASE WHEN pg_catalog.json_typeof(j->${key}) IN ('string', 'null') THEN ${text} ELSE (j->${key})::pg_catalog.text::${type} END`;
}
