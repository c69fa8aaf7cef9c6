import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
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

/** What was opened for this process: `/dev/stdin`, and what a shell makes of `<(…)`. */
const DESCRIPTOR = /^\/(dev\/(stdin$|fd\/)|proc\/(self|\d+)\/fd\/)/;

/**
 * Reads a whole file and its permissions through one descriptor. Returns text where that is impossible. A pipe that
 * this process was given is read to its end; one with a name may wait for ever for somebody to write, and is none.
 */
export async function readWithFacts(path: string): Promise<ReadFile | string> {
  try {
    const other = DESCRIPTOR.test(path) ? undefined : otherThanFile(await stat(path));
    if (other !== undefined) return `is ${other}, not a file`;
    const handle = await open(path, 'r');
    try {
      const facts = await handle.stat();
      const bytes = await readUpTo(handle, MAX_BYTES + 1);
      if (bytes.length > MAX_BYTES) return 'is far too large for what it should be';
      const regular = facts.isFile() && process.platform !== 'win32';
      return { path, bytes, mode: regular ? facts.mode & 0o777 : undefined, owner: facts.uid };
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

function otherThanFile(facts: Stats): string | undefined {
  if (facts.isFile()) return undefined;
  if (facts.isDirectory()) return 'a folder';
  if (facts.isFIFO()) return 'a named pipe';
  return facts.isSocket() ? 'a socket' : 'a device';
}

/** All of a file, or its first bytes: of a pipe no size is known, and some never end. */
async function readUpTo(handle: FileHandle, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < limit) {
    const { bytesRead, buffer } = await handle.read({ buffer: Buffer.alloc(64 * 1024), position: null });
    if (bytesRead === 0) break;
    chunks.push(buffer.subarray(0, bytesRead));
    length += bytesRead;
  }
  return Buffer.concat(chunks);
}

/** What is wrong with bytes that are to be text: read all the same, what is no UTF-8 would be some other text. */
export function textProblem(bytes: Buffer): string | undefined {
  if (isUtf8(bytes)) return undefined;
  let line = 1;
  for (let start = 0; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
  }
  return `is no text in UTF-8 (line ${line}): save it as UTF-8`;
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
