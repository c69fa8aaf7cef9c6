import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { displayPath, fromBytes, fromText } from '../../../archive/paths.ts';
import { DguardError, errnoOf, toDguardError } from '../../../errors.ts';
import { baseName, folderOf, fsPath, joinPath } from '../../fs-paths.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import { findUnits, sweepUnmarked } from '../../undo/find.ts';
import { discardUnit, keptName, keptSince, type SwapUnit, unitState } from '../../undo/unit.ts';
import type { FilesOptions } from '../options.ts';
import { loadXattrs, type Xattrs } from '../system/xattrs.ts';
import { exchange, generationOf, planName, revert, tidy } from './swap.ts';
import { readPlan, writePlan } from './swap-plan.ts';
import { undoSteps } from './swap-steps.ts';

/** What restores of files keep beside their targets. */
export const filesSwaps: TargetSwaps<FilesOptions> = {
  places: async (request) => targetPaths(request).map(displayPath),
  recover: async (request) => recoverPaths(targetPaths(request)),
  undoCopies: async (request) => keptUnits(targetPaths(request)).map(undoCopy),
  undo: undoNewest,
  dropUndo: async (request, keep) => dropUndo(targetPaths(request), keep),
};

/** Ends what was interrupted at these targets (byte strings). Returns what was done, in words. */
export async function recoverPaths(paths: readonly string[]): Promise<string[]> {
  const done: string[] = [];
  let xattrs: Xattrs | undefined;
  for (const path of paths) {
    for (const unit of findUnits(path)) {
      const state = unitState(unit);
      const where = displayPath(path);
      if (state === 'swapping' || state === 'undoing') {
        xattrs ??= await loadXattrs();
        revert(unit, state, xattrs);
        done.push(`${where}: an interrupted ${state === 'swapping' ? 'restore' : 'undo'} was taken back`);
      }
      if (state === 'staging') done.push(`${where}: what an interrupted restore had prepared was removed`);
      if (state === 'kept' || state === 'undoing') tidy(unit);
      else discardUnit(unit);
    }
    sweepUnmarked(path);
  }
  return done;
}

async function undoNewest(request: TargetRequest<FilesOptions>): Promise<UndoOutcome> {
  const paths = targetPaths(request);
  const recovered = await recoverPaths(paths);
  for (const message of recovered) request.warn({ message, partial: false });
  const [unit] = keptUnits(paths);
  if (unit === undefined) {
    throw new DguardError('nothing_there', 'no restore of this target keeps anything for undo', {
      operation: 'undo',
      subject: paths.map(displayPath).join(', '),
    });
  }
  const restored = undoCopy(unit);
  const xattrs = await loadXattrs();
  const before = generationOf(unit, 'kept');
  const generation = before + 1;
  try {
    for (const member of unit.members) {
      const done = readPlan(member.folder, planName(before));
      writePlan(member.folder, planName(generation), undoSteps(member, done, keptName(before), xattrs));
    }
    exchange(unit, 'undoing', generation, request.now(), xattrs);
  } catch (error) {
    if (unitState(unit) === 'kept') tidyQuietly(unit);
    throw toDguardError(error, 'target_failed', { operation: 'undo', subject: restored.name });
  }
  tidyQuietly(unit);
  return {
    target: unit.members.map(({ target }) => displayPath(target)).join(', '),
    restored,
    undo: restored.name,
  };
}

/** The next command tidies what this one could not. */
export function tidyQuietly(unit: SwapUnit): void {
  try {
    tidy(unit);
  } catch {
    // What is left is of no use to anybody, and marked.
  }
}

/** Removes what older restores of these targets keep, but for the newest `keep`. */
export function dropUndo(paths: readonly string[], keep: number): UndoCopy[] {
  return keptUnits(paths)
    .slice(keep)
    .map((unit) => {
      const copy = undoCopy(unit);
      discardUnit(unit);
      return copy;
    });
}

function keptUnits(paths: readonly string[]): SwapUnit[] {
  const units = new Map<string, SwapUnit>();
  for (const unit of paths.flatMap(findUnits)) {
    if (unitState(unit) === 'kept') units.set(unit.members[0]!.folder, unit);
  }
  return [...units.values()].sort((a, b) => (keptSince(a) < keptSince(b) ? 1 : -1));
}

function undoCopy(unit: SwapUnit): UndoCopy {
  return {
    name: unit.members.map(({ folder }) => displayPath(folder)).join(', '),
    backupId: unit.backupId,
    createdAt: new Date(keptSince(unit)),
  };
}

/** The targets as they are called where their links lead, also while one of them is away. Byte strings. */
function targetPaths(request: TargetRequest<FilesOptions>): string[] {
  const given = request.toPath === undefined ? (request.source?.options.source_path ?? []) : [request.toPath];
  return given.map((text) => placeOf(fromText(text)));
}

const MAX_LINKS = 40;

/** Where a path leads, whether or not anything is there. */
export function placeOf(given: string, links = 0): string {
  const path = given.length > 1 ? given.replace(/\/+$/, '') || '/' : given;
  try {
    return fromBytes(realpathSync.native(fsPath(path), { encoding: 'buffer' }));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || path === '/' || links > MAX_LINKS) return path;
  }
  const parent = placeOf(folderOf(path), links);
  const here = joinPath(parent, baseName(path));
  if (lstatSync(fsPath(here), { throwIfNoEntry: false })?.isSymbolicLink() !== true) return here;
  const link = fromBytes(readlinkSync(fsPath(here), { encoding: 'buffer' }));
  return placeOf(link.startsWith('/') ? link : joinPath(parent, link), links + 1);
}
