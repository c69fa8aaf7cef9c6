import { lstatSync } from 'node:fs';
import { fsPath, joinPath } from '../../fs-paths.ts';
import type { Target } from '../target.ts';
import { type Child, childrenOf, type LeftOut, type Scope } from './scope.ts';

/**
 * What a target has and the backup, in its own scope, has not: what `--delete-extra` removes. A folder is
 * named as a whole only where all in it may go. Paths relative to the target, byte strings, sorted.
 *
 * @param held the paths of the backup's entries, whatever became of them here: true for folders
 */
export function findExtras(
  target: Target,
  held: ReadonlyMap<string, boolean>,
  scope: Scope,
  leftOut: LeftOut,
): string[] {
  const top = lstatSync(fsPath(target.path), { throwIfNoEntry: false });
  return top?.isDirectory() === true && target.kind === 'directory' ? inFolder('', true) : [];

  /** @param isHeld the backup has this folder too: it stays */
  function inFolder(folder: string, isHeld: boolean): string[] {
    const extras: string[] = [];
    let all = !isHeld && scope(target, folder, true) === 'in';
    const path = joinPath(target.path, folder);
    const children = childrenOf(path);
    const names = children.map(({ name }) => name);
    // What is in it is never backed up.
    if (leftOut.tagged(path, names)) return [];
    for (const child of children) {
      const found = of(child, joinPath(folder, child.name));
      extras.push(...found.paths);
      all &&= found.all;
    }
    return all ? [folder] : extras;
  }

  function of(child: Child, path: string): { paths: string[]; all: boolean } {
    const stays = { paths: [], all: false };
    if (leftOut.itself(joinPath(target.path, path), child.isFolder)) return stays;
    // A socket belongs to whoever listens on it, and comes back with him.
    if (child.isSocket) return stays;
    const heldFolder = held.get(joinPath(target.entry, path));
    // It is replaced, whatever is in it.
    if (heldFolder === false || (heldFolder === true && !child.isFolder)) return stays;
    const isHeld = heldFolder === true;
    const where = scope(target, path, child.isFolder);
    if (where === 'out') return stays;
    if (!child.isFolder) return { paths: [path], all: true };
    const paths = inFolder(path, isHeld);
    return { paths, all: !isHeld && paths.length === 1 && paths[0] === path };
  }
}
