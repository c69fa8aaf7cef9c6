import { SALVAGE } from '../archive/format.ts';
import { collectLessOften } from '../archive/heap.ts';
import { openContent, startAhead } from '../archive/reader.ts';
import type { DatasourceConfig } from '../config/types/datasources.ts';
import { createEngine } from '../engines/registry.ts';
import type {
  BackupContent,
  Engine,
  LoadedPlace,
  RestoreOutcome,
  TargetRequest,
  ToolDump,
  Warning,
} from '../engines/types.ts';
import { DguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { CatalogEntry } from './catalog.ts';
import { SUMS_MISSING } from './compare-objects.ts';
import { asStored, isOneDatabase, resolver } from './find.ts';
import { holdReadLease } from './reading.ts';
import { lockTarget, targetRequest } from './target.ts';
import { withTempFolder } from './temp-folder.ts';
import { translateBackup } from './translate.ts';
import { tellWarnings } from './warnings.ts';

export interface RestoreOptions {
  /** Where to; undefined is the datasource's own place, which then must be configured. */
  readonly toPath?: string;
  readonly toDatabase?: string;
  readonly datasource?: DatasourceConfig;
  /** `datasource` is not the one that was backed up. */
  readonly toOther?: boolean;
  readonly only: readonly string[];
  readonly overwrite: boolean;
  /** What the backup does not hold goes too, kept for undo. */
  readonly deleteExtra?: boolean;
  readonly dryRun: boolean;
  /** Of a dry run: a folder that the restore itself would be given, and that nobody has made. */
  readonly folderToCome?: string;
  readonly privileged: boolean;
  readonly roles?: boolean;
  readonly allowDuplicates?: boolean;
  /** Connections that load at a time; undefined: the engine chooses. */
  readonly parallelJobs?: number;
  /** Backs up what is about to be replaced and cannot be kept for undo; undefined: nobody wants that. */
  readonly safety?: () => Promise<string>;
  /** dguard's own paths, which no restore touches. */
  readonly ownPaths?: readonly string[];
}

/**
 * Restores one copy of one backup, under the target's lock. Everything is read and proven block by block
 * before it is used; a restore that throws leaves the target as it was. To a datasource of another type its tables
 * are translated. Errors: those of the engine, `corrupt` for bad bytes, `locked`.
 */
export async function restoreCopy(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  options: RestoreOptions,
  runtime: Runtime,
): Promise<Restored> {
  asStored(copy);
  const broken = brokenCopy(copy, options);
  return alsoSaying(broken, runtime, () => restoreStored(copy, all, options, runtime));
}

async function restoreStored(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  options: RestoreOptions,
  runtime: Runtime,
): Promise<Restored> {
  const stored = asStored(copy);
  const { manifest } = stored;
  if (options.deleteExtra && manifest.status === 'partial') {
    // What could not be read then is not in it: that is no reason to remove it now.
    throw new DguardError('target_refused', 'this backup is partial: it does not say what there was', {
      operation: 'restore',
      subject: manifest.id,
      hint: 'restore it without --delete-extra, or a completed one (`dguard list`)',
    });
  }
  runtime.emit({ type: 'stage', subject: manifest.id, stage: 'restore', totalBytes: manifest.size_bytes });
  if (!options.dryRun && options.only.length === 0) await startAhead(stored);
  const from = await createEngine(manifest.datasource.type, manifest.id);
  const crosses = options.datasource !== undefined && options.datasource.type !== from.type;
  const engine = crosses ? await createEngine(options.datasource!.type, manifest.id) : from;
  const stock = await openContent(stored, resolver(all, copy), runtime.signal);
  return restoreInto(engine, manifest.id, options, runtime, {
    lease: () => holdReadLease(copy, all, 'restore', runtime),
    async open(target) {
      if (options.toOther && !crosses) refuseOtherPlaces(stock, options);
      if (!crosses) return { content: options.toOther ? contentFor(stock, options.datasource) : stock };
      const { overwrite, only } = options;
      const subject = manifest.id;
      const translated = await translateBackup(stock, { from, to: engine, only, overwrite, subject }, target);
      // The chosen tables are all of it.
      return { ...translated, only: [] };
    },
  });
}

type Restored = RestoreOutcome & { readonly warnings: readonly Warning[] };

/** What a restore comes to, with warnings from before it began; they are said where it fails, too. */
async function alsoSaying<T extends Restored>(
  early: readonly Warning[],
  runtime: Runtime,
  restore: () => Promise<T>,
): Promise<T> {
  try {
    const outcome = await restore();
    return { ...outcome, warnings: [...early, ...outcome.warnings] };
  } catch (error) {
    tellWarnings(early, runtime);
    throw error;
  }
}

/**
 * What a copy that lacks something warns of, where all that is asked for may be in what is left: each block is proven
 * as it is read. Throws `corrupt` where something will be missing.
 */
function brokenCopy({ problems, destination, folder }: CatalogEntry, { only }: RestoreOptions): Warning[] {
  if (problems.length === 0) return [];
  const message = `this copy is broken: ${problems.join('; ')}`;
  const subject = `${destination.name}:${folder}`;
  if (only.length > 0 || problems.every((problem) => problem === SUMS_MISSING))
    return [{ message, subject, partial: false }];
  throw new DguardError('corrupt', message, {
    operation: 'restore',
    subject,
    hint: `restore from another destination (--from) or another backup (\`dguard list\`); without one: ${SALVAGE}`,
  });
}

/**
 * Restores what another tool wrote (a folder of mongodump) to a datasource, as a backup would be: loaded beside, then
 * swapped. Errors: `unsupported` for a datasource whose engine reads no such dump, those of opening it, of the engine.
 */
export async function restoreDump(
  path: string,
  options: RestoreOptions & { readonly datasource: DatasourceConfig },
  runtime: Runtime,
): Promise<Restored & { readonly dump: ToolDump }> {
  const { datasource } = options;
  const engine = await createEngine(datasource.type, path);
  if (engine.openDump === undefined) {
    throw new DguardError(
      'unsupported',
      `${datasource.name} is a ${engine.type} datasource: folders of other tools are read for mongodb alone`,
      {
        operation: 'restore',
        subject: path,
        hint: 'load it with the tool that wrote it, then back it up: dguard backup JOB',
      },
    );
  }
  const { openDump } = engine;
  const early: Warning[] = [];
  return alsoSaying(early, runtime, async () => {
    const dump = await openDump(path, { signal: runtime.signal, warn: (warning) => early.push(warning) });
    early.push({
      message: `not verified: ${dump.tool} records neither counts nor hashes, so a file that is cut between two documents, or missing, cannot be told`,
      subject: dump.path,
      partial: false,
    });
    runtime.emit({ type: 'stage', subject: dump.path, stage: 'restore' });
    const outcome = await restoreInto(engine, `${dump.tool} ${dump.path}`, options, runtime, {
      open: async () => ({ content: dump.content }),
    });
    return { ...outcome, dump };
  });
}

interface Opened {
  readonly content: BackupContent;
  readonly prove?: (loaded: LoadedPlace) => Promise<void>;
  /** Instead of those asked for. */
  readonly only?: readonly string[];
}

interface Source {
  /** Keeps what is read from being pruned. */
  readonly lease?: () => Promise<{ release(): Promise<void> }>;
  readonly open: (target: TargetRequest<DatasourceConfig>) => Promise<Opened>;
}

/** Opens content and restores it, under the target's lock; `subject` names it in marks and progress. */
async function restoreInto(
  engine: Engine,
  subject: string,
  options: RestoreOptions,
  runtime: Runtime,
  from: Source,
): Promise<Restored> {
  collectLessOften(100);
  const target = { type: engine.type, ...options };
  const warnings: Warning[] = [];
  const load = (tempDir: string) =>
    loadInto(
      engine,
      targetRequest(target, tempDir, runtime, (warning) => warnings.push(warning)),
      subject,
      options,
      runtime,
      from,
    );
  const held: { release(): Promise<void> }[] = [];
  try {
    if (!options.dryRun) {
      held.unshift(await lockTarget(target, 'restore', runtime));
      if (from.lease) held.unshift(await from.lease());
    }
    return { ...(await withTempFolder(runtime, 'restore', load)), warnings };
  } catch (error) {
    // What it tidied up before it failed, and what it could not remove.
    tellWarnings(warnings, runtime);
    throw error;
  } finally {
    for (const one of held) await one.release();
  }
}

async function loadInto(
  engine: Engine,
  common: TargetRequest<DatasourceConfig>,
  subject: string,
  options: RestoreOptions,
  runtime: Runtime,
  from: Source,
): Promise<RestoreOutcome> {
  const { content, prove, only = options.only } = await from.open(common);
  if (!options.dryRun) {
    for (const message of (await engine.swaps?.recover(common)) ?? [])
      common.warn({ message, partial: false });
  }
  let lastReport = 0;
  return engine.restore(content, {
    ...common,
    ownPaths: options.ownPaths ?? [],
    only,
    overwrite: options.overwrite,
    deleteExtra: options.deleteExtra === true,
    scratch: false,
    dryRun: options.dryRun,
    ...(options.folderToCome === undefined ? {} : { folderToCome: options.folderToCome }),
    privileged: options.privileged,
    roles: options.roles === true,
    allowDuplicates: options.allowDuplicates === true,
    ...(options.parallelJobs === undefined ? {} : { parallelJobs: options.parallelJobs }),
    safety: async () => options.safety?.(),
    ...(prove === undefined ? {} : { prove }),
    backupId: subject,
    onProgress(bytesDone: number, filesDone: number) {
      const now = performance.now();
      if (now - lastReport < 200) return;
      lastReport = now;
      runtime.emit({ type: 'progress', subject, bytesDone, filesDone });
    },
  });
}

/** To another datasource a backup takes its database's name along only where that has several. */
function contentFor(stock: BackupContent, datasource: DatasourceConfig | undefined): BackupContent {
  const { database: _, ...nameless } = stock;
  return isOneDatabase(datasource) ? nameless : stock;
}

/** Several sources know their own paths alone: in another datasource they would still go there. */
function refuseOtherPlaces({ sources }: BackupContent, { datasource }: RestoreOptions): void {
  if (datasource?.type !== 'files' || (sources.length === 1 && datasource.source_path.length === 1)) return;
  throw new DguardError(
    'usage',
    'a backup of several source paths cannot be restored to another datasource',
    {
      operation: 'restore',
      subject: datasource.name,
      hint: 'restore it to a folder: --to-path DIR',
    },
  );
}
