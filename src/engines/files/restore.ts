import { chmodSync } from 'node:fs';
import { displayPath, fromText } from '../../archive/paths.ts';
import { DguardError, errnoOf, errorText, throwIfAborted } from '../../errors.ts';
import type { BackupContent, RestoreOutcome, RestoreRequest } from '../types.ts';
import { corrupt } from './corrupt.ts';
import { createEntryCheck } from './entry-check.ts';
import { fsPath } from './fs-paths.ts';
import { createMetadata, type Metadata } from './metadata.ts';
import type { FilesOptions } from './options.ts';
import { readOwners } from './owners.ts';
import { type StageOutcome, stage } from './stage.ts';
import { createStaging, discardStaging, recoverSwap, type Staging, swapIn } from './swap.ts';
import { resolveTargets, type Target } from './targets.ts';
import { runIn } from './tool.ts';
import { loadXattrs } from './xattrs.ts';

/** A backup that may not be of all of its source: `patterns` as its manifest records them. */
export type FilesContent = BackupContent & { readonly patterns?: unknown };

/**
 * Restores files: everything is written beside the target first, then swapped in by rename; what was there
 * is kept for undo. On any failure the staging is removed and the target is as it was.
 */
export async function restoreFiles(
  content: FilesContent,
  request: RestoreRequest<FilesOptions>,
): Promise<RestoreOutcome> {
  throwIfAborted(request.signal);
  if (!request.dryRun) recoverTargets(content, request);
  const targets = resolveTargets(content, request, isWholeSource(content, request));
  if (request.dryRun) return plan(content, request, targets);
  const metadata = createMetadata({
    root: request.host.privileged,
    privileged: request.privileged,
    owners: readOwners(),
    xattrs: await loadXattrs(),
  });
  const stagings: Staging[] = [];
  let staged: StageOutcome;
  let undo: readonly string[];
  try {
    for (const target of targets) stagings.push(createStaging(target, request.backupId, request.now()));
    staged = await stage(content, stagings, {
      only: request.only,
      signal: request.signal,
      metadata,
      devices: request.privileged && request.host.privileged,
      rootOrMode: request.host.privileged ? 0 : OWNER_WRITE,
      onProgress: throttled(request.onProgress),
    });
    if (staged.touched.length === 0) throw nothingThere(request);
    throwIfAborted(request.signal);
    makeDurable(staged.touched);
    undo = swapIn(staged.touched, request.backupId, request.now());
  } catch (error) {
    for (const staging of stagings.reverse()) discardStaging(staging);
    throw targetFailed(error, targets);
  }
  for (const staging of stagings) if (!staged.touched.includes(staging)) discardStaging(staging);
  if (!request.host.privileged) await finishRoots(content, staged.touched, metadata);
  report(staged, metadata, request);
  request.onProgress(staged.sizeBytes, staged.filesCount);
  return {
    target: names(staged.touched.map(({ target }) => target.path)),
    filesCount: staged.filesCount,
    sizeBytes: staged.sizeBytes,
    ...(undo.length === 0 ? {} : { undo: names(undo) }),
  };
}

const OWNER_WRITE = 0o200;

/** An earlier swap of the same target that was cut short is reverted first. */
function recoverTargets(content: BackupContent, request: RestoreRequest<FilesOptions>): void {
  const paths =
    request.toPath === undefined
      ? [
          ...content.sources.map(({ path }) => path),
          ...(request.source?.options.source_path ?? []).map(fromText),
        ]
      : [fromText(request.toPath)];
  for (const path of paths) {
    if (!recoverSwap(path)) continue;
    const message = 'an interrupted restore was found: what was there before it is back';
    request.warn({ message, subject: path, partial: false });
  }
}

/** Only all of a source may take the place of all that is there. */
function isWholeSource(content: FilesContent, request: RestoreRequest<FilesOptions>): boolean {
  const options = request.source?.options;
  const configured = (options?.include_patterns.length ?? 0) + (options?.exclude_patterns.length ?? 0);
  return request.only.length === 0 && content.patterns === undefined && configured === 0;
}

async function plan(
  content: BackupContent,
  request: RestoreRequest<FilesOptions>,
  targets: readonly Target[],
): Promise<RestoreOutcome> {
  const check = createEntryCheck(request.only.length > 0);
  let entries = 0;
  let filesCount = 0;
  let sizeBytes = 0;
  for await (const entry of content.entries({ only: request.only })) {
    throwIfAborted(request.signal);
    const wrong = check(entry);
    if (wrong !== undefined) throw corrupt(entry.path, wrong);
    entries += 1;
    if (entry.kind === 'directory' || entry.type === 'table') continue;
    filesCount += 1;
    sizeBytes += entry.size;
  }
  if (entries === 0) throw nothingThere(request);
  const lines = targets.map(({ path, state }) => {
    const kept = state === 'occupied' ? '; what is there now is kept beside it for undo' : '';
    return `restore to ${displayPath(path)}${kept}`;
  });
  return {
    target: names(targets.map(({ path }) => path)),
    filesCount,
    sizeBytes,
    plan: [`write ${filesCount} files of ${sizeBytes} bytes beside the target`, ...lines],
  };
}

/** Only where something is moved away for it: a power cut must not leave empty files in its place. */
function makeDurable(stagings: readonly Staging[]): void {
  for (const { folder, target } of stagings) {
    if (target.state !== 'occupied') continue;
    try {
      runIn(folder, 'sync', ['-f', '.']);
    } catch {
      // A sync(1) that knows no -f; what is replaced stays for undo anyway.
    }
  }
}

/** A folder that its owner may not write to could not have been moved: it gets its mode where it is now. */
async function finishRoots(
  content: BackupContent,
  stagings: readonly Staging[],
  metadata: Metadata,
): Promise<void> {
  for (const { target } of stagings) {
    if (target.kind !== 'directory') continue;
    const root = await content.entry(target.entry);
    if (root?.type !== 'tree' || (root.mode & OWNER_WRITE) !== 0) continue;
    chmodSync(fsPath(target.path), metadata.modeOf(root));
  }
}

function report(staged: StageOutcome, metadata: Metadata, request: RestoreRequest<FilesOptions>): void {
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

function names(paths: readonly string[]): string {
  return paths.map(displayPath).join(', ');
}

function nothingThere(request: RestoreRequest<FilesOptions>): DguardError {
  const what =
    request.only.length === 0 ? 'the backup is empty' : `nothing in it is named ${request.only.join(', ')}`;
  return new DguardError('nothing_there', what, {
    operation: 'restore',
    subject: request.backupId,
    hint: `dguard ls ${request.backupId}`,
  });
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'free some room there, or restore elsewhere with --to-path DIR',
  EDQUOT: 'free some room there, or restore elsewhere with --to-path DIR',
  EACCES: 'restore as a user who may write there, or elsewhere with --to-path DIR',
  EROFS: 'restore elsewhere with --to-path DIR',
  ENAMETOOLONG: 'restore to a folder with a shorter path: --to-path DIR',
};

function targetFailed(error: unknown, targets: readonly Target[]): DguardError {
  if (error instanceof DguardError) return error;
  const hint = HINTS[errnoOf(error) ?? ''];
  return new DguardError('target_failed', `the target cannot be written: ${errorText(error)}`, {
    operation: 'restore',
    subject: names(targets.map(({ path }) => path)),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
