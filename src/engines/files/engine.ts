import type { Engine } from '../types.ts';
import { diagnoseFiles } from './diagnose.ts';
import { dumpFiles } from './dump/dump.ts';
import type { FilesOptions } from './options.ts';
import { probeFiles } from './probe.ts';
import { inspectFiles } from './restore/inspect.ts';
import { restoreFiles } from './restore/restore.ts';
import { filesSwaps } from './swap/swaps.ts';

export type { FilesOptions } from './options.ts';

/** Files and folders of this host, as one tar member. */
export const filesEngine: Engine<FilesOptions> = {
  type: 'files',
  capabilities: { targets: ['path'] },
  probe: probeFiles,
  diagnose: diagnoseFiles,
  dump: dumpFiles,
  restore: restoreFiles,
  inspect: inspectFiles,
  swaps: filesSwaps,
};
