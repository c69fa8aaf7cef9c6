import { readDocument as readAnyDocument } from '../../jsonl/document.ts';
import type { StreamMember } from '../../member.ts';
import type { BackupContent } from '../../types.ts';
import type { ColumnInfo } from '../server/columns.ts';

/** Definitions of tables, views and routines; and of what must not see the rows come in: triggers and events. */
export const SCHEMA_MEMBER = 'schema.sql';
export const TRIGGERS_MEMBER = 'triggers.sql';
export const DOCUMENT_FORMAT = 'dguard-mysql-jsonl';
const DOCUMENT_VERSION = 1;

/** How the values of a column stand in JSON. */
export type ColumnForm = 'number' | 'float' | 'text' | 'base64';

/** What the words of `form` mean, for readers of the files. */
export const VALUE_ENCODING: Readonly<Record<ColumnForm, string>> = {
  number: 'a number in full precision; null is NULL',
  float: 'the shortest number that is exactly the value, as a double; -0 is one of them',
  text: 'a string as the server writes it: dates (zero dates too), times in UTC for timestamp, json as its text, years, what is filled with zeros',
  base64:
    'the bytes in base64 in a string: binary, blob, bit (most significant byte first), geometry (SRID and WKB), vector',
};

/** `schema.json` of a JSONL export: what its files are, for any reader. */
export interface SchemaDocument {
  readonly format: typeof DOCUMENT_FORMAT;
  readonly version: number;
  readonly server_version: string;
  readonly value_encoding: Readonly<Record<string, string>>;
  readonly tables: readonly TableDocument[];
}

export interface TableDocument {
  readonly table: string;
  readonly member: string;
  readonly rows: number;
  /** SHA-256 of the member's bytes. */
  readonly sha256: string;
  readonly columns: readonly ColumnDocument[];
  readonly indexes: readonly {
    readonly name: string;
    readonly unique: boolean;
    readonly columns: readonly string[];
  }[];
  readonly foreign_keys: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly references: { readonly table: string; readonly columns: readonly string[] };
  }[];
}

export interface ColumnDocument {
  readonly name: string;
  readonly type: string;
  readonly form: ColumnForm;
  readonly not_null: boolean;
  /** Position in the primary key, from 1; 0 outside of it. */
  readonly primary_key: number;
  /** Computed by the server, and not in the rows. */
  readonly generated: boolean;
  readonly default?: string;
  readonly extra?: string;
  readonly charset?: string;
  readonly collation?: string;
}

export function columnForm({ kind, type, dataType }: ColumnInfo): ColumnForm {
  if (kind === 'binary') return 'base64';
  if (kind === 'float' && !/zerofill/i.test(type)) return 'float';
  // JSON knows no number that begins with a zero.
  return kind === 'number' && dataType !== 'year' && !/zerofill/i.test(type) ? 'number' : 'text';
}

export function columnDocument(column: ColumnInfo): ColumnDocument {
  const { name, type, nullable, primaryKey, generated, extra, charset, collation } = column;
  return {
    name,
    type,
    form: columnForm(column),
    not_null: !nullable,
    primary_key: primaryKey,
    generated,
    ...(column.default === undefined ? {} : { default: column.default }),
    ...(extra === '' ? {} : { extra }),
    ...(charset === undefined ? {} : { charset }),
    ...(collation === undefined ? {} : { collation }),
  };
}

/** Reads `schema.json`; throws `corrupt` or `too_new`. */
export function readDocument(content: BackupContent): Promise<SchemaDocument> {
  return readAnyDocument<SchemaDocument>(content, {
    format: DOCUMENT_FORMAT,
    version: DOCUMENT_VERSION,
    of: 'an export of MySQL or MariaDB',
    isComplete: ({ tables }) => Array.isArray(tables) && tables.every(isTable),
  });
}

function isTable(value: Partial<TableDocument>): boolean {
  return (
    typeof value?.table === 'string' &&
    typeof value.member === 'string' &&
    typeof value.rows === 'number' &&
    typeof value.sha256 === 'string' &&
    Array.isArray(value.columns) &&
    value.columns.every(
      (column) => typeof column?.name === 'string' && Object.hasOwn(VALUE_ENCODING, String(column.form)),
    )
  );
}

/** The media type and format of a member, by what it is. */
export const JSONL: Pick<StreamMember, 'kind' | 'media' | 'format'> = {
  kind: 'stream',
  media: 'application/jsonl',
  format: 'jsonl',
};
