import { createHash } from 'node:crypto';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { memberName } from '../../jsonl/member-name.ts';
import { uniqueName } from '../../plain/names.ts';
import {
  type PlainTable,
  type PlainType,
  type PlainWriter,
  type PlannedColumn,
  Unfit,
  type WrittenTable,
} from '../../plain/types.ts';
import { decimalText, digitsOf, requireDigits, requireRange, shown } from '../../plain/values.ts';
import {
  columnDocuments,
  foreignKeyClause,
  nameList,
  refuseSameNames,
  writtenFacts,
} from '../../plain/write-table.ts';
import { quoteName, type SchemaObject } from '../database/catalog.ts';
import { SCHEMA_FORMAT, type SchemaDocument, type TableDocument } from '../jsonl/schema-document.ts';
import { encodeValue, VALUE_ENCODING } from '../jsonl/values.ts';

/** So many decimal digits come out of a double as they went in. */
const EXACT_DIGITS = 15;
const [MIN_INTEGER, MAX_INTEGER] = [-(2n ** 63n), 2n ** 63n - 1n];

/** Plain tables in SQLite. */
export const plainWriter: PlainWriter = {
  plan: (table) => ({
    columns: table.columns.map(({ name, type }) =>
      isRowid(table, name) ? { ...columnOf(type), type: 'INTEGER' } : columnOf(type),
    ),
    refusals: [
      ...(/^sqlite_/i.test(table.name) ? ['names that begin with sqlite_ are SQLite’s own'] : []),
      // It folds the letters of ASCII alone.
      ...refuseSameNames(table, (name) => name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())),
    ],
    losses: [],
  }),
  describe,
  memberName: (table, taken) => memberName(table.name.toLowerCase(), taken),
  tableName: ({ name }) => name,
};

/** A single integer key is the rowid, which counts by itself. */
function isRowid({ primaryKey, columns }: PlainTable, name: string): boolean {
  const type = columns.find((column) => column.name === name)?.type;
  return primaryKey.length === 1 && primaryKey[0] === name && type?.kind === 'integer';
}

/** Types are named so that their affinity changes no value: what is exact only as text has TEXT in its name. */
function columnOf(type: PlainType): PlannedColumn {
  const text = (declared: string, suffix = ''): PlannedColumn => ({
    type: declared,
    encode: (value) => encodeValue(`${value}${suffix}`, false),
  });
  switch (type.kind) {
    case 'integer':
      return {
        type: type.bits === 64 && type.unsigned ? 'BIGINT UNSIGNED' : 'INTEGER',
        encode(value) {
          requireRange(String(value), MIN_INTEGER, MAX_INTEGER);
          return encodeValue(BigInt(String(value)), false);
        },
      };
    case 'boolean':
      return { type: 'BOOLEAN', encode: (value) => (value === true ? '1' : '0') };
    case 'decimal':
      return decimal(type);
    case 'float':
      return { type: 'REAL', encode: (value) => encodeFloat(String(value)) };
    case 'text':
      return text(type.length === undefined ? 'TEXT' : `VARCHAR(${type.length})`);
    case 'bytes':
      return { type: 'BLOB', encode: (value) => encodeValue(value as Buffer, false) };
    case 'date':
      return text('DATE');
    case 'time':
      return text('TIME');
    case 'timestamp':
      return type.zone ? text('TIMESTAMPTZ', '+00:00') : text('DATETIME');
    case 'uuid':
      return text('UUID TEXT');
    case 'json':
      return text('JSON TEXT');
  }
}

/** A number where a double holds all of its digits, otherwise the text of them. */
function decimal({ precision, scale = 0 }: PlainType & { kind: 'decimal' }): PlannedColumn {
  const limited = precision !== undefined && scale >= 0 && scale <= precision;
  const digits = limited ? `(${precision},${scale})` : '';
  if (!limited || precision > EXACT_DIGITS) {
    return {
      type: `DECIMAL TEXT${digits}`,
      encode: (value) => JSON.stringify(String(value)),
    };
  }
  return {
    type: `DECIMAL${digits}`,
    encode(value) {
      requireDigits(String(value), precision, scale);
      const exact = digitsOf(String(value))!;
      if (exact.fraction === '') return encodeValue(BigInt(decimalText(exact)), false);
      return encodeValue(Number(decimalText(exact)), false);
    },
  };
}

