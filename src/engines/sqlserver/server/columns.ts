import type { TableInfo } from './catalog.ts';
import type { Session } from './session.ts';
import { identifier, literal, qualified } from './sql.ts';

/** A column as `schema.json` has it. */
export interface ColumnDocument {
  readonly name: string;
  /** As a definition says it: `nvarchar(40)`, `decimal(18,4)`. */
  readonly type: string;
  readonly nullable: boolean;
  readonly collation?: string;
  readonly identity?: { readonly seed: string; readonly increment: string };
  /** The expression of a computed column, which has no value in the rows. */
  readonly computed?: string;
  readonly persisted?: boolean;
  readonly default?: { readonly name: string; readonly sql: string };
  /** A rowversion: the server makes its values, and they are not in the rows. */
  readonly generated?: boolean;
}

export interface RawColumn {
  readonly type: string;
  readonly max_length: number;
  readonly precision: number;
  readonly scale: number;
}

/** The type as a definition says it. max_length is in bytes: two for each character of Unicode types; -1 is max. */
export function typeText({ type, max_length: bytes, precision, scale }: RawColumn): string {
  if (['char', 'varchar', 'binary', 'varbinary'].includes(type))
    return `${type}(${bytes < 0 ? 'max' : bytes})`;
  if (['nchar', 'nvarchar'].includes(type)) return `${type}(${bytes < 0 ? 'max' : bytes / 2})`;
  if (['decimal', 'numeric'].includes(type)) return `${type}(${precision},${scale})`;
  if (['datetime2', 'datetimeoffset', 'time'].includes(type)) return `${type}(${scale})`;
  return type;
}

/** How each kind of type is written, in words: `value_encoding` of `schema.json`. */
export const VALUE_ENCODING: Readonly<Record<string, string>> = {
  'tinyint, smallint, int, bigint, decimal, numeric, money, smallmoney': 'number, every digit written',
  'float, real': 'number with 17 (9) digits: the same bits come back',
  bit: 'true or false',
  'char, varchar, nchar, nvarchar, text, ntext, xml, uniqueidentifier, hierarchyid': 'string',
  'date, time, datetime, datetime2, smalldatetime, datetimeoffset': 'string, ISO 8601',
  'binary, varbinary, image, geometry, geography': 'string of hexadecimal digits after 0x',
  sql_variant: 'string: its base type is lost',
};

type Kind = 'number' | 'boolean' | 'string';

/** The column as text, and what that text is in JSON. */
export function exportExpression(column: Pick<ColumnDocument, 'name' | 'type'>): { sql: string; kind: Kind } {
  const name = identifier(column.name);
  const [base] = column.type.split('(') as [string];
  switch (base) {
    case 'bit':
      return { sql: `CONVERT(varchar(1), ${name})`, kind: 'boolean' };
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'decimal':
    case 'numeric':
      return { sql: `CONVERT(varchar(48), ${name})`, kind: 'number' };
    case 'money':
    case 'smallmoney':
      return { sql: `CONVERT(varchar(48), ${name}, 2)`, kind: 'number' };
    case 'float':
    case 'real':
      return { sql: `CONVERT(varchar(48), ${name}, 3)`, kind: 'number' };
    case 'date':
    case 'datetime':
    case 'smalldatetime':
    case 'datetime2':
    case 'datetimeoffset':
      return { sql: `CONVERT(varchar(40), ${name}, 126)`, kind: 'string' };
    case 'time':
      return { sql: `CONVERT(varchar(20), ${name})`, kind: 'string' };
    case 'binary':
    case 'varbinary':
      return { sql: `CONVERT(varchar(max), ${name}, 1)`, kind: 'string' };
    case 'image':
      return { sql: `CONVERT(varchar(max), CONVERT(varbinary(max), ${name}), 1)`, kind: 'string' };
    case 'geometry':
    case 'geography':
      return { sql: `CONVERT(varchar(max), ${name}.Serialize(), 1)`, kind: 'string' };
    case 'hierarchyid':
      return { sql: `${name}.ToString()`, kind: 'string' };
    case 'xml':
      return { sql: `CONVERT(nvarchar(max), ${name}, 1)`, kind: 'string' };
    case 'uniqueidentifier':
      return { sql: `CONVERT(char(36), ${name})`, kind: 'string' };
    default:
      return { sql: `CONVERT(nvarchar(max), ${name})`, kind: 'string' };
  }
}

