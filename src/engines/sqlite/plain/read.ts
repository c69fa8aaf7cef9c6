import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { leftOut, primaryKeyOf, readColumns } from '../../plain/read-table.ts';
import {
  type PlainExport,
  type PlainForeignKey,
  type PlainIndex,
  type PlainTable,
  type PlainType,
  type PlainValue,
  type ReferenceAction,
  Unfit,
} from '../../plain/types.ts';
import {
  digitsOf,
  requireDate,
  requireTime,
  requireTimestamp,
  requireUuid,
  shown,
} from '../../plain/values.ts';
import type { BackupContent } from '../../types.ts';
import { quoteName } from '../database/catalog.ts';
import { closeQuietly, type Database, openDatabase, sqliteError } from '../database/driver.ts';
import { readSchemaDocument, type SchemaDocument, type TableDocument } from '../jsonl/schema-document.ts';
import { decodeValue, hasRealAffinity, type SqlValue } from '../jsonl/values.ts';

/** An export's tables. Their keys are asked of SQLite itself, which makes them in an empty database in memory. */
export async function readTables(content: BackupContent): Promise<PlainExport> {
  const schema = await readSchemaDocument(content);
  let database: Database | undefined;
  try {
    database = await openDatabase(':memory:', { readonly: false, create: true });
    const made = database;
    const isPlain = ({ type, sql }: SchemaDocument['objects'][number]) =>
      type === 'table' && !/^\s*CREATE\s+VIRTUAL\s/i.test(sql);
    const own = schema.objects.filter(({ name }) => !name.toLowerCase().startsWith('sqlite_'));
    const left = own.filter((object) => !isPlain(object) && object.type !== 'index');
    for (const { sql } of own.filter(isPlain)) database.prepare(sql).run();
    const odd: string[] = [];
    for (const { type, name, sql } of own) {
      if (type !== 'index') continue;
      try {
        database.prepare(sql).run();
      } catch {
        // On a function of the application's, or on a table that is not here.
        odd.push(name);
      }
    }
    return {
      tables: schema.tables
        .filter(({ kind }) => kind === 'table')
        .map((table) => readTable(made, table, schema)),
      losses: [
        ...left.map(({ type, name }) => `not translated: ${type} ${name}`),
        ...odd.map((name) => `not translated: index ${name}`),
      ],
    };
  } catch (error) {
    throw sqliteError(error, 'corrupt', 'read schema.json', DOCUMENT_MEMBER);
  } finally {
    closeQuietly(database);
  }
}

