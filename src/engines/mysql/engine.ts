import type { Engine } from '../types.ts';
import { listDatabases } from './databases.ts';
import { diagnoseServer } from './diagnose.ts';
import { dumpDatabase } from './dump/dump.ts';
import type { MysqlOptions } from './options.ts';
import { mysqlPlain } from './plain/form.ts';
import { probeServer } from './probe.ts';
import { inspectBackup } from './restore/inspect.ts';
import { restoreBackup } from './restore/restore.ts';
import { mysqlSwaps } from './restore/swaps.ts';

export type { MysqlOptions } from './options.ts';

/** MySQL and MariaDB: their own tools make and load the dumps; the driver probes, counts and swaps. */
export const mysqlEngine: Engine<MysqlOptions> = {
  type: 'mysql',
  capabilities: { targets: ['database'] },
  probe: probeServer,
  diagnose: diagnoseServer,
  databases: listDatabases,
  dump: dumpDatabase,
  restore: restoreBackup,
  inspect: inspectBackup,
  swaps: mysqlSwaps,
  plain: mysqlPlain,
};
