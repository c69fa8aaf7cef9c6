import type { DatasourceConfig } from '../config/types/datasources.ts';
import { createEngine } from '../engines/registry.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../engines/swaps.ts';
import type { TargetRequest, Warning } from '../engines/types.ts';
import { DguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { takeLock } from './lock.ts';
import { withTempFolder } from './temp-folder.ts';
import { tellWarnings } from './warnings.ts';

/** A place that is or was restored to: a datasource's own, a path, or a database of a datasource's server. */
export interface RestoreTarget {
  readonly type: string;
  readonly datasource?: DatasourceConfig;
  readonly toPath?: string;
  readonly toDatabase?: string;
}

/**
 * Finishes or reverts what a restore or undo of this target was doing when it was cut short, so that the
 * target is old or new. To be called before a backup reads it: a target that is not there is the backup's to tell.
 * Cheap where there is nothing to do. Returns what was done, in words. Errors: `locked` while a restore is running.
 */
export async function recoverTarget(target: RestoreTarget, runtime: Runtime): Promise<readonly string[]> {
  const found = await withSwaps(
    target,
    'recover',
    runtime,
    (swaps, request) => swaps.recover(request, true),
    false,
  );
  tellWarnings(found?.warnings ?? [], runtime);
  return found?.value ?? [];
}

/**
 * As `recoverTarget`, and removes what test restores (`verify --level restore`) left that were killed. Returns what was
 * done, in words. Errors: `locked`, those of the engine.
 */
export async function recoverAll(target: RestoreTarget, runtime: Runtime): Promise<readonly string[]> {
  const work = async (swaps: TargetSwaps, request: TargetRequest) => [
    ...(await swaps.recover(request)),
    ...((await swaps.dropScratch?.(request)) ?? []),
  ];
  const found = await withSwaps(target, 'recover', runtime, work, false);
  tellWarnings(found?.warnings ?? [], runtime);
  return found?.value ?? [];
}

/** What restores of this target have kept, newest first. */
export async function listUndo(target: RestoreTarget, runtime: Runtime): Promise<readonly UndoCopy[]> {
  const list = (swaps: TargetSwaps, request: TargetRequest) => swaps.undoCopies(request);
  return (await withSwaps(target, 'list undo copies', runtime, list, false))?.value ?? [];
}

/** Puts back what the newest restore of this target replaced. Errors: nothing_there, those of the engine. */
export async function undoTarget(
  target: RestoreTarget,
  runtime: Runtime,
): Promise<UndoOutcome & { readonly warnings: readonly Warning[] }> {
  const done = await withSwaps(target, 'undo', runtime, (swaps, request) => swaps.undo(request), true);
  return { ...done!.value, warnings: done!.warnings };
}

/** Removes the undo copies of a target beyond the newest `keep`. Returns what was removed. */
export async function dropUndo(
  target: RestoreTarget,
  keep: number,
  runtime: Runtime,
): Promise<readonly UndoCopy[]> {
  const drop = (swaps: TargetSwaps, request: TargetRequest) => swaps.dropUndo(request, keep);
  return (await withSwaps(target, 'drop undo', runtime, drop, true))!.value;
}

/** One restore, undo or recovery of a target at a time, by whatever name it goes. */
export async function lockTarget(
  target: RestoreTarget,
  operation: string,
  runtime: Runtime,
): Promise<{ release(): Promise<void> }> {
  const held: { release(): Promise<void> }[] = [];
  const release = async () => {
    for (const lock of held.splice(0)) await lock.release();
  };
  try {
    // In one order everywhere, so that no two wait for each other.
    for (const name of await targetLocks(target, runtime)) {
      held.push(await takeLock(name, operation, TARGET_WAIT_MS, runtime, whenHeld));
    }
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Neither `--wait-lock` nor `unlock` is about targets. */
const whenHeld = (path: string): string =>
  `try again when it has ended; if it is certain that it does not run any more: rm ${path}`;

/** A look whether something is to be recovered holds the lock for a moment, and two backups may look at once. */
const TARGET_WAIT_MS = 10_000;

/** What of this host is locked while something works on the target. */
export async function targetLocks(target: RestoreTarget, runtime: Runtime): Promise<readonly string[]> {
  return [...new Set(await placesOf(target, runtime))].sort().map((place) => `target ${place}`);
}

async function placesOf(target: RestoreTarget, runtime: Runtime): Promise<readonly string[]> {
  const { type, datasource, toPath, toDatabase } = target;
  const { swaps } = await createEngine(type, datasource?.name ?? type);
  const places = await swaps?.places?.(targetRequest(target, runtime.tempDir, runtime, () => undefined));
  return (
    places ?? [toPath ?? [type, datasource?.name, toDatabase].filter((part) => part !== undefined).join(' ')]
  );
}

/** What every call to an engine about a target says. */
export function targetRequest(
  target: RestoreTarget,
  tempDir: string,
  runtime: Runtime,
  warn: (warning: Warning) => void,
): TargetRequest<DatasourceConfig> {
  const { datasource, toPath, toDatabase } = target;
  const common = { signal: runtime.signal, now: runtime.now, host: runtime.host, tempDir, warn };
  return {
    ...common,
    ...(datasource === undefined
      ? {}
      : { source: { ...common, name: datasource.name, options: datasource, env: runtime.env } }),
    ...(toPath === undefined ? {} : { toPath }),
    ...(toDatabase === undefined ? {} : { toDatabase }),
  };
}

async function withSwaps<T>(
  target: RestoreTarget,
  operation: string,
  runtime: Runtime,
  work: (swaps: TargetSwaps, request: TargetRequest) => Promise<T>,
  isNeeded: boolean,
): Promise<{ value: T; warnings: readonly Warning[] } | undefined> {
  const subject = target.toPath ?? target.toDatabase ?? target.datasource?.name ?? target.type;
  const { swaps } = await createEngine(target.type, subject);
  if (swaps === undefined) {
    if (!isNeeded) return undefined;
    throw new DguardError('unsupported', `a restore of ${target.type} keeps nothing to go back to`, {
      operation,
      subject,
      hint: 'restore an older backup instead: dguard rollback',
    });
  }
  const lock = await lockTarget(target, operation, runtime);
  const warnings: Warning[] = [];
  try {
    const value = await withTempFolder(runtime, 'target', (tempDir) =>
      work(
        swaps,
        targetRequest(target, tempDir, runtime, (warning) => warnings.push(warning)),
      ),
    );
    return { value, warnings };
  } catch (error) {
    tellWarnings(warnings, runtime);
    throw error;
  } finally {
    await lock.release();
  }
}
