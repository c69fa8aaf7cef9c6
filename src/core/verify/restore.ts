import { join } from 'node:path';
import { collectLessOften } from '../../archive/heap.ts';
import { openContent } from '../../archive/reader.ts';
import type { DatasourceConfig } from '../../config/types/datasources.ts';
import { createEngine } from '../../engines/registry.ts';
import type { Warning } from '../../engines/types.ts';
import { DguardError, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
import { asStored, resolver } from '../find.ts';
import { withTempFolder } from '../temp-folder.ts';
import { tellWarnings } from '../warnings.ts';

/**
 * `restore`: into a scratch place (a folder of ours, or a marked database at the datasource's own server),
 * compared with what the manifest recorded, removed afterwards. Errors: `corrupt` where it does not hold,
 * `config_invalid` where a server would be needed and none is configured.
 */
export async function checkRestore(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  datasource: DatasourceConfig | undefined,
  runtime: Runtime,
  parallelJobs?: number,
): Promise<void> {
  const stored = asStored(copy);
  const { manifest } = stored;
  collectLessOften(100);
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const engine = await createEngine(manifest.datasource.type, manifest.id);
  const toFolder = engine.capabilities.targets.includes('path');
  if (!toFolder && !datasource) {
    throw new DguardError(
      'config_invalid',
      'a test restore needs a server, and the datasource is not configured here',
      {
        operation: 'test restore',
        subject: manifest.datasource.name,
        hint: 'run it with the configuration (-c), or verify with --level content',
      },
    );
  }
  const check = async (tempDir: string) => {
    // What is not in the scratch place as it is in the backup, and what stays there; the rest is of no account.
    const warn = (warning: Warning) =>
      warning.partial || warning.stays ? tellWarnings([warning], runtime) : undefined;
    const common = { signal: runtime.signal, now: runtime.now, host: runtime.host, tempDir, warn };
    const source = datasource && { ...common, name: datasource.name, options: datasource, env: runtime.env };
    for (const message of source ? ((await engine.swaps?.dropScratch?.({ ...common, source })) ?? []) : [])
      warn({ message, subject: manifest.datasource.name, partial: false, stays: true });
    const outcome = await engine.restore(content, {
      ...common,
      ...(toFolder ? { toPath: join(tempDir, 'restored') } : {}),
      ...(!toFolder && source ? { source } : {}),
      only: [],
      overwrite: false,
      deleteExtra: false,
      scratch: true,
      dryRun: false,
      privileged: false,
      ...(parallelJobs === undefined ? {} : { parallelJobs }),
      backupId: manifest.id,
      onProgress: (bytesDone, filesDone) =>
        runtime.emit({ type: 'progress', subject: manifest.id, bytesDone, filesDone }),
    });
    const expected = manifest.facts?.files_count;
    if (expected !== undefined && outcome.filesCount !== undefined && outcome.filesCount !== expected) {
      throw new DguardError('corrupt', `${outcome.filesCount} files were restored, ${expected} are recorded`);
    }
  };
  try {
    await withTempFolder(runtime, 'scratch', check);
  } catch (error) {
    if (error instanceof DguardError && error.code === 'corrupt') throw error;
    throw toDguardError(error, 'target_failed', { operation: 'test restore', subject: manifest.id });
  }
}
