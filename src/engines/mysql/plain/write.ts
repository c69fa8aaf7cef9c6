import { memberName } from '../../jsonl/member-name.ts';
import { uniqueName } from '../../plain/names.ts';
import {
  type PlainForeignKey,
  type PlainTable,
  type PlainType,
  type PlainValue,
  type PlainWriter,
  type PlannedColumn,
  type PlannedTable,
  type ReferenceAction,
  Unfit,
  type WrittenTable,
} from '../../plain/types.ts';
import { digitsOf, requireDigits, shown } from '../../plain/values.ts';
import {
  columnDocuments,
  foreignKeyClause,
  nameList,
  referredColumns,
  refuseLongNames,
  refuseSameNames,
  writtenFacts,
} from '../../plain/write-table.ts';
import type { SourceFacts } from '../facts.ts';
import {
  type ColumnDocument,
  type ColumnForm,
  DOCUMENT_FORMAT,
  SCHEMA_MEMBER,
  type SchemaDocument,
  TRIGGERS_MEMBER,
  VALUE_ENCODING,
} from '../jsonl/jsonl-document.ts';
import { identifier } from '../server/session.ts';

/** InnoDB, 16 KiB pages, DYNAMIC rows: so many bytes has a key, so many a row beside its long columns. */
const KEY_BYTES = 3072;
const ROW_BYTES = 60_000;
const CHAR_BYTES = 4;
const NAME_CHARS = 64;

/**
 * Plain tables in MySQL and MariaDB. Text has a binary collation: values that differ are different there, too. Each
 * value is held against its column here: rows are loaded without the strict mode, which would cut what is too long.
 */
export const plainWriter: PlainWriter = {
  plan,
  describe,
  memberName: (table, taken) => memberName(table.name.toLowerCase(), taken),
  tableName: ({ name }) => name,
};

interface MysqlColumn extends PlannedColumn {
  readonly form: ColumnForm;
}

function plan(table: PlainTable, all: readonly PlainTable[]): PlannedTable {
  const losses: string[] = [];
  const refusals = [
    ...refuseLongNames(table, NAME_CHARS, 'characters', (name) => [...name].length),
    ...refuseSameNames(table, (name) => name.toLowerCase()),
  ];
  const keyed = keyLengths(table, all);
  let room = ROW_BYTES;
  const columns = table.columns.map((column): MysqlColumn => {
    const { type, name } = column;
    if (type.kind === 'timestamp' && type.zone)
      losses.push(`column ${name} has a time zone: it becomes datetime in UTC`);
    if (type.kind === 'decimal' && !fitsDecimal(type)) losses.push(`column ${name} becomes decimal(65,30)`);
    if (type.kind === 'uuid') losses.push(`column ${name} is a uuid: it becomes char(36)`);
    if (type.kind === 'text' || type.kind === 'bytes') {
      const unit = type.kind === 'text' ? CHAR_BYTES : 1;
      const limit = keyed.get(name);
      const length = limit === undefined ? type.length : Math.min(type.length ?? limit, limit);
      const short = length !== undefined && length * unit <= Math.min(KEY_BYTES, room);
      if (short) room -= length * unit;
      if (limit !== undefined && (type.length === undefined || type.length > limit)) {
        losses.push(
          `column ${name} is in a key: it holds ${length} ${type.kind === 'text' ? 'characters' : 'bytes'} at most`,
        );
      }
      return sized(type, short ? length : undefined);
    }
    return columnOf(type);
  });
  if (table.serial !== undefined && !isLeading(table, table.serial.column))
    losses.push(`column ${table.serial.column} no longer counts by itself: it leads no key`);
  for (const { name, onDelete, onUpdate } of table.foreignKeys)
    if ([onDelete, onUpdate].includes('SET DEFAULT'))
      losses.push(`foreign key ${name}: SET DEFAULT becomes NO ACTION`);
  return { columns, losses, refusals };
}

