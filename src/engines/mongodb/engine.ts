import type { Engine } from '../types.ts';
import { listDatabases } from './databases.ts';
import { diagnoseServer } from './diagnose.ts';
import { dumpDatabase } from './dump/dump.ts';
import { openDumpFolder } from './dump/folder.ts';
import type { MongodbOptions } from './options.ts';
import { probeServer } from './probe.ts';
import { inspectBackup } from './restore/inspect.ts';
import { restoreBackup } from './restore/restore.ts';
import { mongodbSwaps } from './restore/swaps.ts';

export type { MongodbOptions } from './options.ts';

/** MongoDB: the driver reads and writes documents as the bytes that they are, in mongodump's layout. */
export const mongodbEngine: Engine<MongodbOptions> = {
  type: 'mongodb',
  capabilities: { targets: ['database'] },
  probe: probeServer,
  diagnose: diagnoseServer,
  databases: listDatabases,
  dump: dumpDatabase,
  restore: restoreBackup,
  inspect: inspectBackup,
  openDump: openDumpFolder,
  swaps: mongodbSwaps,
};
