import type { EntryRecord } from '../archive/entry.ts';
import type { TableFact } from './types.ts';

/** What an engine hands to the archive: one artifact each. */
export type Member = StreamMember | TreeMember;

/** One logical byte stream: a dump, a database file, a JSONL table. */
export interface StreamMember {
  readonly kind: 'stream';
  /** Its path among the backup's entries, and what `cat` and `ls` call it: `database.db`, `users.jsonl`. */
  readonly path: string;
  /** IANA media type. */
  readonly media: string;
  /** How to read it: `sqlite3`, `pg_dump-custom`, `sql`, `jsonl` … */
  readonly format: string;
  /**
   * The bytes, each chunk valid until the next is asked for. Throws (never merely ends) when the source
   * failed. Called once.
   */
  open(): AsyncIterable<Uint8Array>;
  /** The tables in it with their rows, asked for after the stream ended. */
  tables?(): Promise<readonly TableFact[]>;
}

/** Many entries in one tar artifact. */
export interface TreeMember {
  readonly kind: 'tree';
  /** The artifact's name without codec suffix: `files.tar`. */
  readonly path: string;
  readonly media: 'application/x-tar';
  readonly format: 'tar';
  /** Entries in the order of a sorted depth-first walk (`compareEntryPaths`), in batches that bound memory and hold until the next is asked for. */
  entries(): AsyncIterable<Iterable<TreeItem>>;
}

export interface TreeItem {
  readonly entry: EntryRecord;
  /** Content of a regular file: all of it, or a reader for one that is too large to hold. */
  readonly content?: Uint8Array | LargeContent;
}

/** A large file, read while it is written to the archive. */
export interface LargeContent {
  readonly sizeBytes: number;
  /**
   * Fills `into` from its start and returns how many bytes it wrote, 0 only at the end. Never more than
   * `sizeBytes` in all. A file that turned out shorter is filled up with zeros, with a warning.
   */
  read(into: Uint8Array): number;
  /** Called once after the last byte (or on abort): closes, compares the file with its recorded stat. */
  finish(): { unsure: boolean };
}
