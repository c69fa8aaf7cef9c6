import { closeSync, fsyncSync, lstatSync, openSync, readdirSync } from 'node:fs';
import { fsPath } from '../fs-paths.ts';

/** Is anything there, be it a link that leads nowhere? */
export function exists(path: string): boolean {
  return lstatSync(fsPath(path), { throwIfNoEntry: false }) !== undefined;
}

/** Makes the names in a folder survive a power cut. */
export function syncFolder(path: string): void {
  const fd = openSync(fsPath(path), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Byte strings; none where the folder cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(fsPath(folder), 'latin1');
  } catch {
    return [];
  }
}
