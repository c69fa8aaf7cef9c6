import type { Engine } from '../types.ts';
import { listDatabases } from './databases.ts';
import { diagnoseServer } from './diagnose.ts';
import { dumpDatabase } from './dump/dump.ts';
import type { PostgresOptions } from './options.ts';
import { postgresPlain } from './plain/form.ts';
import { probeServer } from './probe.ts';
import { inspectBackup } from './restore/inspect.ts';
import { restoreBackup } from './restore/restore.ts';
import { postgresSwaps } from './restore/swaps.ts';

export type { PostgresOptions } from './options.ts';

/** PostgreSQL: its own tools make and load the dumps; the driver probes, counts, prepares and compares. */
export const postgresEngine: Engine<PostgresOptions> = {
  type: 'postgres',
  capabilities: { targets: ['database'] },
  probe: probeServer,
  diagnose: diagnoseServer,
  databases: listDatabases,
  dump: dumpDatabase,
  restore: restoreBackup,
  inspect: inspectBackup,
  swaps: postgresSwaps,
  plain: postgresPlain,
};