function readTable(
  database: Database,
  document: TableDocument,
  { objects, tables }: SchemaDocument,
): PlainTable {
  const stored = document.columns.filter(({ generated }) => !generated);
  const { columns, refusals, losses } = readColumns(stored, ({ type: declared }) => {
    const type = typeOf(declared);
    const real = hasRealAffinity(declared);
    return type && { type, decode: (json) => plainValue(decodeValue(JSON.parse(json), real), type) };
  });
  const sql = objects.find(({ type, name }) => type === 'table' && name === document.name)?.sql ?? '';
  const details = database.pragma(`table_xinfo(${quoteName(document.name)})`) as {
    name: string;
    dflt_value: string | null;
  }[];
  losses.push(
    ...leftOut(
      'generated columns',
      document.columns.filter(({ generated }) => generated),
    ),
    ...leftOut(
      'defaults',
      details.filter(({ dflt_value }) => dflt_value !== null),
    ),
  );
  if (/\bCHECK\s*\(/i.test(sql)) losses.push('CHECK constraints are left out');
  // A key that is NOT DEFERRABLE is checked at once, whatever follows.
  if (/(?<!\bNOT\s+)\bDEFERRABLE\s+INITIALLY\s+DEFERRED\b/i.test(sql))
    losses.push('foreign keys are no longer DEFERRABLE INITIALLY DEFERRED');
  const primaryKey = primaryKeyOf(stored);
  const [first] = primaryKey;
  const declared = stored.find(({ name }) => name === first)?.type.toUpperCase();
  const counts = primaryKey.length === 1 && declared === 'INTEGER' && document.rowid_key === undefined;
  return {
    label: document.name,
    name: document.name,
    recorded: document,
    columns,
    primaryKey,
    indexes: readIndexes(database, document.name, losses),
    foreignKeys: readForeignKeys(document, tables),
    ...(counts && !/\bWITHOUT\s+ROWID\b/i.test(sql) ? { serial: { column: first! } } : {}),
    otherKeys: document.rowid_key === undefined ? [] : [document.rowid_key],
    refusals,
    losses,
  };
}

function readIndexes(database: Database, table: string, losses: string[]): PlainIndex[] {
  const listed = database.pragma(`index_list(${quoteName(table)})`) as {
    name: string;
    unique: number;
    origin: string;
    partial: number;
  }[];
  return listed.flatMap(({ name, unique, origin, partial }): PlainIndex[] => {
    if (origin === 'pk') return [];
    const parts = database.pragma(`index_info(${quoteName(name)})`) as { name: string | null }[];
    if (partial === 1 || parts.some((part) => part.name === null)) {
      losses.push(`index ${name} is left out: it is not of plain columns`);
      return [];
    }
    const columns = parts.map((part) => part.name!);
    const isAutomatic = name.toLowerCase().startsWith('sqlite_');
    return [
      { name: isAutomatic ? `${table}_${columns.join('_')}_key` : name, unique: unique === 1, columns },
    ];
  });
}

interface ForeignRow {
  readonly id: number;
  readonly table: string;
  readonly from: string;
  readonly to: string | null;
  readonly on_update: ReferenceAction;
  readonly on_delete: ReferenceAction;
}

/** A key may write names of tables and columns in other letters, small or capital, than those have. */
function readForeignKeys(
  { name, foreign_keys }: TableDocument,
  tables: readonly TableDocument[],
): PlainForeignKey[] {
  const same = (one: string) => (other: { readonly name: string }) =>
    other.name.toLowerCase() === one.toLowerCase();
  const rows = foreign_keys as readonly ForeignRow[];
  return [...new Set(rows.map(({ id }) => id))].map((id) => {
    const parts = rows.filter((row) => row.id === id);
    const [{ table, on_update, on_delete }] = parts as [ForeignRow];
    const to = tables.find(same(table));
    const columns = parts.map(({ from }) => from);
    const references = parts.flatMap((part) =>
      part.to === null ? [] : [to?.columns.find(same(part.to))?.name ?? part.to],
    );
    const action = (text: string) =>
      (/^(CASCADE|SET NULL|SET DEFAULT|RESTRICT)$/.test(text) ? text : 'NO ACTION') as ReferenceAction;
    return {
      name: `${name}_${columns.join('_')}_fkey`,
      columns,
      table: to?.name ?? table,
      references,
      onDelete: action(on_delete),
      onUpdate: action(on_update),
    };
  });
}

/** What a declared type means, by section 3.1 of https://sqlite.org/datatype3.html and the names that people use. */
function typeOf(declared: string): PlainType | undefined {
  const type = declared.toUpperCase().replace(/\s+/g, ' ').trim();
  const digits = /^DECIMAL TEXT ?\((\d+), ?(\d+)\)$/.exec(type);
  if (digits) return { kind: 'decimal', precision: Number(digits[1]), scale: Number(digits[2]) };
  if (type === 'DECIMAL TEXT') return { kind: 'decimal' };
  if (/^UUID\b/.test(type)) return { kind: 'uuid' };
  if (/^JSONB?\b/.test(type)) return type.startsWith('JSONB') ? undefined : { kind: 'json' };
  if (/INT/.test(type)) return { kind: 'integer', bits: 64, unsigned: false };
  if (/CHAR|CLOB|TEXT/.test(type)) return { kind: 'text' };
  if (/BLOB/.test(type)) return { kind: 'bytes' };
  if (/REAL|FLOA|DOUB/.test(type)) return { kind: 'float', bits: 64 };
  if (/^BOOL(EAN)?$/.test(type)) return { kind: 'boolean' };
  if (type === 'DATE') return { kind: 'date' };
  if (/^TIME( ?\(\d\))?$/.test(type)) return { kind: 'time' };
  if (/^(TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE)$/.test(type)) return { kind: 'timestamp', zone: true };
  if (/^(DATETIME|TIMESTAMP)( ?\(\d\))?$/.test(type)) return { kind: 'timestamp', zone: false };
  if (/^(NUMERIC|DECIMAL)( ?\([\d, ]+\))?$/.test(type)) return { kind: 'decimal' };
  return undefined;
}

/** Any column can hold anything there: a value that is not of its column's type is none of a plain table. */
function plainValue(value: SqlValue, type: PlainType): PlainValue {
  if (value === null) return null;
  const is =
    typeof value === 'bigint' ? 'an integer' : typeof value === 'number' ? 'a real number' : 'a text';
  const wrong = (what: string) => new Unfit(`it holds ${what}, and its column is of another type`);
  if (Buffer.isBuffer(value)) {
    if (type.kind === 'bytes') return value;
    throw wrong('a blob');
  }
  if (typeof value === 'object') throw new Unfit('it is a text of bytes that are no text');
  switch (type.kind) {
    case 'integer':
      if (typeof value === 'bigint') return String(value);
      break;
    case 'decimal': {
      const digits = digitsOf(String(value));
      if (digits !== undefined || /^(NaN|-?Infinity)$/.test(String(value))) return String(value);
      throw new Unfit(`${shown(String(value))} is no number`);
    }
    case 'float':
      if (typeof value !== 'string') return Object.is(value, -0) ? '-0' : String(value);
      break;
    case 'boolean':
      if (value === 0n || value === 1n) return value === 1n;
      throw new Unfit(`${shown(String(value))} is neither 0 nor 1`);
    case 'text':
      if (typeof value === 'string') return value;
      break;
    case 'json':
      return String(value);
    case 'date':
      if (typeof value === 'string') return requireDate(value);
      break;
    case 'time':
      if (typeof value === 'string') return requireTime(value);
      break;
    case 'timestamp':
      if (typeof value === 'string') return requireTimestamp(value, type.zone);
      break;
    case 'uuid':
      if (typeof value === 'string') return requireUuid(value);
      break;
    default:
      break;
  }
  throw wrong(is);
}
