import type { SchemaFacts, TableInfo } from '../server/catalog.ts';
import type { ColumnInfo } from '../server/columns.ts';
import type { Server } from '../server/server.ts';
import type { ServerInfo } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import type { Tools } from '../server/tools.ts';

/** A table whose rows we read ourselves, and its stored columns. */
export interface ReadableTable {
  readonly table: TableInfo;
  readonly columns: readonly ColumnInfo[];
}

/** One moment of a schema, and what reads it as of that moment. */
export interface Moment {
  readonly server: Server;
  readonly schema: string;
  readonly subject: string;
  readonly info: ServerInfo;
  readonly defaults: SchemaFacts;
  readonly tools: Tools;
  /** Inside: sees the moment. */
  readonly session: Session;
  /** Outside: sees definitions as they are now. */
  readonly side: Session;
  /** Inside, for rows: several, or `session` alone. */
  readonly readers: readonly Session[];
  readonly snapshotAt: Date;
  readonly tables: readonly TableInfo[];
  /** Of these, what patterns leave out: rows of tables, views at all. */
  readonly without: readonly TableInfo[];
  readonly kept: readonly TableInfo[];
  /** Of all tables. */
  readonly columns: ReadonlyMap<string, readonly ColumnInfo[]>;
  /** Of these, what one transaction sees one state of, and whose types are all known. */
  readonly readable: readonly ReadableTable[];
}

/** Tables with rows that are not read by us. */
export function restOf({ kept, readable }: Pick<Moment, 'kept' | 'readable'>): TableInfo[] {
  const own = new Set(readable.map(({ table }) => table.name));
  return kept.filter(({ name, kind }) => kind === 'table' && !own.has(name));
}
