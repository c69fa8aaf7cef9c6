import type { TableInfo } from '../server/catalog.ts';
import type { Server } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import type { Tools } from '../server/tools.ts';
import type { DataBlock } from './archive-offsets.ts';

/** An exported snapshot: whoever imports it sees exactly what this session sees. */
export interface Snapshot {
  readonly server: Server;
  readonly session: Session;
  readonly database: string;
  /** The database's own. */
  readonly encoding: string;
  readonly id: string;
  readonly tools: Tools;
  readonly tables: readonly TableInfo[];
  readonly withoutRows: readonly TableInfo[];
  /** The server is one: it has no rows of unlogged tables. */
  readonly standby: boolean;
  /** Schemas in which restores keep what they replaced: not a part of the backup. */
  readonly keptSchemas: readonly string[];
  /** Of the database on the server's disk, indexes included; where it may be known. */
  readonly sizeBytes?: number;
  /** Whether the role may see the passwords of roles. */
  readonly readsPasswords: boolean;
  /** Ends the tools, when the run is ended and when the snapshot is. */
  readonly signal: AbortSignal;
  /** What the tools said, for the manifest. */
  readonly said: string[];
  /** Where in the dump large data lie, once it was read. */
  readonly largeData: DataBlock[];
  /** Whether rows are counted, not estimated. */
  readonly countsRows: boolean;
  /** How many rows the dump has of tables, by their oid, once it was read: of these nothing need be asked. */
  readonly dumpedRows: Map<string, number>;
}
