import { lstatSync, rmdirSync } from 'node:fs';
import { baseName, folderOf, fsPath, joinPath } from '../fs-paths.ts';
import { namesIn } from './folder.ts';
import { looksMarked, MARK_FILE, type Mark, markedPath, readMark, UNFINISHED_SUFFIX } from './marks.ts';
import { removeTree } from './remove-tree.ts';
import type { SwapUnit } from './unit.ts';

/**
 * The units that a target is part of, newest first, whatever their state. Only those of this user: in a folder
 * that others may write to, a mark could tell us to move what is not ours.
 */
export function findUnits(target: string): SwapUnit[] {
  const units = new Map<string, SwapUnit>();
  for (const folder of markedFolders(target)) {
    const mark = trustedMark(folder);
    if (mark?.target !== target) continue;
    const primary = mark.primary ?? folder;
    const unit = unitOf(primary);
    if (unit?.members.some((member) => member.folder === folder && member.target === target)) {
      units.set(primary, unit);
    }
  }
  return [...units.values()].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
}

/** Folders that a crash left before they had their mark: empty, so that nothing can be lost. */
export function sweepUnmarked(target: string): void {
  for (const folder of markedFolders(target)) {
    if (!isFolderFor(folder, target)) continue;
    const names = namesIn(folder);
    if (names.some((name) => name !== MARK_FILE + UNFINISHED_SUFFIX)) continue;
    for (const name of names) removeTree(joinPath(folder, name));
    rmdirSync(fsPath(folder));
  }
}

function isFolderFor(folder: string, target: string): boolean {
  const name = baseName(folder);
  const id = /\.dguard-undo-([A-Za-z0-9._-]+)$/.exec(name)?.[1] ?? '';
  const place = folderOf(folder) === target ? 'inside' : 'beside';
  return markedPath(target, place, id) === folder;
}

function markedFolders(target: string): string[] {
  return [folderOf(target), target].flatMap((parent) =>
    namesIn(parent)
      .filter(looksMarked)
      .map((name) => joinPath(parent, name)),
  );
}

function unitOf(primary: string): SwapUnit | undefined {
  const mark = trustedMark(primary);
  if (mark?.members === undefined) return undefined;
  const whole = mark.members.every(({ target, folder }) => {
    const parent = folderOf(folder);
    return (parent === folderOf(target) || parent === target) && looksMarked(baseName(folder));
  });
  return whole && mark.members[0]?.folder === primary
    ? { backupId: mark.backupId, createdAt: mark.createdAt, members: mark.members }
    : undefined;
}

function trustedMark(folder: string): Mark | undefined {
  const stat = lstatSync(fsPath(folder), { throwIfNoEntry: false });
  const own = process.geteuid?.();
  if (stat?.isDirectory() !== true || (own !== undefined && stat.uid !== own)) return undefined;
  return readMark(folder);
}
