import { chmodSync, lstatSync, renameSync } from 'node:fs';
import { displayPath, parentPath } from '../../../archive/paths.ts';
import { DguardError, errnoOf } from '../../../errors.ts';
import { baseName, folderOf, fsPath, joinPath } from '../../fs-paths.ts';
import { syncFolder } from '../../undo/folder.ts';
import type { UnitMember } from '../../undo/marks.ts';
import type { Xattrs } from '../system/xattrs.ts';
import { type FolderCursor, openFolders } from './folder-cursor.ts';
import { applyFolderState } from './folder-state.ts';
import { readPlan, type SwapStep } from './swap-plan.ts';

/** One target of a swap: which plan it follows, and between which trees of its marked folder things move. */
export interface SwapSide {
  readonly member: UnitMember;
  readonly plan: string;
  /** The tree that holds what is to be at the target. */
  readonly incoming: string;
  /** The tree that gets what is there now. */
  readonly outgoing: string;
}

type Move = Extract<SwapStep, { do: 'move' }>;

/** Does what the plan says. Throws half way where something fails: then `moveBack` is due. */
export function moveForward(side: SwapSide, xattrs: Xattrs | undefined): void {
  withPlaces(side, (placeOf, folderAt) => {
    for (const step of readPlan(side.member.folder, side.plan)) {
      if (step.do !== 'move') continue;
      const place = placeOf(step, true);
      if (step.old) named(side.member, step, () => move(place.target!, place.outgoing!, step.oldMode));
      if (!step.new) continue;
      // A rename would silently replace it.
      if (isThere(place.target)) throw cameUp(side.member, step);
      named(side.member, step, () => move(place.incoming!, place.target!, step.newMode));
    }
    for (const step of readPlan(side.member.folder, side.plan)) {
      if (step.do !== 'folder') continue;
      const folder = folderAt(step.path);
      const { after } = step;
      if (after !== undefined) named(side.member, step, () => applyFolderState(folder, after, xattrs));
      syncFolder(`${folder}/.`);
    }
  });
}

/**
 * Takes back what a plan has done so far, however far that was: what is where tells it. May be repeated. What was
 * moved in folders that stay is durable on return.
 */
export function moveBack(side: SwapSide, xattrs: Xattrs | undefined): void {
  withPlaces(side, (placeOf, folderAt) => {
    for (const step of readPlan(side.member.folder, side.plan)) {
      if (step.do !== 'move') continue;
      const place = placeOf(step, false);
      if (step.new && !isThere(place.incoming) && isThere(place.target)) {
        named(side.member, step, () => move(place.target!, place.incoming!, step.newMode));
      }
      if (!step.old) continue;
      if (isThere(place.outgoing)) {
        if (isThere(place.target)) throw cameUp(side.member, step);
        named(side.member, step, () => move(place.outgoing!, place.target!, step.oldMode));
      } else if (step.oldMode !== undefined) {
        chmodSync(fsPath(place.target!), step.oldMode);
      }
    }
    for (const step of readPlan(side.member.folder, side.plan)) {
      if (step.do !== 'folder') continue;
      named(side.member, step, () => applyFolderState(folderAt(step.path), step.before, xattrs));
    }
    // All is as it was before any of it is made durable, which a full or failing disk may refuse.
    for (const step of readPlan(side.member.folder, side.plan)) {
      if (step.do === 'folder') syncFolder(`${folderAt(step.path)}/.`);
    }
  });
}

interface Place {
  readonly target: string | undefined;
  readonly incoming: string | undefined;
  readonly outgoing: string | undefined;
}

/** Paths through open folders: none of them is followed through a link that somebody puts there meanwhile. */
function withPlaces(
  { member, incoming, outgoing }: SwapSide,
  work: (placeOf: (step: Move, make: boolean) => Place, folderAt: (path: string) => string) => void,
): void {
  const above = openFolders(folderOf(member.target));
  const target = openFolders(member.target);
  const into = openFolders(joinPath(member.folder, incoming));
  const out = openFolders(joinPath(member.folder, outgoing));
  const below = (cursor: FolderCursor, path: string, make = false): string | undefined => {
    const folder = cursor.at(parentPath(path), make);
    return folder === undefined ? undefined : joinPath(folder, baseName(path));
  };
  const placeOf = ({ path }: Move, make: boolean): Place =>
    path === ''
      ? {
          target: joinPath(above.at('')!, baseName(member.target)),
          incoming: joinPath(member.folder, incoming),
          outgoing: joinPath(member.folder, outgoing),
        }
      : { target: below(target, path), incoming: below(into, path), outgoing: below(out, path, make) };
  const folderAt = (path: string): string => {
    const found = target.at(path);
    if (found !== undefined) return found;
    throw new DguardError('target_failed', 'a folder went away during the swap', {
      operation: 'restore',
      subject: displayPath(joinPath(member.target, path)),
    });
  };
  try {
    work(placeOf, folderAt);
  } finally {
    for (const cursor of [above, target, into, out]) cursor.close();
  }
}

function isThere(path: string | undefined): boolean {
  return path !== undefined && lstatSync(fsPath(path), { throwIfNoEntry: false }) !== undefined;
}

/** @param mode of a folder whose `..` its owner may not write */
function move(from: string, to: string, mode: number | undefined): void {
  if (mode !== undefined) chmodSync(fsPath(from), mode | 0o200);
  renameSync(fsPath(from), fsPath(to));
  if (mode !== undefined) chmodSync(fsPath(to), mode);
}

/** What the system refuses is said by the path that people know: its own words name a number of an open folder. */
function named(member: UnitMember, { path }: SwapStep, work: () => void): void {
  try {
    work();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    const { message, syscall } = error as NodeJS.ErrnoException;
    const at = displayPath(path === '' ? member.target : joinPath(member.target, path));
    const what = `${message.split(',')[0]}, ${at}${syscall === undefined ? '' : ` (${syscall})`}`;
    throw Object.assign(new Error(what, { cause: error }), { code: errno });
  }
}

function cameUp(member: UnitMember, step: Move): DguardError {
  return new DguardError('target_refused', 'something came up at the target while it was restored', {
    operation: 'restore',
    subject: displayPath(joinPath(member.target, step.path)),
    hint: 'stop what writes there and move it away, then: dguard restore --recover',
  });
}