/** The way back: from the text `source` to the column's type. */
export function importExpression(column: Pick<ColumnDocument, 'type'>, source: string): string {
  const [base] = column.type.split('(') as [string];
  switch (base) {
    case 'bit':
      return `CONVERT(bit, CASE ${source} WHEN N'true' THEN 1 WHEN N'false' THEN 0 END)`;
    case 'date':
    case 'datetime':
    case 'smalldatetime':
    case 'datetime2':
      return `CONVERT(${column.type}, ${source}, 126)`;
    case 'binary':
    case 'varbinary':
      return `CONVERT(${column.type}, ${source}, 1)`;
    case 'image':
      return `CONVERT(varbinary(max), ${source}, 1)`;
    case 'geometry':
    case 'geography':
      // A CLR type is read from its own serialisation by a cast.
      return `CONVERT(${base}, CONVERT(varbinary(max), ${source}, 1))`;
    case 'hierarchyid':
      return `hierarchyid::Parse(${source})`;
    case 'xml':
      return `CONVERT(xml, ${source}, 1)`;
    default:
      return `CONVERT(${column.type}, ${source})`;
  }
}

/** One line of JSONL. `values` are the texts of `exportExpression`, in the order of the columns. */
export function rowLine(
  columns: readonly { readonly name: string; readonly kind: Kind }[],
  values: readonly (string | null)[],
): string {
  const fields = columns.map(
    ({ name, kind }, at) => `${JSON.stringify(name)}:${jsonValue(kind, values[at] ?? null)}`,
  );
  return `{${fields.join(',')}}\n`;
}

function jsonValue(kind: Kind, text: string | null): string {
  if (text === null) return 'null';
  if (kind === 'string') return JSON.stringify(text);
  if (kind === 'boolean') return text === '1' ? 'true' : 'false';
  return jsonNumber(text);
}

/** `-.5`, `5.`, `1.5e+003` as JSON allows them; every digit stays. */
export function jsonNumber(text: string): string {
  const match = /^\s*(-?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?)(\d+))?\s*$/.exec(text);
  if (match === null || (match[2] === '' && (match[3] ?? '') === '')) throw new Error(`${text} is no number`);
  const [, sign, whole, fraction = '', exponentSign = '', exponent] = match;
  const digits = whole === '' ? '0' : whole!.replace(/^0+(?=\d)/, '');
  return `${sign}${digits}${fraction === '' ? '' : `.${fraction}`}${exponent === undefined ? '' : `e${exponentSign}${exponent}`}`;
}

/** The columns of a table in their order, of the database that the session is in. */
export async function readColumns(session: Session, { schema, table }: TableInfo): Promise<ColumnDocument[]> {
  const rows = await session.rows<Record<string, string | number | boolean | null>>(
    `SELECT c.name, t.name AS type, CONVERT(int, c.max_length) AS max_length, CONVERT(int, c.precision) AS precision,
      CONVERT(int, c.scale) AS scale, c.is_nullable, c.collation_name,
      CONVERT(nvarchar(40), i.seed_value) AS seed, CONVERT(nvarchar(40), i.increment_value) AS step,
      k.definition AS computed, k.is_persisted, d.name AS default_name, d.definition AS default_sql
    FROM sys.columns c
      JOIN sys.types t ON t.user_type_id = c.system_type_id
        OR (c.system_type_id = 240 AND t.user_type_id = c.user_type_id)
      LEFT JOIN sys.identity_columns i ON i.object_id = c.object_id AND i.column_id = c.column_id
      LEFT JOIN sys.computed_columns k ON k.object_id = c.object_id AND k.column_id = c.column_id
      LEFT JOIN sys.default_constraints d ON d.object_id = c.default_object_id
    WHERE c.object_id = OBJECT_ID(${literal(qualified(schema, table))}) ORDER BY c.column_id`,
  );
  return rows.map((row): ColumnDocument => {
    const text = (field: string) => (row[field] == null ? undefined : String(row[field]));
    const type = typeText(row as unknown as RawColumn);
    const isGenerated = type === 'timestamp';
    const collation = text('collation_name');
    const computed = text('computed');
    const seed = text('seed');
    const defaultSql = text('default_sql');
    return {
      name: text('name')!,
      type,
      nullable: row['is_nullable'] === true || row['is_nullable'] === 1,
      ...(collation === undefined ? {} : { collation }),
      ...(seed === undefined ? {} : { identity: { seed, increment: text('step') ?? '1' } }),
      ...(computed === undefined ? {} : { computed, persisted: row['is_persisted'] === true }),
      ...(defaultSql === undefined ? {} : { default: { name: text('default_name') ?? '', sql: defaultSql } }),
      ...(isGenerated ? { generated: true } : {}),
    };
  });
}

/** Those whose values are in the rows. */
export function storedColumns(columns: readonly ColumnDocument[]): ColumnDocument[] {
  return columns.filter(({ computed, generated }) => computed === undefined && generated !== true);
}
