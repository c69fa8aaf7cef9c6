import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openContent } from '../archive/reader.ts';
import type { DatasourceConfig } from '../config/types.ts';
import { createEngine } from '../engines/registry.ts';
import type { RestoreOutcome, Warning } from '../engines/types.ts';
import { DguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { CatalogEntry } from './catalog.ts';
import { asStored, resolver } from './find.ts';

export interface RestoreOptions {
  /** Where to; undefined is the datasource's own place, which then must be configured. */
  readonly toPath?: string;
  readonly toDatabase?: string;
  readonly datasource?: DatasourceConfig;
  readonly only: readonly string[];
  readonly overwrite: boolean;
  readonly dryRun: boolean;
  readonly privileged: boolean;
}

/**
 * Restores one copy of one backup. Everything is read and proven block by block before it is used; a
 * restore that throws leaves the target as it was. Errors: those of the engine, `corrupt` for bad bytes.
 */
export async function restoreCopy(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  options: RestoreOptions,
  runtime: Runtime,
): Promise<RestoreOutcome & { readonly warnings: readonly Warning[] }> {
  const stored = asStored(copy);
  const { manifest } = stored;
  if (copy.problems.length > 0) {
    throw new DguardError('corrupt', `this copy is broken: ${copy.problems.join('; ')}`, {
      operation: 'restore',
      subject: `${copy.destination.name}:${copy.folder}`,
      hint: 'restore from another destination (--from) or another backup (`dguard list`)',
    });
  }
  if (options.overwrite && (manifest.patterns || manifest.status !== 'completed')) {
    const why = manifest.patterns ? 'it is of a part of its source' : `its status is ${manifest.status}`;
    throw new DguardError('target_refused', `this backup cannot replace a whole target: ${why}`, {
      operation: 'restore',
      subject: manifest.id,
      hint: 'restore it to a new place with --to-path, without --overwrite',
    });
  }
  runtime.emit({ type: 'stage', subject: manifest.id, stage: 'restore', totalBytes: manifest.size_bytes });
  const engine = await createEngine(manifest.datasource.type, manifest.id);
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const tempDir = await mkdtemp(join(runtime.tempDir, 'dguard-restore-'));
  const warnings: Warning[] = [];
  const warn = (warning: Warning) => warnings.push(warning);
  let lastReport = 0;
  try {
    const outcome = await engine.restore(content, {
      ...(options.datasource
        ? {
            source: {
              name: options.datasource.name,
              options: options.datasource,
              signal: runtime.signal,
              tempDir,
              host: runtime.host,
              now: runtime.now,
              env: runtime.env,
              warn,
            },
          }
        : {}),
      signal: runtime.signal,
      now: runtime.now,
      host: runtime.host,
      tempDir,
      warn,
      ...(options.toPath === undefined ? {} : { toPath: options.toPath }),
      ...(options.toDatabase === undefined ? {} : { toDatabase: options.toDatabase }),
      only: options.only,
      overwrite: options.overwrite,
      deleteExtra: false,
      scratch: false,
      dryRun: options.dryRun,
      privileged: options.privileged,
      backupId: manifest.id,
      onProgress(bytesDone, filesDone) {
        const now = performance.now();
        if (now - lastReport < 200) return;
        lastReport = now;
        runtime.emit({ type: 'progress', subject: manifest.id, bytesDone, filesDone });
      },
    });
    return { ...outcome, warnings };
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
}
