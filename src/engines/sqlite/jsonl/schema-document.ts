import { readDocument } from '../../jsonl/document.ts';
import type { BackupContent } from '../../types.ts';
import type { SchemaObject, TableKind } from '../database/catalog.ts';
import type { TextEncoding } from './values.ts';

export const SCHEMA_FORMAT = 'dguard-sqlite-jsonl';
const SCHEMA_VERSION = 1;

/** `schema.json` of a JSONL export: all that is needed to make the database again, with or without dguard. */
export interface SchemaDocument {
  readonly format: typeof SCHEMA_FORMAT;
  readonly version: number;
  readonly sqlite_version: string;
  readonly encoding: TextEncoding;
  readonly page_size: number;
  readonly auto_vacuum: number;
  readonly user_version: number;
  readonly application_id: number;
  readonly journal_mode: string;
  /** How each storage class is written, in words. */
  readonly value_encoding: Readonly<Record<string, string>>;
  readonly tables: readonly TableDocument[];
  /** Every CREATE statement, in the order in which they were issued. */
  readonly objects: readonly SchemaObject[];
}

export interface TableDocument {
  readonly name: string;
  /** The backup's entry that holds the rows. */
  readonly member: string;
  readonly kind: TableKind;
  readonly rows: number;
  /** SHA-256 of the member's bytes. */
  readonly sha256: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly not_null: boolean;
    readonly primary_key: number;
    readonly generated: boolean;
  }[];
  /** Set where the table's rowid is no column of it: what SQL calls it, and its key in each row. */
  readonly rowid_column?: string;
  readonly rowid_key?: string;
  /** As `PRAGMA foreign_key_list` and `PRAGMA index_list` say it, for readers of the file. */
  readonly foreign_keys: readonly object[];
  readonly indexes: readonly object[];
}

/** Reads `schema.json`; throws `corrupt` or `too_new`. */
export function readSchemaDocument(content: BackupContent): Promise<SchemaDocument> {
  return readDocument<SchemaDocument>(content, {
    format: SCHEMA_FORMAT,
    version: SCHEMA_VERSION,
    of: 'an SQLite export',
    isComplete: ({ tables, objects }) => Array.isArray(tables) && Array.isArray(objects),
  });
}
