import type { ContentEntry } from '../../../archive/entry.ts';
import { displayPath } from '../../../archive/paths.ts';
import { createSelection } from '../../../archive/select.ts';
import { throwIfAborted } from '../../../errors.ts';
import { displayPaths, isWithin, joinPath } from '../../fs-paths.ts';
import type { BackupContent, RestoreOutcome } from '../../types.ts';
import type { Target } from '../target.ts';
import { corrupt } from './corrupt.ts';
import { createEntryCheck } from './entry-check.ts';
import { findExtras } from './find-extras.ts';
import { nothingThere } from './restore-errors.ts';
import { createScope, type FilesRestoreRequest, type LeftOut } from './scope.ts';

/** How much a restore writes. */
export interface Counts {
  readonly filesCount: number;
  readonly sizeBytes: number;
}

/**
 * A first look at the entries, checked as the restore will check them: which targets they are for (of a
 * selection, not all), and how much they are. `held` is filled: every path, and whether it is a folder's.
 */
export async function survey(
  content: BackupContent,
  request: FilesRestoreRequest,
  targets: readonly Target[],
  held: Map<string, boolean> | undefined,
): Promise<Counts & { targets: Target[] }> {
  const check = createEntryCheck(request.only.length > 0);
  const unmet = request.only.length > 1 ? await unmetOf(request.only) : undefined;
  const touched = new Set<Target>();
  let entries = 0;
  let filesCount = 0;
  let sizeBytes = 0;
  for await (const entry of content.entries({ only: request.only })) {
    throwIfAborted(request.signal);
    const wrong = check(entry);
    if (wrong !== undefined) throw corrupt(entry.path, wrong);
    entries += 1;
    held?.set(entry.path, entry.kind === 'directory');
    unmet?.see(entry);
    const target = targets.find((each) => each.entry === '' || isWithin(entry.path, each.entry));
    if (target !== undefined) touched.add(target);
    if (entry.kind === 'directory' || entry.type === 'table') continue;
    filesCount += 1;
    sizeBytes += entry.size;
  }
  if (entries === 0) throw nothingThere(request);
  for (const pattern of unmet?.left() ?? [])
    request.warn({ message: `nothing in the backup is named ${pattern}`, subject: pattern, partial: false });
  return { filesCount, sizeBytes, targets: targets.filter((target) => touched.has(target)) };
}

/** Which of several names nothing bears, once all entries were seen. */
async function unmetOf(only: readonly string[]) {
  const open = new Map<string, (entry: ContentEntry) => boolean>();
  for (const pattern of new Set(only)) open.set(pattern, await createSelection([pattern]));
  return {
    see(entry: ContentEntry) {
      for (const [pattern, selects] of open) if (selects(entry)) open.delete(pattern);
    },
    left: () => [...open.keys()],
  };
}

/** What is at each target that is merged into and the backup does not hold: `deleteExtra` takes it away. */
export async function extrasOf(
  content: BackupContent,
  request: FilesRestoreRequest,
  targets: readonly Target[],
  held: ReadonlyMap<string, boolean> | undefined,
  leftOut: LeftOut,
): Promise<ReadonlyMap<Target, readonly string[]>> {
  if (held === undefined) return new Map();
  const scope = await createScope(content, request);
  const merged = targets.filter(({ mode }) => mode === 'merge');
  return new Map(merged.map((target) => [target, findExtras(target, held, scope, leftOut)]));
}

/** A dry run's outcome: what would be written, kept and removed, in words. */
export async function planned(
  content: BackupContent,
  request: FilesRestoreRequest,
  targets: readonly Target[],
  { filesCount, sizeBytes }: Counts,
  held: ReadonlyMap<string, boolean> | undefined,
  leftOut: LeftOut,
): Promise<RestoreOutcome> {
  const extras = await extrasOf(content, request, targets, held, leftOut);
  const lines = targets.flatMap((target) => {
    const path = displayPath(target.path);
    const removed = (extras.get(target) ?? []).map(
      (extra) => `remove, and keep for undo, ${displayPath(joinPath(target.path, extra))}`,
    );
    if (target.state !== 'occupied') return [`restore to ${path}`];
    if (target.mode !== 'merge') {
      return [`restore to ${path}; what is there now is kept ${target.place} it for undo`];
    }
    return [
      `replace in ${path} what the backup holds, and keep it ${target.place} it for undo${removed.length > 0 ? '' : '; everything else stays'}`,
      ...removed,
    ];
  });
  return {
    target: displayPaths(targets.map(({ path }) => path)),
    filesCount,
    sizeBytes,
    plan: [`write ${filesCount} files of ${sizeBytes} bytes beside the target`, ...lines],
  };
}
