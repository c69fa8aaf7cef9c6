import type { Engine } from '../types.ts';
import { listDatabases } from './databases.ts';
import { diagnoseServer } from './diagnose.ts';
import { dumpDatabase } from './dump/dump.ts';
import type { SqlserverOptions } from './options.ts';
import { probeServer } from './probe.ts';
import { inspectBackup } from './restore/inspect.ts';
import { restoreBackup } from './restore/restore.ts';
import { sqlserverSwaps } from './restore/swaps.ts';

export type { SqlserverOptions } from './options.ts';

/**
 * SQL Server, experimental: the server's own BACKUP and RESTORE through a folder that both sides see, or rows as
 * JSONL out of a snapshot transaction. Built from its documentation; no real server was at hand.
 */
export const sqlserverEngine: Engine<SqlserverOptions> = {
  type: 'sqlserver',
  capabilities: { targets: ['database'] },
  probe: probeServer,
  diagnose: diagnoseServer,
  databases: listDatabases,
  dump: dumpDatabase,
  restore: restoreBackup,
  inspect: inspectBackup,
  swaps: sqlserverSwaps,
};
