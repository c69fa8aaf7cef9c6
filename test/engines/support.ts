import { openContent } from '../../src/archive/reader.ts';
import type { BackupContent, Dump, DumpRequest, Engine, EngineSource } from '../../src/engines/types.ts';
import { writeBackup } from '../archive/support.ts';

/** What the tests of all engines share. */

export function dumpRequest(more: Partial<DumpRequest> = {}): DumpRequest {
  return { format: 'native', include: [], exclude: [], parallelJobs: 1, ownPaths: [], ...more };
}

/** A restore of everything, to where nothing is. */
export const RESTORE_ALL = {
  only: [],
  overwrite: false,
  deleteExtra: false,
  scratch: false,
  dryRun: false,
  privileged: false,
  backupId: 'full-2026-01-02T03-04-05Z-abcdefgh',
  onProgress: () => {},
};

/** Dumps into a real archive and opens it again. */
export async function backUpBy<Options>(
  engine: Engine<Options>,
  source: EngineSource<Options>,
  request: DumpRequest,
): Promise<BackupContent> {
  const dump = await engine.dump(source, request);
  try {
    return await contentOf(dump);
  } finally {
    await dump.close();
  }
}

export async function contentOf(dump: Dump): Promise<BackupContent> {
  const backup = await writeBackup(dump.members(), { level: 1 });
  // As a manifest would carry them.
  const facts = JSON.parse(JSON.stringify(await dump.facts()));
  const content = await openContent(backup, async () => undefined);
  return {
    ...content,
    facts,
    whole: dump.patterns === undefined,
    ...(dump.patterns === undefined ? {} : { patterns: dump.patterns }),
  };
}