/** A counter has to be the first of a key. */
function isLeading({ primaryKey, indexes }: PlainTable, column: string): boolean {
  return primaryKey[0] === column || indexes.some(({ columns }) => columns[0] === column);
}

/** How many characters or bytes the columns of keys may have, so that each key fits. */
function keyLengths(table: PlainTable, all: readonly PlainTable[]): Map<string, number> {
  const limits = new Map<string, number>();
  const keys = [
    table.primaryKey,
    ...table.indexes.map(({ columns }) => columns),
    ...table.foreignKeys.map(({ columns }) => columns),
    ...referredColumns(table, all),
  ];
  for (const key of keys) {
    const parts = table.columns.filter(({ name }) => key.includes(name));
    const long = parts.filter(({ type }) => type.kind === 'text' || type.kind === 'bytes');
    const fixed = (parts.length - long.length) * 40;
    for (const { name, type } of long) {
      const unit = type.kind === 'text' ? CHAR_BYTES : 1;
      const share = Math.floor((KEY_BYTES - fixed) / long.length / unit);
      limits.set(name, Math.min(limits.get(name) ?? share, share));
    }
  }
  return limits;
}

function fitsDecimal({ precision, scale }: { precision?: number; scale?: number }): boolean {
  if (precision === undefined) return false;
  const places = scale ?? 0;
  return precision <= 65 && places >= 0 && places <= 30 && places <= precision;
}

/** Text or bytes, of a limited length or not. */
function sized(type: PlainType & { kind: 'text' | 'bytes' }, length: number | undefined): MysqlColumn {
  const isText = type.kind === 'text';
  const name =
    length === undefined
      ? isText
        ? 'longtext'
        : 'longblob'
      : `${isText ? 'varchar' : 'varbinary'}(${length})`;
  return {
    type: name,
    form: isText ? 'text' : 'base64',
    encode(value) {
      if (Buffer.isBuffer(value)) {
        if (length !== undefined && value.length > length) throw tooLong(value.length, length, 'bytes');
        return JSON.stringify(value.toString('base64'));
      }
      const text = String(value);
      if (length !== undefined && text.length > length && [...text].length > length)
        throw tooLong([...text].length, length, 'characters');
      return JSON.stringify(text);
    },
  };
}

function tooLong(has: number, holds: number, unit: string): Unfit {
  return new Unfit(`it has ${has} ${unit}, and ${holds} are the most that a key's column holds`);
}

const INTEGERS = { 8: 'tinyint', 16: 'smallint', 24: 'mediumint', 32: 'int', 64: 'bigint' } as const;

function columnOf(type: Exclude<PlainType, { kind: 'text' | 'bytes' }>): MysqlColumn {
  const text = (value: Exclude<PlainValue, null>) => JSON.stringify(String(value));
  switch (type.kind) {
    case 'integer':
      return {
        type: `${INTEGERS[type.bits]}${type.unsigned ? ' unsigned' : ''}`,
        form: 'number',
        encode: String,
      };
    case 'boolean':
      return { type: 'tinyint(1)', form: 'number', encode: (value) => (value === true ? '1' : '0') };
    case 'decimal': {
      const [precision, scale] = fitsDecimal(type) ? [type.precision!, type.scale ?? 0] : [65, 30];
      return {
        type: `decimal(${precision},${scale})`,
        form: 'number',
        encode(value) {
          requireDigits(String(value), precision, scale);
          return String(value);
        },
      };
    }
    case 'float':
      return {
        type: type.bits === 32 ? 'float' : 'double',
        form: 'float',
        encode(value) {
          if (digitsOf(String(value)) === undefined)
            throw new Unfit(`${shown(String(value))} is no number there`);
          return String(value);
        },
      };
    case 'date':
      return { type: 'date', form: 'text', encode: text };
    case 'time':
      return { type: 'time(6)', form: 'text', encode: text };
    case 'timestamp':
      return { type: 'datetime(6)', form: 'text', encode: text };
    case 'uuid':
      return { type: 'char(36)', form: 'text', encode: text };
    case 'json':
      // MySQL's own type would make doubles of large numbers, and put the keys in another order.
      return { type: 'longtext', form: 'text', encode: text };
  }
}

