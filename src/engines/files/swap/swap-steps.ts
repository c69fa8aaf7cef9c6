import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { displayPath, parentPath } from '../../../archive/paths.ts';
import { DguardError } from '../../../errors.ts';
import { baseName, fsPath, joinPath } from '../../fs-paths.ts';
import { looksMarked, readMark, type UnitMember } from '../../undo/marks.ts';
import { NEW_NAME } from '../../undo/unit.ts';
import type { Mounts } from '../system/mounts.ts';
import type { Xattrs } from '../system/xattrs.ts';
import { openFolders } from './folder-cursor.ts';
import { type FolderState, readFolderState } from './folder-state.ts';
import type { SwapStep } from './swap-plan.ts';

type Move = Extract<SwapStep, { do: 'move' }>;

/** The target as a whole: one step. */
export function wholeSteps(member: UnitMember): SwapStep[] {
  return [moveStep('', statOf(member.target), statOf(joinPath(member.folder, NEW_NAME)))];
}

/** A folder that cannot itself be moved: everything in it is. */
export function* entrySteps(member: UnitMember, xattrs: Xattrs | undefined): Generator<SwapStep> {
  const staged = joinPath(member.folder, NEW_NAME);
  const cursors = [openFolders(member.target), openFolders(staged)];
  try {
    const [here, there] = cursors.map((cursor) => cursor.at(''));
    if (here === undefined || there === undefined) throw vanished(member, '');
    yield folderStep('', here, readFolderState(there, xattrs), xattrs);
  } finally {
    for (const cursor of cursors) cursor.close();
  }
  const names = new Set([...namesIn(member.target), ...namesIn(staged)]);
  for (const name of [...names].sort()) {
    const path = joinPath(member.target, name);
    if (looksMarked(name) && readMark(path) !== undefined) continue;
    yield moveStep(name, statOf(path), statOf(joinPath(staged, name)));
  }
}

export interface MergeOptions {
  /** Folders that the restore made without an entry of their own, or that are not chosen: paths in the target. */
  readonly isImplied: (path: string) => boolean;
  /** What goes without a successor: paths in the target. */
  readonly extras: readonly string[];
  readonly mounts: Mounts;
  readonly xattrs: Xattrs | undefined;
}

/** What is staged takes the place of its counterpart, folder by folder; the rest stays. */
export function* mergeSteps(member: UnitMember, options: MergeOptions): Generator<SwapStep> {
  const { mounts, xattrs } = options;
  const target = openFolders(member.target);
  const staged = openFolders(joinPath(member.folder, NEW_NAME));
  const met = new Set<string>();
  try {
    const folders = [''];
    while (folders.length > 0) {
      const folder = folders.pop()!;
      const here = target.at(folder);
      const there = staged.at(folder);
      if (here === undefined || there === undefined) throw vanished(member, folder);
      const after = options.isImplied(folder) ? undefined : readFolderState(there, xattrs);
      yield folderStep(folder, here, after, xattrs);
      if (options.extras.length > 0) met.add(folder);
      for (const name of namesIn(there)) {
        const path = joinPath(folder, name);
        const isNew = statOf(joinPath(there, name));
        const old = statOf(joinPath(here, name));
        if (old !== undefined && mounts.isPoint(joinPath(member.target, path))) {
          // A backup of one file system has an empty folder there.
          if (isNew?.isDirectory() !== true || namesIn(joinPath(there, name)).length > 0)
            throw mounted(member, path);
        } else if (old?.isDirectory() !== true || isNew?.isDirectory() !== true) {
          yield moveStep(path, old, isNew);
        } else {
          folders.push(path);
        }
      }
    }
    for (const path of options.extras) {
      // A folder that stays, and that the backup has not: one step for its times, before the first in it.
      for (let above = parentPath(path); !met.has(above); above = parentPath(above)) {
        met.add(above);
        const here = target.at(above);
        if (here === undefined) throw vanished(member, above);
        yield folderStep(above, here, undefined, xattrs);
      }
      const here = target.at(parentPath(path));
      yield moveStep(
        path,
        here === undefined ? undefined : statOf(joinPath(here, baseName(path))),
        undefined,
      );
    }
  } finally {
    target.close();
    staged.close();
  }
}

/**
 * The way back of steps that were done: what was kept goes to its place again, what is there now is moved
 * away. As the target is now, which may have changed since.
 */
export function* undoSteps(
  member: UnitMember,
  done: Iterable<SwapStep>,
  kept: string,
  xattrs: Xattrs | undefined,
): Generator<SwapStep> {
  const target = openFolders(member.target);
  const old = openFolders(joinPath(member.folder, kept));
  try {
    for (const step of done) {
      if (step.do === 'folder') {
        const here = target.at(step.path);
        if (here !== undefined) yield folderStep(step.path, here, step.before, xattrs);
      } else if (step.path === '') {
        yield moveStep('', statOf(member.target), statOf(joinPath(member.folder, kept)));
      } else {
        const name = baseName(step.path);
        const here = target.at(parentPath(step.path));
        if (here === undefined) throw vanished(member, parentPath(step.path));
        const there = old.at(parentPath(step.path));
        const now = statOf(joinPath(here, name));
        const then = there === undefined ? undefined : statOf(joinPath(there, name));
        if (now !== undefined || then !== undefined) yield moveStep(step.path, now, then);
      }
    }
  } finally {
    target.close();
    old.close();
  }
}

function moveStep(path: string, old: Stats | undefined, isNew: Stats | undefined): Move {
  return {
    do: 'move',
    path,
    old: old !== undefined,
    new: isNew !== undefined,
    ...(isFixed(old) ? { oldMode: old!.mode & 0o7777 } : {}),
    ...(isFixed(isNew) ? { newMode: isNew!.mode & 0o7777 } : {}),
  };
}

/** A folder that this user cannot move as it is: its `..` changes with it. */
function isFixed(stat: Stats | undefined): boolean {
  return stat?.isDirectory() === true && (stat.mode & 0o200) === 0 && process.geteuid?.() !== 0;
}

function folderStep(
  path: string,
  at: string,
  after: FolderState | undefined,
  xattrs: Xattrs | undefined,
): SwapStep {
  return {
    do: 'folder',
    path,
    before: readFolderState(at, xattrs),
    ...(after === undefined ? {} : { after }),
  };
}

function statOf(path: string): Stats | undefined {
  return lstatSync(fsPath(path), { throwIfNoEntry: false });
}

function namesIn(folder: string): string[] {
  return readdirSync(fsPath(folder), 'latin1');
}

function vanished(member: UnitMember, folder: string): DguardError {
  return new DguardError('target_refused', 'a folder that the restore needs is not there (any more)', {
    operation: 'restore',
    subject: displayPath(joinPath(member.target, folder)),
    hint: 'make it again, or take single files from what is kept for undo',
  });
}

function mounted(member: UnitMember, path: string): DguardError {
  const place = displayPath(joinPath(member.target, path));
  return new DguardError('target_refused', `${place}: another file system is mounted there`, {
    operation: 'restore',
    subject: place,
    hint: 'unmount it, leave it out with --only, or restore elsewhere with --to-path DIR',
  });
}
