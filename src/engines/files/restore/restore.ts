import { join } from 'node:path';
import { displayPath, fromText } from '../../../archive/paths.ts';
import { createSelection } from '../../../archive/select.ts';
import { errorText, throwIfAborted } from '../../../errors.ts';
import { displayPaths, joinPath } from '../../fs-paths.ts';
import type { BackupContent, RestoreOutcome } from '../../types.ts';
import { discardUnit } from '../../undo/unit.ts';
import { createSwap, discardSwap, type Staging, type Swap, swapIn } from '../swap/swap.ts';
import type { SwapStep } from '../swap/swap-plan.ts';
import { entrySteps, mergeSteps, wholeSteps } from '../swap/swap-steps.ts';
import { dropUndo, placeOf, recoverPaths, tidyQuietly } from '../swap/swaps.ts';
import { createMetadata, type Metadata } from '../system/metadata.ts';
import { readOwners } from '../system/owners.ts';
import { loadXattrs, type Xattrs } from '../system/xattrs.ts';
import type { Target } from '../target.ts';
import { checkStaged } from './check-staged.ts';
import { nothingThere, targetFailed } from './restore-errors.ts';
import { extrasOf, planned, survey } from './restore-plan.ts';
import { createLeftOut, type FilesRestoreRequest, type LeftOut } from './scope.ts';
import { type StageOutcome, stage } from './stage.ts';
import { resolveTargets } from './targets.ts';

/**
 * Restores files: everything is written beside the target first, then swapped in by renames under a journal;
 * what was there is kept for undo. All of a source takes the place of all that is there; a part of it
 * replaces its counterparts alone. On any failure the staging is removed and the target is as it was.
 */
export async function restoreFiles(
  content: BackupContent,
  request: FilesRestoreRequest,
): Promise<RestoreOutcome> {
  throwIfAborted(request.signal);
  if (request.scratch) return testRestore(content, request);
  const given =
    request.toPath === undefined
      ? [
          ...content.sources.map(({ path }) => path),
          ...(request.source?.options.source_path ?? []).map(fromText),
        ]
      : [fromText(request.toPath)];
  if (!request.dryRun) await recoverFirst(given, request);
  const leftOut = createLeftOut(request);
  const all = resolveTargets(content, request, isWholeSource(content, request), leftOut);
  const held = request.deleteExtra ? new Map<string, boolean>() : undefined;
  const needsSurvey = request.dryRun || request.only.length > 0 || held !== undefined || all.length > 1;
  const { targets, ...counts } = needsSurvey
    ? await survey(content, request, all, held)
    : { targets: all, filesCount: 0, sizeBytes: 0 };
  noteMerges(targets, request);
  if (request.dryRun) return planned(content, request, targets, counts, held, leftOut);
  const xattrs = await loadXattrs();
  const metadata = metadataFor(request, xattrs);
  let staged: StageOutcome;
  let undo: readonly string[];
  let swap: Swap | undefined;
  try {
    swap = createSwap(targets, request.backupId, request.now());
    staged = await stageAll(content, swap.stagings, request, metadata);
    if (staged.entries === 0) throw nothingThere(request);
    throwIfAborted(request.signal);
    const extras = await extrasOf(content, request, targets, held, leftOut);
    const { implied } = staged;
    const steps = (staging: Staging) => stepsFor(staging, implied, extras, leftOut, xattrs);
    undo = swapIn(swap, steps, request.now(), xattrs);
  } catch (error) {
    if (swap !== undefined) discardSwap(swap);
    throw targetFailed(error, targets);
  }
  finish(swap, undo, request);
  report(staged, metadata, request);
  request.onProgress(staged.sizeBytes, staged.filesCount);
  return {
    target: displayPaths(targets.map(({ path }) => path)),
    filesCount: staged.filesCount,
    sizeBytes: staged.sizeBytes,
    ...(undo.length === 0 ? {} : { undo: displayPaths(undo) }),
  };
}

/** What an earlier restore or undo of these targets left when it was cut short. */
async function recoverFirst(given: readonly string[], request: FilesRestoreRequest): Promise<void> {
  const paths = new Set(given.map((path) => placeOf(path)));
  for (const message of await recoverPaths([...paths])) request.warn({ message, partial: false });
}

/** Only all of a source may take the place of all that is there. */
function isWholeSource(content: BackupContent, request: FilesRestoreRequest): boolean {
  const options = request.source?.options;
  const configured = (options?.include_patterns.length ?? 0) + (options?.exclude_patterns.length ?? 0);
  return content.whole && request.only.length === 0 && content.patterns === undefined && configured === 0;
}