function describe(written: readonly WrittenTable[]) {
  const constraints = new Set<string>();
  const document: SchemaDocument = {
    format: DOCUMENT_FORMAT,
    version: 1,
    server_version: '',
    value_encoding: VALUE_ENCODING,
    tables: written.map((one) => ({
      table: one.table.name,
      ...one.recorded,
      columns: columnDocuments(one).map(
        (column, at): ColumnDocument => ({ ...column, form: (one.planned.columns[at] as MysqlColumn).form }),
      ),
      indexes: one.table.indexes,
      foreign_keys: [],
    })),
  };
  const tables = written.map(createTable);
  // After the rows, which then are held against them.
  const keys = written.flatMap(({ table }) =>
    table.foreignKeys.flatMap((key) => {
      const clause = foreignKeyClause(withoutDefaults(key), written, identifier);
      if (clause === undefined) return [];
      const name = identifier(uniqueName(key.name, constraints, NAME_CHARS));
      return [`ALTER TABLE ${identifier(table.name)} ADD CONSTRAINT ${name} ${clause};\n`];
    }),
  );
  const file = (path: string, text: string, format: string) => ({ path, bytes: Buffer.from(text), format });
  const facts: SourceFacts = {
    flavour: 'mysql',
    // Of none: nothing is to be said about how it differs from the target's.
    version: '',
    schema: '',
    charset: 'utf8mb4',
    collation: 'utf8mb4_bin',
    lower_case_table_names: 0,
    counts: 'exact',
    non_transactional: [],
    without_rows: [],
  };
  return {
    files: [
      file(SCHEMA_MEMBER, `SET NAMES utf8mb4;\n${tables.join('')}`, 'sql'),
      file(TRIGGERS_MEMBER, `SET foreign_key_checks = 1;\n${keys.join('')}`, 'sql'),
      file('schema.json', `${JSON.stringify(document)}\n`, 'json'),
    ],
    facts: { ...writtenFacts(written), engine: { ...facts } },
  };
}

function createTable({ table, planned, next }: WrittenTable): string {
  const names = (list: readonly string[]) => nameList(list, identifier);
  const serial =
    table.serial !== undefined && isLeading(table, table.serial.column) ? table.serial.column : undefined;
  const taken = new Set<string>(['primary']);
  const lines = table.columns.map(({ name, notNull, type }, at) => {
    const parts = [identifier(name), planned.columns[at]!.type];
    if (notNull || table.primaryKey.includes(name)) parts.push('NOT NULL');
    else parts.push('NULL');
    if (name === serial) parts.push('AUTO_INCREMENT');
    if (type.kind === 'json') parts.push(`CHECK (json_valid(${identifier(name)}))`);
    return parts.join(' ');
  });
  if (table.primaryKey.length > 0) lines.push(`PRIMARY KEY (${names(table.primaryKey)})`);
  for (const { name, unique, columns } of table.indexes) {
    lines.push(
      `${unique ? 'UNIQUE ' : ''}KEY ${identifier(uniqueName(name, taken, NAME_CHARS))} (${names(columns)})`,
    );
  }
  const counter = serial === undefined || next === undefined || next < 1n ? '' : ` AUTO_INCREMENT=${next}`;
  return `CREATE TABLE ${identifier(table.name)} (\n  ${lines.join(',\n  ')}\n) ENGINE=InnoDB${counter} DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n`;
}

/** InnoDB knows no SET DEFAULT. */
function withoutDefaults(key: PlainForeignKey): PlainForeignKey {
  const known = (action: ReferenceAction) => (action === 'SET DEFAULT' ? 'NO ACTION' : action);
  return { ...key, onDelete: known(key.onDelete), onUpdate: known(key.onUpdate) };
}
