import { displayPath, isAscii, toBytes } from '../archive/paths.ts';

/** A byte string as Node's fs takes it: text is the faster form, and right only for ASCII. */
export function fsPath(path: string): string | Buffer {
  return isAscii(path) ? path : toBytes(path);
}

/** A path below a folder; byte strings. */
export function joinPath(folder: string, name: string): string {
  if (name === '') return folder;
  return folder === '' || folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}

/** The last part of an absolute path; empty for `/`. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The folder that holds an absolute path. */
export function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** Is `path` the folder itself or below it? */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** Paths as a person reads them, in one line. */
export function displayPaths(paths: readonly string[]): string {
  return paths.map(displayPath).join(', ');
}
