import { chmodSync, lstatSync, readdirSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { displayPath } from '../../archive/paths.ts';
import { DguardError, errnoOf } from '../../errors.ts';
import { fsPath, joinPath } from '../fs-paths.ts';

/**
 * Removes a tree of ours, whatever names and modes are in it and however deep it is; follows no links and
 * goes into no other file system that came to be mounted in it. Nothing there is no error.
 */
export function removeTree(path: string): void {
  const top = lstatSync(fsPath(path), { throwIfNoEntry: false });
  if (top === undefined) return;
  const stack: { path: string; names: string[] }[] = [];
  visit(path, top);
  while (stack.length > 0) {
    const folder = stack[stack.length - 1]!;
    const name = folder.names.pop();
    if (name === undefined) {
      rmdirSync(fsPath(folder.path));
      stack.pop();
      continue;
    }
    const child = joinPath(folder.path, name);
    const stat = lstatSync(fsPath(child), { throwIfNoEntry: false });
    if (stat !== undefined) visit(child, stat);
  }

  function visit(child: string, stat: Stats): void {
    if (!stat.isDirectory()) {
      removeFile(child);
    } else if (stat.dev !== top!.dev) {
      throw new DguardError('target_failed', 'another file system is mounted here: it is not removed', {
        operation: 'remove',
        subject: displayPath(child),
        hint: 'unmount it, then run this again',
      });
    } else {
      stack.push({ path: child, names: namesIn(child, stat) });
    }
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(fsPath(path));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function namesIn(path: string, stat: Stats): string[] {
  // A restored mode may forbid its owner to look in.
  if ((stat.mode & 0o700) !== 0o700) chmodSync(fsPath(path), 0o700);
  return readdirSync(fsPath(path), 'latin1');
}