function encodeFloat(text: string): string {
  const number = Number(text);
  if (Number.isNaN(number)) throw new Unfit(`${shown(text)}: SQLite has no NaN, it would be NULL`);
  // A real number without a fraction is stored as an integer, and those have no -0.
  if (Object.is(number, -0)) throw new Unfit(`${shown(text)}: SQLite would make 0 of it`);
  return encodeValue(number, true);
}

function describe(written: readonly WrittenTable[]) {
  const taken = new Set(written.map(({ table }) => table.name.toLowerCase()));
  const objects: SchemaObject[] = written.flatMap(({ table, planned }) => [
    {
      type: 'table' as const,
      name: table.name,
      table: table.name,
      sql: createTable(table, planned.columns, written),
    },
    ...table.indexes.map(({ name: wanted, unique, columns }) => {
      const own = /^sqlite_/i.test(wanted) || taken.has(wanted.toLowerCase());
      const name = uniqueName(own ? `${table.name}_${columns.join('_')}_key` : wanted, taken, 200);
      return {
        type: 'index' as const,
        name,
        table: table.name,
        sql: `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${quoteName(name)} ON ${quoteName(table.name)} (${list(columns)})`,
      };
    }),
  ]);
  const counters = countersTable(written);
  const document: SchemaDocument = {
    format: SCHEMA_FORMAT,
    version: 1,
    sqlite_version: '',
    encoding: 'UTF-8',
    page_size: 4096,
    auto_vacuum: 0,
    user_version: 0,
    application_id: 0,
    journal_mode: 'delete',
    value_encoding: VALUE_ENCODING,
    tables: [
      ...counters.map(({ document: counter }) => counter),
      ...written.map(
        (one): TableDocument => ({
          name: one.table.name,
          ...one.recorded,
          kind: 'table',
          columns: columnDocuments(one),
          foreign_keys: [],
          indexes: [],
        }),
      ),
    ],
    objects,
  };
  return {
    files: [
      { path: DOCUMENT_MEMBER, bytes: Buffer.from(`${JSON.stringify(document)}\n`), format: 'json' },
      ...counters.map(({ document: { member }, bytes }) => ({ path: member, bytes, format: 'jsonl' })),
    ],
    facts: writtenFacts(written),
  };
}

/** SQLite's own table of the last numbers that AUTOINCREMENT has given; none where nothing counts. */
function countersTable(
  written: readonly WrittenTable[],
): { readonly document: TableDocument; readonly bytes: Buffer }[] {
  const counting = written.filter(
    ({ table, next }) => next !== undefined && next <= MAX_INTEGER && isCounter(table),
  );
  if (counting.length === 0) return [];
  const lines = counting.map(
    ({ table, next }) =>
      `{"name":${JSON.stringify(table.name)},"seq":${encodeValue((next ?? 1n) - 1n, false)}}\n`,
  );
  const bytes = Buffer.from(lines.join(''));
  const column = (name: string) => ({ name, type: '', not_null: false, primary_key: 0, generated: false });
  const document: TableDocument = {
    name: 'sqlite_sequence',
    member: 'sqlite_sequence.jsonl',
    kind: 'internal',
    rows: counting.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    columns: [column('name'), column('seq')],
    foreign_keys: [],
    indexes: [],
  };
  return [{ document, bytes }];
}

function isCounter(table: PlainTable): boolean {
  return table.serial !== undefined && isRowid(table, table.serial.column);
}

function list(columns: readonly string[]): string {
  return nameList(columns, quoteName);
}

function createTable(
  table: PlainTable,
  columns: readonly PlannedColumn[],
  written: readonly WrittenTable[],
): string {
  const lines = table.columns.map(({ name, notNull }, at) => {
    const parts = [quoteName(name), columns[at]!.type];
    if (isRowid(table, name)) {
      parts.push('PRIMARY KEY');
      if (isCounter(table)) parts.push('AUTOINCREMENT');
    }
    if (notNull) parts.push('NOT NULL');
    return parts.join(' ');
  });
  const [first] = table.primaryKey;
  if (first !== undefined && !isRowid(table, first)) lines.push(`PRIMARY KEY (${list(table.primaryKey)})`);
  for (const key of table.foreignKeys) {
    const clause = foreignKeyClause(key, written, quoteName);
    if (clause !== undefined) lines.push(`CONSTRAINT ${quoteName(key.name)} ${clause}`);
  }
  return `CREATE TABLE ${quoteName(table.name)} (\n  ${lines.join(',\n  ')}\n)`;
}
