import { chmodSync, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { errnoOf } from '../../errors.ts';
import { fsPath, joinPath } from './fs-paths.ts';

/**
 * Removes a tree of ours, whatever names and modes are in it and however deep it is; follows no links.
 * Nothing there is no error.
 */
export function removeTree(path: string): void {
  const stack: { path: string; names: string[] }[] = [];
  if (!removeLeaf(path)) stack.push({ path, names: namesIn(path) });
  while (stack.length > 0) {
    const folder = stack[stack.length - 1]!;
    const name = folder.names.pop();
    if (name === undefined) {
      rmdirSync(fsPath(folder.path));
      stack.pop();
      continue;
    }
    const child = joinPath(folder.path, name);
    if (!removeLeaf(child)) stack.push({ path: child, names: namesIn(child) });
  }
}

/** False where it is a folder. */
function removeLeaf(path: string): boolean {
  try {
    if (lstatSync(fsPath(path)).isDirectory()) return false;
    unlinkSync(fsPath(path));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return true;
}

function namesIn(path: string): string[] {
  // A restored mode may forbid its owner to look in.
  chmodSync(fsPath(path), 0o700);
  return readdirSync(fsPath(path), 'latin1');
}
