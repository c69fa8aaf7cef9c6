import { DguardError } from '../../errors.ts';
import type { BackupContent } from '../types.ts';
import type { SchemaObject, TableKind } from './catalog.ts';
import type { TextEncoding } from './values.ts';

export const SCHEMA_MEMBER = 'schema.json';
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
export async function readSchemaDocument(content: BackupContent): Promise<SchemaDocument> {
  const entry = await content.entry(SCHEMA_MEMBER);
  if (entry === undefined) throw broken('the backup has no schema.json');
  const chunks: Uint8Array[] = [];
  for await (const chunk of content.read(entry)) chunks.push(chunk);
  let parsed: Partial<SchemaDocument> | null;
  try {
    parsed = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Partial<SchemaDocument> | null;
  } catch (error) {
    throw broken('it is not JSON', error);
  }
  if (parsed?.format !== SCHEMA_FORMAT) throw broken('it does not describe an SQLite export');
  if (typeof parsed.version !== 'number' || parsed.version > SCHEMA_VERSION) {
    throw new DguardError('too_new', `schema.json has version ${parsed.version}`, {
      operation: 'read schema.json',
      hint: 'use a newer dguard',
    });
  }
  if (!Array.isArray(parsed.tables) || !Array.isArray(parsed.objects)) {
    throw broken('it names no tables and objects');
  }
  return parsed as SchemaDocument;
}

function broken(why: string, cause?: unknown): DguardError {
  return new DguardError('corrupt', why, { operation: 'read schema.json', subject: SCHEMA_MEMBER, cause });
}
