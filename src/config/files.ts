import { open } from 'node:fs/promises';
import nodePath from 'node:path';
import { errnoOf } from '../errors.ts';
import type { Env } from './interpolate.ts';

/** A file that was read for the configuration, and who may touch it. */
export interface ReadFile {
  readonly path: string;
  readonly bytes: Buffer;
  /** Permission bits; undefined where they say nothing (not a regular file, or no such system). */
  readonly mode: number | undefined;
  readonly owner: number;
}

const MAX_BYTES = 4 * 1024 * 1024;

/** Reads a whole file and its permissions through one descriptor. Returns text where that is impossible. */
export async function readWithFacts(path: string): Promise<ReadFile | string> {
  try {
    const handle = await open(path, 'r');
    try {
      const stat = await handle.stat();
      if (stat.isDirectory()) return 'is a folder, not a file';
      if (stat.size > MAX_BYTES) return 'is far too large for what it should be';
      const bytes = await handle.readFile();
      const regular = stat.isFile() && process.platform !== 'win32';
      return { path, bytes, mode: regular ? stat.mode & 0o777 : undefined, owner: stat.uid };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const reason = errnoOf(error);
    if (reason === 'ENOENT') return 'does not exist';
    if (reason === 'EACCES' || reason === 'EPERM') return 'may not be read by this user';
    return `cannot be read (${reason ?? 'unknown reason'})`;
  }
}

/** What is wrong with a file's permissions: others can write it. */
export function writableProblem(
  file: ReadFile,
): { severity: 'unsafe' | 'warning'; message: string } | undefined {
  if (file.mode === undefined) return undefined;
  if (file.mode & 0o002) return { severity: 'unsafe', message: 'can be written by anyone' };
  if (file.mode & 0o020) return { severity: 'warning', message: 'can be written by its group' };
  return undefined;
}

/** A path of the configuration, relative to the folder of the file that holds it; `~/` is the home folder. */
export function resolvePath(path: string, holder: string, env: Env): string {
  const home = env['HOME'];
  if (home && (path === '~' || path.startsWith('~/'))) return nodePath.join(home, path.slice(1));
  return nodePath.resolve(nodePath.dirname(holder), path);
}