function noteMerges(targets: readonly Target[], request: FilesRestoreRequest): void {
  for (const { path, leftOut } of targets) {
    if (leftOut === undefined) continue;
    const message = `holds what backups leave out (${displayPath(leftOut)}): what the backup has replaces its counterparts, everything else stays`;
    request.warn({ message, subject: path, partial: false });
  }
}

async function stageAll(
  content: BackupContent,
  stagings: readonly Staging[],
  request: FilesRestoreRequest,
  metadata: Metadata,
): Promise<StageOutcome> {
  const chosen = request.only.length === 0 ? () => true : await createSelection(request.only);
  return stage(content, stagings, {
    only: request.only,
    chosen,
    signal: request.signal,
    metadata,
    devices: request.privileged && request.host.privileged,
    onProgress: throttled(request.onProgress),
  });
}

function metadataFor(request: FilesRestoreRequest, xattrs: Xattrs | undefined): Metadata {
  return createMetadata({
    root: request.host.privileged,
    privileged: request.privileged,
    owners: readOwners(),
    xattrs,
  });
}

function stepsFor(
  { target, member }: Staging,
  implied: ReadonlySet<string>,
  extras: ReadonlyMap<Target, readonly string[]>,
  { mounts }: LeftOut,
  xattrs: Xattrs | undefined,
): Iterable<SwapStep> {
  if (target.mode === 'swap') return wholeSteps(member);
  if (target.mode === 'entries') return entrySteps(member, xattrs);
  return mergeSteps(member, {
    isImplied: (path) => implied.has(joinPath(target.entry, path)),
    extras: extras.get(target) ?? [],
    mounts,
    xattrs,
  });
}

/** The restore is done: what cannot be removed now is removed by the next command. */
function finish(swap: Swap, undo: readonly string[], request: FilesRestoreRequest): void {
  const paths = swap.stagings.map(({ target }) => target.path);
  try {
    if (undo.length === 0) discardUnit(swap.unit);
    else tidyQuietly(swap.unit);
    const keep = request.source?.options.undo_keep;
    if (keep !== undefined) dropUndo(paths, keep);
  } catch (error) {
    const message = `what is no longer needed could not be removed: ${errorText(error)}`;
    request.warn({ message, subject: paths[0]!, partial: false });
  }
}

/** Into a scratch folder, compared with the entries, removed in any case. */
async function testRestore(content: BackupContent, request: FilesRestoreRequest): Promise<RestoreOutcome> {
  const path = fromText(request.toPath ?? join(request.tempDir, 'restored'));
  const target: Target = {
    entry: '',
    kind: 'directory',
    path,
    state: 'absent',
    mode: 'swap',
    place: 'beside',
  };
  const metadata = metadataFor(request, await loadXattrs());
  let swap: Swap | undefined;
  try {
    swap = createSwap([target], request.backupId, request.now());
    const staged = await stageAll(content, swap.stagings, request, metadata);
    await checkStaged(content, swap.stagings[0]!.data, staged, request);
    return { target: displayPath(path), filesCount: staged.filesCount, sizeBytes: staged.sizeBytes };
  } catch (error) {
    throw targetFailed(error, [target]);
  } finally {
    if (swap !== undefined) discardSwap(swap);
  }
}

function report(staged: StageOutcome, metadata: Metadata, request: FilesRestoreRequest): void {
  metadata.report(request.warn);
  if (staged.skippedDevices > 0) {
    const message = `${staged.skippedDevices} devices are left out: they take root and --privileged`;
    request.warn({ message, partial: false });
  }
  if (staged.skippedSockets > 0) {
    const message = `${staged.skippedSockets} sockets are left out: whoever listens on them makes them`;
    request.warn({ message, partial: false });
  }
}

const PROGRESS_BYTES = 1024 * 1024;
const PROGRESS_FILES = 256;

function throttled(
  onProgress: (bytesDone: number, filesDone: number) => void,
): (bytesDone: number, filesDone: number) => void {
  let bytes = 0;
  let files = 0;
  return (bytesDone, filesDone) => {
    if (bytesDone - bytes < PROGRESS_BYTES && filesDone - files < PROGRESS_FILES) return;
    bytes = bytesDone;
    files = filesDone;
    onProgress(bytesDone, filesDone);
  };
}
