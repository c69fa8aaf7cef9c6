import { leftOut, primaryKeyOf, type ReadColumn, readColumns } from '../../plain/read-table.ts';
import {
  type PlainExport,
  type PlainForeignKey,
  type PlainIndex,
  type PlainTable,
  type PlainType,
  type PlainValue,
  Unfit,
} from '../../plain/types.ts';
import {
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
import type { ColumnDocument } from '../jsonl/jsonl-columns.ts';
import type { SchemaDocument } from '../jsonl/jsonl-dump.ts';
import { readDocument } from '../jsonl/jsonl-load.ts';
import { tableName } from '../server/table-name.ts';
import { parseConstraint, parseIndex } from './definitions.ts';

type TableDocument = SchemaDocument['tables'][number];

/** An export's tables, of all schemas: the schema is no part of a name at the target. */
export async function readTables(content: BackupContent): Promise<PlainExport> {
  const document = await readDocument(content);
  const parents = (content.facts.engine?.['parents'] ?? {}) as Readonly<Record<string, readonly string[]>>;
  const partial = document.filled_views.map(({ schema, name }) => `${schema}.${name}`);
  return {
    tables: document.tables.map((table) => {
      const read = readTable(table, document);
      const of = parents[read.label] ?? [];
      const loss = `it is a part of ${of.join(', ')}, and stands by itself there`;
      return of.length === 0 ? read : { ...read, losses: [...read.losses, loss] };
    }),
    losses: [
      'not translated: views, functions, triggers, types, policies and grants, as far as there are any; dguard cat ID schema.dump has them',
      ...(partial.length > 0 ? [`not translated: materialised views ${partial.join(', ')}`] : []),
    ],
  };
}

function readTable(document: TableDocument, { sequences }: SchemaDocument): PlainTable {
  const { columns, refusals, losses } = readColumns(document.columns, readColumn);
  for (const { name, generated } of document.columns)
    if (generated) losses.push(`column ${name} is no longer generated: it has its values`);
  const serial = document.columns.find(({ identity, default: value }) => identity || isNextval(value));
  const defaults = document.columns.filter(
    (column) => column.default !== undefined && !column.generated && column !== serial,
  );
  const constraints = document.constraints.map(parseConstraint);
  losses.push(
    ...leftOut('defaults', defaults),
    ...leftOut(
      'constraints',
      constraints.filter(({ kind }) => kind === 'other'),
    ),
  );
  for (const one of constraints)
    if (one.kind === 'foreign' && one.lost) losses.push(`constraint ${one.name} is no longer ${one.lost}`);
  const named = new Set(columns.map(({ name }) => name));
  const primaryNames = new Set(constraints.flatMap(({ kind, name }) => (kind === 'primary' ? [name] : [])));
  const indexes: PlainIndex[] = [];
  for (const text of document.indexes) {
    const index = parseIndex(text);
    if (primaryNames.has(index.name)) continue;
    if (index.columns?.every((column) => named.has(column)))
      indexes.push({ name: index.name, unique: index.unique, columns: index.columns });
    else losses.push(`index ${index.name} is left out: it is not of plain columns`);
  }
  return {
    label: tableName(document.schema, document.table),
    name: document.table,
    recorded: document,
    columns,
    primaryKey: primaryKeyOf(document.columns),
    indexes,
    foreignKeys: constraints.flatMap((one): PlainForeignKey[] => (one.kind === 'foreign' ? [one.key] : [])),
    ...(serial === undefined
      ? {}
      : { serial: { column: serial.name, ...nextOf(document, serial, sequences) } }),
    otherKeys: [],
    refusals,
    losses,
  };
}

function isNextval(value: string | undefined): boolean {
  return value !== undefined && /^nextval\('/.test(value);
}

/** The next number, where the sequence can be told: one of an identity column is named after it, if nobody renamed it. */
function nextOf(
  { schema, table }: TableDocument,
  { name, default: value }: ColumnDocument,
  sequences: SchemaDocument['sequences'],
): { next?: bigint } {
  const own = /^nextval\('(.*)'::regclass\)$/.exec(value ?? '')?.[1]?.replaceAll('"', '');
  const wanted = own ?? `${schema}.${table}_${name}_seq`;
  const found = sequences.find((one) => `${one.schema}.${one.name}` === wanted);
  return found === undefined ? {} : { next: BigInt(found.last_value) + (found.is_called ? 1n : 0n) };
}

/** Types whose text says all of a value, and which others have no like of. */
const AS_TEXT =
  /^(interval|inet|cidr|macaddr8?|xml|name|bit( varying)?(\(\d+\))?|time(\(\d\))? with time zone)\b/;

function readColumn(column: ColumnDocument): ReadColumn | undefined {
  const { form, enumerated, base } = column;
  const type = base ?? column.type;
  const becomes = base === undefined ? {} : { becomes: `${base}, without the domain's checks` };
  const plain = (of: PlainType, decode: (json: string) => PlainValue): ReadColumn => ({
    type: of,
    decode,
    ...becomes,
  });
  const [, word = '', first, second] = /^([a-z ]+?)(?:\((-?\d+)(?:,(-?\d+))?\))?$/.exec(type) ?? [];
  const length = first === undefined ? {} : { length: Number(first) };
  if (form === 'json') return plain({ kind: 'json' }, jsonbText);
  if (form === 'text') return type === 'json' ? plain({ kind: 'json' }, jsonString) : undefined;
  if (form !== 'plain') return undefined;
  switch (word) {
    case 'smallint':
      return plain({ kind: 'integer', bits: 16, unsigned: false }, requireInteger);
    case 'integer':
      return plain({ kind: 'integer', bits: 32, unsigned: false }, requireInteger);
    case 'bigint':
      return plain({ kind: 'integer', bits: 64, unsigned: false }, requireInteger);
    case 'numeric':
      return plain(
        {
          kind: 'decimal',
          ...(first === undefined ? {} : { precision: Number(first), scale: Number(second ?? 0) }),
        },
        numberText,
      );
    case 'real':
      return plain({ kind: 'float', bits: 32 }, numberText);
    case 'double precision':
      return plain({ kind: 'float', bits: 64 }, numberText);
    case 'text':
      return plain({ kind: 'text' }, jsonString);
    case 'character varying':
    case 'character':
      return plain({ kind: 'text', ...length }, jsonString);
    case 'bytea':
      return plain({ kind: 'bytes' }, bytesOf);
    case 'boolean':
      return plain({ kind: 'boolean' }, (json) => {
        if (json === 'true' || json === 'false') return json === 'true';
        throw new Unfit(`${shown(json)} is neither true nor false`);
      });
    case 'date':
      return plain({ kind: 'date' }, (json) => requireDate(jsonString(json)));
    case 'uuid':
      return plain({ kind: 'uuid' }, (json) => requireUuid(jsonString(json)));
  }
  if (/^time(\(\d\))? without time zone$/.test(type)) {
    return plain({ kind: 'time' }, (json) => requireTime(jsonString(json)));
  }
  const zone = /^timestamp(?:\(\d\))? (with|without) time zone$/.exec(type)?.[1] === 'with';
  if (/^timestamp(\(\d\))? /.test(type)) {
    return plain({ kind: 'timestamp', zone }, (json) => requireTimestamp(jsonString(json), zone));
  }
  return enumerated || AS_TEXT.test(type)
    ? { type: { kind: 'text' }, decode: jsonString, becomes: 'text' }
    : undefined;
}

/** A number as it stands, or the text of one that JSON has no number for. */
function numberText(json: string): string {
  const text = json.startsWith('"') ? jsonString(json) : json;
  if (digitsOf(text) !== undefined || /^(NaN|-?Infinity)$/.test(text)) return text;
  throw new Unfit(`${shown(text)} is no number`);
}

/** What is a string or null in JSON stands as its JSON text in a string. */
function jsonbText(json: string): string {
  return json.startsWith('"') ? jsonString(json) : json;
}

function bytesOf(json: string): Buffer {
  const text = jsonString(json);
  if (/^\\x(?:[0-9a-f]{2})*$/.test(text)) return Buffer.from(text.slice(2), 'hex');
  throw new Unfit('it is not bytea in hex');
}
