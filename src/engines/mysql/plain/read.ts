import { memberText } from '../../member-text.ts';
import { leftOut, primaryKeyOf, type ReadColumn, readColumns } from '../../plain/read-table.ts';
import type { PlainExport, PlainForeignKey, PlainTable, PlainType, PlainValue } from '../../plain/types.ts';
import { Unfit } from '../../plain/types.ts';
import {
  decimalText,
  digitsOf,
  jsonString,
  requireDate,
  requireInteger,
  requireTime,
  requireTimestamp,
  requireUuid,
  shown,
} from '../../plain/values.ts';
import type { BackupContent } from '../../types.ts';
import {
  type ColumnDocument,
  readDocument,
  SCHEMA_MEMBER,
  type TableDocument,
  TRIGGERS_MEMBER,
} from '../jsonl/jsonl-document.ts';
import { codeNames, type Definition, readDefinitions } from './definitions.ts';

/** An export's tables. What `schema.json` does not say of keys is in the definitions beside it. */
export async function readTables(content: BackupContent): Promise<PlainExport> {
  const document = await readDocument(content);
  const schema = await textOf(content, SCHEMA_MEMBER);
  const definitions = readDefinitions(schema);
  const exported = new Set(document.tables.map(({ table }) => table));
  const rowless = [...definitions.keys()].filter((name) => !exported.has(name));
  const code = codeNames(`${schema}\n${await textOf(content, TRIGGERS_MEMBER)}`);
  return {
    tables: document.tables.map((table) => readTable(table, definitions.get(table.table))),
    losses: [
      ...code.map((what) => `not translated: ${what}`),
      ...(rowless.length === 0
        ? []
        : [`not translated, as the backup has no rows of it: table ${rowless.join(', ')}`]),
    ],
  };
}

async function textOf(content: BackupContent, path: string): Promise<string> {
  const entry = await content.entry(path);
  return entry === undefined ? '' : memberText(content, entry);
}

function readTable(document: TableDocument, definition: Definition | undefined): PlainTable {
  const stored = document.columns.filter(({ generated }) => !generated);
  const { columns, refusals, losses } = readColumns(stored, readColumn);
  losses.push(
    ...leftOut(
      'generated columns',
      document.columns.filter(({ generated }) => generated),
    ),
    ...leftOut(
      'defaults',
      stored.filter((column) => column.default !== undefined && column.default !== 'NULL'),
    ),
  );
  if ((definition?.checks.length ?? 0) > 0) losses.push(`CHECK constraints are left out`);
  const names = new Set(columns.map(({ name }) => name));
  const odd = new Set(definition?.oddKeys ?? []);
  const keys = document.indexes.filter(({ name }) => name !== 'PRIMARY');
  const kept = keys.filter(
    ({ name, columns: parts }) => !odd.has(name) && parts.every((part) => names.has(part)),
  );
  losses.push(
    ...leftOut(
      'indexes',
      keys.filter((key) => !kept.includes(key)),
    ),
  );
  const serial = stored.find(({ extra }) => /auto_increment/i.test(extra ?? ''));
  return {
    label: document.table,
    name: document.table,
    recorded: document,
    columns,
    primaryKey: primaryKeyOf(document.columns),
    indexes: kept,
    foreignKeys: document.foreign_keys.map((key): PlainForeignKey => {
      const actions = definition?.actions.get(key.name);
      return {
        name: key.name,
        columns: key.columns,
        table: key.references.table,
        references: key.references.columns,
        onDelete: actions?.onDelete ?? 'NO ACTION',
        onUpdate: actions?.onUpdate ?? 'NO ACTION',
      };
    }),
    ...(serial === undefined
      ? {}
      : {
          serial: {
            column: serial.name,
            ...(definition?.next === undefined ? {} : { next: definition.next }),
          },
        }),
    otherKeys: [],
    refusals,
    losses,
  };
}

const INTEGERS: Readonly<Record<string, 8 | 16 | 24 | 32 | 64>> = {
  tinyint: 8,
  smallint: 16,
  mediumint: 24,
  int: 32,
  integer: 32,
  bigint: 64,
};

function readColumn({ type, form }: ColumnDocument): ReadColumn | undefined {
  const [, word = '', first, second] = /^(\w+)(?:\((\d+)(?:,(\d+))?\))?/.exec(type.toLowerCase()) ?? [];
  const unsigned = /\bunsigned\b|\bzerofill\b/i.test(type);
  const plain = (of: PlainType, decode: (text: string) => PlainValue): ReadColumn => ({
    type: of,
    decode: (json) => decode(form === 'number' || form === 'float' ? json : jsonString(json)),
  });
  const bits = INTEGERS[word];
  if (bits !== undefined) {
    // Zerofill: zeros in front.
    return plain({ kind: 'integer', bits, unsigned }, (text) => trimmed(requireInteger(text)));
  }
  const length = first === undefined ? {} : { length: Number(first) };
  switch (word) {
    case 'year':
      return plain({ kind: 'integer', bits: 16, unsigned: false }, (text) => trimmed(requireInteger(text)));
    case 'decimal':
    case 'numeric':
      return plain({ kind: 'decimal', precision: Number(first ?? 10), scale: Number(second ?? 0) }, trimmed);
    case 'float':
      return plain({ kind: 'float', bits: 32 }, floatText);
    case 'double':
    case 'real':
      return plain({ kind: 'float', bits: 64 }, floatText);
    case 'bit':
      return first === '1' ? plain({ kind: 'boolean' }, (text) => bytesOf(text).at(-1) === 1) : undefined;
    case 'binary':
    case 'varbinary':
      return plain({ kind: 'bytes', ...length }, bytesOf);
    case 'tinyblob':
    case 'blob':
    case 'mediumblob':
    case 'longblob':
      return plain({ kind: 'bytes' }, bytesOf);
    case 'char':
    case 'varchar':
      return plain({ kind: 'text', ...length }, (text) => text);
    case 'tinytext':
    case 'text':
    case 'mediumtext':
    case 'longtext':
      return plain({ kind: 'text' }, (text) => text);
    case 'enum':
    case 'set':
    case 'inet4':
    case 'inet6':
      return { ...plain({ kind: 'text' }, (text) => text), becomes: 'text' };
    case 'date':
      return plain({ kind: 'date' }, requireDate);
    case 'time':
      return plain({ kind: 'time' }, requireTime);
    case 'datetime':
      return plain({ kind: 'timestamp', zone: false }, (text) => requireTimestamp(text, false));
    case 'timestamp':
      // It was read in UTC.
      return plain({ kind: 'timestamp', zone: true }, (text) => requireTimestamp(text, false));
    case 'uuid':
      return plain({ kind: 'uuid' }, requireUuid);
    case 'json':
      return plain({ kind: 'json' }, (text) => text);
    default:
      return undefined;
  }
}

function trimmed(text: string): string {
  const digits = digitsOf(text);
  if (digits === undefined) throw new Unfit(`${shown(text)} is no number`);
  return decimalText(digits);
}

function floatText(text: string): string {
  if (digitsOf(text) === undefined) throw new Unfit(`${shown(text)} is no number`);
  // Zerofill.
  return text.replace(/^(-?)0+(?=\d)/, '$1');
}

function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Unfit('it is not base64');
  return bytes;
}
