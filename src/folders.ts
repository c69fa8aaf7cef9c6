import { mkdirSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and what is missing above it, mode 0700; one that is there stays as it is. Not by mkdir's own
 * `recursive`: where no folder can be made (/proc) Node tries for ever, and nothing ends it. Returns what it made, the outermost first. Errors: those of mkdir.
 */
export function makeFolders(path: string): string[] {
  const made: string[] = [];
  for (const folder of missingFolders(path)) {
    try {
      mkdirSync(folder, { mode: 0o700 });
      made.push(folder);
    } catch (error) {
      // Another process was faster.
      if (!isFolder(folder)) throw error;
    }
  }
  return made;
}

/** A folder and those above it that are not there, the outermost first. */
export function missingFolders(path: string): string[] {
  const missing: string[] = [];
  for (let folder = path; !isFolder(folder); folder = dirname(folder)) missing.unshift(folder);
  return missing;
}

/** The folder itself, or the innermost above it that is there: whose disk it would lie on. */
export function folderOnDisk(path: string): string {
  const [outermost] = missingFolders(path);
  return outermost === undefined ? path : dirname(outermost);
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // What cannot be looked at is made, and mkdir says why not. The root always is one.
    return path === dirname(path);
  }
}

/**
 * How many bytes a process without privileges may still write to the disk that a folder lies on. Undefined where the
 * file system does not say how large it is (some of FUSE, /proc): such are not full. Errors: those of statfs(2).
 */
export async function freeBytesOf(folder: string): Promise<number | undefined> {
  const { blocks, bavail, bsize } = await statfs(folder);
  return blocks === 0 ? undefined : bavail * bsize;
}
