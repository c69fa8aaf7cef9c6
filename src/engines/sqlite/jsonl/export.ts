import { constants } from 'node:buffer';
import { createHash } from 'node:crypto';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { memberName } from '../../jsonl/member-name.ts';
import type { StreamMember } from '../../member.ts';
import type { TableFact } from '../../types.ts';
import type { TableInfo } from '../database/catalog.ts';
import { listColumns, listSchema, listTables, quoteName } from '../database/catalog.ts';
import { sqliteVersion } from '../database/check.ts';
import type { Database } from '../database/driver.ts';
import { sqliteError } from '../database/driver.ts';
import type { RowShape } from './rows.ts';
import { readRows, rowShape } from './rows.ts';
import type { SchemaDocument, TableDocument } from './schema-document.ts';
import { SCHEMA_FORMAT } from './schema-document.ts';
import type { TextEncoding } from './values.ts';
import { encodeValue, hasRealAffinity, VALUE_ENCODING } from './values.ts';

const CHUNK_CHARS = 256 * 1024;
/** Statistics of other builds of SQLite, which this one can neither create nor use. */
const EXPORTED_INTERNAL = new Set(['sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4']);

interface TableExport {
  readonly info: TableInfo;
  readonly shape: RowShape;
  readonly member: string;
  /** Known once the rows were read to their end. */
  result?: { rows: number; sha256: string };
}

/**
 * One JSONL member per table and `schema.json`, in the order of their paths. `schema.json` holds the hash
 * of every table; those that come after it are read once more for it, which the still copy allows.
 */
export async function* exportMembers(
  database: Database,
  counted: readonly TableFact[],
  signal: AbortSignal,
): AsyncGenerator<StreamMember> {
  const encoding = database.pragma('encoding', { simple: true }) as TextEncoding;
  const exports = planExports(database);
  const rowsOf = (exported: TableExport) => exportRows(database, exported, encoding, signal);
  const members = exports.map((exported): StreamMember => {
    const { name, kind } = exported.info;
    return {
      kind: 'stream',
      path: exported.member,
      media: 'application/jsonl',
      format: 'jsonl',
      open: () => rowsOf(exported),
      tables: async () => (kind === 'table' ? [{ name, rows: exported.result?.rows ?? 0 }] : []),
    };
  });
  const virtual = new Set(
    listTables(database)
      .filter((table) => table.kind === 'virtual')
      .map((table) => table.name),
  );
  members.push({
    kind: 'stream',
    path: DOCUMENT_MEMBER,
    media: 'application/json',
    format: 'json',
    open: async function* () {
      for (const exported of exports) {
        if (exported.result === undefined) for await (const _ of rowsOf(exported));
      }
      yield Buffer.from(`${JSON.stringify(schemaDocument(database, encoding, exports), null, 2)}\n`);
    },
    tables: async () => counted.filter((table) => virtual.has(table.name)),
  });
  yield* members.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function planExports(database: Database): TableExport[] {
  const taken = new Set<string>();
  return listTables(database)
    .filter((table) => table.kind !== 'virtual')
    .filter((table) => table.kind !== 'internal' || EXPORTED_INTERNAL.has(table.name))
    .map((info) => ({
      info,
      shape: rowShape(database, info),
      member: memberName(info.name.toLowerCase(), taken),
    }));
}

async function* exportRows(
  database: Database,
  exported: TableExport,
  encoding: TextEncoding,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { shape } = exported;
  const real = shape.columns.map((column) => hasRealAffinity(column.type));
  const keys = [...shape.columns.map((column) => column.name), ...rowidKeys(shape)].map((name, i) => {
    return `${i === 0 ? '{' : ','}${JSON.stringify(name)}:`;
  });
  const hash = createHash('sha256');
  let rows = 0;
  let text = '';
  const flush = (): Uint8Array => {
    const bytes = Buffer.from(text);
    hash.update(bytes);
    text = '';
    return bytes;
  };
  try {
    for (const row of readRows(database, shape, encoding)) {
      row.forEach((value, i) => {
        text += keys[i]! + encodeValue(value, real[i] ?? false);
      });
      text += '}\n';
      rows++;
      if (text.length < CHUNK_CHARS) continue;
      throwIfAborted(signal);
      yield flush();
    }
  } catch (error) {
    throw tooLong(error, shape.table) ?? sqliteError(error, 'source_failed', 'read table', shape.table);
  }
  if (text !== '') yield flush();
  exported.result = { rows, sha256: hash.digest('hex') };
}

/** A row that is more text than Node can hold. */
function tooLong(thrown: unknown, table: string): DguardError | undefined {
  if (!(thrown instanceof Error) || !/^(Invalid string length|Cannot create a string)/.test(thrown.message))
    return undefined;
  const { MAX_STRING_LENGTH } = constants;
  const message = `a row of ${table} is too large for JSONL: a line holds at most ${MAX_STRING_LENGTH} characters, and of a blob three bytes take four`;
  return new DguardError('source_failed', message, {
    operation: 'read table',
    subject: table,
    hint: 'back it up with format: native, or leave the table out: exclude_tables',
    cause: thrown,
  });
}

function schemaDocument(
  database: Database,
  encoding: TextEncoding,
  exports: readonly TableExport[],
): SchemaDocument {
  const value = (pragma: string) => database.pragma(pragma, { simple: true }) as number;
  return {
    format: SCHEMA_FORMAT,
    version: 1,
    sqlite_version: sqliteVersion(database),
    encoding,
    page_size: value('page_size'),
    auto_vacuum: value('auto_vacuum'),
    user_version: value('user_version'),
    application_id: value('application_id'),
    journal_mode: String(value('journal_mode')),
    value_encoding: VALUE_ENCODING,
    tables: exports.map((exported) => tableDocument(database, exported)),
    objects: listSchema(database),
  };
}

function tableDocument(database: Database, exported: TableExport): TableDocument {
  const { info, shape, member, result } = exported;
  const name = quoteName(info.name);
  return {
    name: info.name,
    member,
    kind: info.kind,
    rows: result!.rows,
    sha256: result!.sha256,
    columns: listColumns(database, info.name).map((column) => ({
      name: column.name,
      type: column.type,
      not_null: column.notNull,
      primary_key: column.primaryKey,
      generated: column.generated,
    })),
    ...(shape.keepsRowid ? { rowid_column: shape.rowid!, rowid_key: rowidKeys(shape)[0]! } : {}),
    foreign_keys: database.pragma(`main.foreign_key_list(${name})`) as object[],
    indexes: database.pragma(`main.index_list(${name})`) as object[],
  };
}

/** The key of the rowid in a row: a name that no column has. */
function rowidKeys(shape: RowShape): string[] {
  if (!shape.keepsRowid) return [];
  const names = new Set(shape.columns.map((column) => column.name));
  let key = '_rowid_';
  while (names.has(key)) key = `_${key}`;
  return [key];
}
