import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
} from 'node:fs';
import { displayPath } from '../../archive/paths.ts';
import { DguardError, errnoOf } from '../../errors.ts';
import { folderOf, fsPath, joinPath } from './fs-paths.ts';
import { DATA_NAME, looksMarked, type Mark, markedPath, readMark, writeMark } from './marks.ts';
import { removeTree } from './remove-tree.ts';
import type { Target } from './targets.ts';

/** A staged tree beside its target, not yet in its place. */
export interface Staging {
  readonly target: Target;
  /** The marked folder. */
  readonly folder: string;
  /** The staged tree or file in it. */
  readonly data: string;
  /** Folders above the target that were made for it, highest first. */
  readonly madeParents: readonly string[];
}

/** Makes the marked folder for a target (0700), and the folders above it where they are missing. */
export function createStaging(target: Target, backupId: string, createdAt: Date): Staging {
  const madeParents = makeParents(folderOf(target.path));
  const folder = markedPath(target.path, 'new', backupId);
  const staging = { target, folder, data: joinPath(folder, DATA_NAME), madeParents };
  try {
    // What an earlier restore of this backup left when it was killed.
    if (readMark(folder)?.role === 'new') removeTree(folder);
    mkdirSync(fsPath(folder), 0o700);
  } catch (error) {
    removeParents(madeParents);
    throw error;
  }
  try {
    writeMark(folder, { role: 'new', backupId, target: target.path, createdAt: createdAt.toISOString() });
    if (target.kind === 'directory') mkdirSync(fsPath(staging.data), 0o700);
  } catch (error) {
    discardStaging(staging);
    throw error;
  }
  return staging;
}

/** Removes what was staged; the target is as it was. */
export function discardStaging(staging: Staging): void {
  removeTree(staging.folder);
  removeParents(staging.madeParents);
}

/**
 * Puts each staged tree in its target's place; what was there is kept under a mark for undo. All or none:
 * when one fails, those before it are put back. Returns the marked undo folders.
 */
export function swapIn(stagings: readonly Staging[], backupId: string, now: Date): string[] {
  const done: { staging: Staging; undo: string | undefined }[] = [];
  try {
    for (const staging of stagings) {
      const { target } = staging;
      const undo = target.state === 'occupied' ? keepForUndo(target.path, backupId, now) : undefined;
      done.push({ staging, undo });
      if (undo === undefined) refuseNew(target);
      renameSync(fsPath(staging.data), fsPath(target.path));
      syncFolder(folderOf(target.path));
    }
  } catch (error) {
    for (const { staging, undo } of done.reverse()) putBack(staging, undo);
    throw error;
  }
  for (const { folder } of stagings) removeTree(folder);
  return done.flatMap(({ undo }) => (undo === undefined ? [] : [undo]));
}

/**
 * Reverts a swap that was cut short: the target is gone, and beside it lies what it was, under our mark.
 * Returns true where something was put back.
 */
export function recoverSwap(target: string): boolean {
  if (lstatSync(fsPath(target), { throwIfNoEntry: false }) !== undefined) return false;
  let newest: { folder: string; mark: Mark } | undefined;
  for (const name of siblingNames(target)) {
    if (!looksMarked(name)) continue;
    const folder = joinPath(folderOf(target), name);
    const mark = readMark(folder);
    if (mark?.role !== 'undo' || mark.target !== target) continue;
    if (newest === undefined || mark.createdAt > newest.mark.createdAt) newest = { folder, mark };
  }
  if (newest === undefined) return false;
  const data = joinPath(newest.folder, DATA_NAME);
  if (lstatSync(fsPath(data), { throwIfNoEntry: false }) === undefined) return false;
  renameSync(fsPath(data), fsPath(target));
  removeTree(newest.folder);
  syncFolder(folderOf(target));
  return true;
}

function siblingNames(target: string): string[] {
  try {
    return readdirSync(fsPath(folderOf(target)), 'latin1');
  } catch {
    return [];
  }
}

/** The mark is durable before the target moves: an interrupted swap is found by it. */
function keepForUndo(target: string, backupId: string, now: Date): string {
  const folder = freeUndoFolder(target, backupId);
  try {
    writeMark(folder, { role: 'undo', backupId, target, createdAt: now.toISOString() });
    syncFolder(folder);
    syncFolder(folderOf(target));
    renameSync(fsPath(target), fsPath(joinPath(folder, DATA_NAME)));
  } catch (error) {
    removeTree(folder);
    throw error;
  }
  return folder;
}

/** The same backup may be restored again while an earlier undo copy is still kept. */
function freeUndoFolder(target: string, backupId: string): string {
  for (let attempt = 1; ; attempt += 1) {
    const folder = markedPath(target, 'undo', attempt === 1 ? backupId : `${backupId}-${attempt}`);
    try {
      mkdirSync(fsPath(folder), 0o700);
      return folder;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST' || attempt >= 1000) throw error;
    }
  }
}

/** A rename replaces an empty folder and, silently, a file that came up meanwhile. */
function refuseNew(target: Target): void {
  const now = lstatSync(fsPath(target.path), { throwIfNoEntry: false });
  if (now === undefined || (target.state === 'empty' && now.isDirectory())) {
    if (now !== undefined && target.kind === 'file') rmdirSync(fsPath(target.path));
    return;
  }
  throw new DguardError('target_refused', 'something came up at the target while it was restored', {
    operation: 'restore',
    subject: displayPath(target.path),
  });
}

function putBack(staging: Staging, undo: string | undefined): void {
  const { target } = staging;
  const isIn = lstatSync(fsPath(staging.data), { throwIfNoEntry: false }) === undefined;
  if (isIn) renameSync(fsPath(target.path), fsPath(staging.data));
  if (undo !== undefined) {
    renameSync(fsPath(joinPath(undo, DATA_NAME)), fsPath(target.path));
    removeTree(undo);
  } else if (
    target.state === 'empty' &&
    lstatSync(fsPath(target.path), { throwIfNoEntry: false }) === undefined
  ) {
    mkdirSync(fsPath(target.path));
  }
}

function syncFolder(path: string): void {
  const fd = openSync(fsPath(path), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function makeParents(folder: string): string[] {
  const made: string[] = [];
  const missing: string[] = [];
  let path = folder;
  while (path !== '/' && lstatSync(fsPath(path), { throwIfNoEntry: false }) === undefined) {
    missing.push(path);
    path = folderOf(path);
  }
  for (const next of missing.reverse()) {
    try {
      mkdirSync(fsPath(next), 0o755);
    } catch (error) {
      removeParents(made);
      throw error;
    }
    made.push(next);
  }
  return made;
}

function removeParents(made: readonly string[]): void {
  for (const path of [...made].reverse()) {
    try {
      rmdirSync(fsPath(path));
    } catch {
      // Someone put something there: theirs now.
      return;
    }
  }
}
