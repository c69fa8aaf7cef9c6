import type { RecordedRows } from '../jsonl/lines.ts';
import type { BackupContent, DumpFacts } from '../types.ts';

/**
 * Plain tables: what tables of one engine have in common with those of another. An engine reads its own JSONL export
 * as plain tables, and writes plain tables as an export of its own, which its own restore then loads.
 */
export interface PlainForm {
  /** The engine's name for people: `PostgreSQL`. */
  readonly title: string;
  /** Errors: `unsupported` for a backup that is no JSONL export, `corrupt`. */
  read(content: BackupContent): Promise<PlainExport>;
  /** Undefined where plain tables can only be taken from here. */
  readonly write?: PlainWriter;
}

/** The type of a column. Its values are `PlainValue`s, in the form that is said here. */
export type PlainType =
  /** Digits, with a sign where negative. */
  | { readonly kind: 'integer'; readonly bits: 8 | 16 | 24 | 32 | 64; readonly unsigned: boolean }
  /** Digits with a decimal point; without precision: any number of them. `NaN` and `Infinity` where there are such. */
  | { readonly kind: 'decimal'; readonly precision?: number; readonly scale?: number }
  /** The shortest digits that are exactly the value in so many bits, `NaN`, `Infinity`, `-Infinity`, `-0`. */
  | { readonly kind: 'float'; readonly bits: 32 | 64 }
  /** At most `length` characters. */
  | { readonly kind: 'text'; readonly length?: number }
  /** A Buffer of at most `length` bytes. */
  | { readonly kind: 'bytes'; readonly length?: number }
  /** true or false. */
  | { readonly kind: 'boolean' }
  /** `2026-01-31`, years 0000 to 9999. */
  | { readonly kind: 'date' }
  /** `23:59:59.5`; up to 6 digits of a second. */
  | { readonly kind: 'time' }
  /** `2026-01-31 23:59:59.5`; with `zone` in UTC. */
  | { readonly kind: 'timestamp'; readonly zone: boolean }
  /** Lower case, with dashes. */
  | { readonly kind: 'uuid' }
  /** JSON as it was written. */
  | { readonly kind: 'json' };

export type PlainValue = null | string | boolean | Buffer;

export interface PlainColumn {
  readonly name: string;
  readonly type: PlainType;
  readonly notNull: boolean;
  /** The value of its text in a line of JSON. Throws `Unfit`. */
  decode(json: string): PlainValue;
}

export interface PlainIndex {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly string[];
}

export type ReferenceAction = 'CASCADE' | 'SET NULL' | 'SET DEFAULT' | 'RESTRICT' | 'NO ACTION';

export interface PlainForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  /** Its label. */
  readonly table: string;
  /** Empty: its primary key. */
  readonly references: readonly string[];
  readonly onDelete: ReferenceAction;
  readonly onUpdate: ReferenceAction;
}

export interface PlainTable {
  /** As its own engine names it in `--only` and in messages: `public.users`. */
  readonly label: string;
  /** Without a schema: its name at the target. */
  readonly name: string;
  readonly recorded: RecordedRows;
  readonly columns: readonly PlainColumn[];
  readonly primaryKey: readonly string[];
  readonly indexes: readonly PlainIndex[];
  readonly foreignKeys: readonly PlainForeignKey[];
  /** The column that numbers new rows by itself, and the next number where it is known. */
  readonly serial?: { readonly column: string; readonly next?: bigint };
  /** Keys in its lines that are no columns. */
  readonly otherKeys: readonly string[];
  /** Why it is not plain, in words; empty where it is. */
  readonly refusals: readonly string[];
  /** What of it does not come along, or not as it was, in words. */
  readonly losses: readonly string[];
}

export interface PlainExport {
  readonly tables: readonly PlainTable[];
  /** What else the backup holds that does not come along, in words. */
  readonly losses: readonly string[];
}

export interface PlainWriter {
  /** How tables will stand there. */
  plan(table: PlainTable, all: readonly PlainTable[]): PlannedTable;
  /** The export's members beside the rows, and the facts that its own engine would have recorded. */
  describe(tables: readonly WrittenTable[]): {
    readonly files: readonly { readonly path: string; readonly bytes: Buffer; readonly format: string }[];
    readonly facts: DumpFacts;
  };
  /** A table's member, and what its engine calls it. */
  memberName(table: PlainTable, taken: Set<string>): string;
  tableName(table: PlainTable): string;
}

export interface PlannedTable {
  /** Its columns' types there, in their order, and how a value stands in a line. */
  readonly columns: readonly PlannedColumn[];
  readonly refusals: readonly string[];
  readonly losses: readonly string[];
}

export interface PlannedColumn {
  /** As a statement has it. */
  readonly type: string;
  /** JSON text of a value that is not NULL. Throws `Unfit`. */
  encode(value: Exclude<PlainValue, null>): string;
}

export interface WrittenTable {
  readonly table: PlainTable;
  readonly planned: PlannedTable;
  readonly recorded: RecordedRows;
  /** The next number of its serial column. */
  readonly next?: bigint;
}

/** A value that is not what its column says, or that the target cannot hold; the message says why. */
export class Unfit extends Error {}
