import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { fromBytes, fromText, isUtf8Path, MAX_NAME_BYTES, toBytes } from '../../archive/paths.ts';
import { baseName, folderOf, fsPath, joinPath } from '../fs-paths.ts';

/**
 * What a restore keeps of a target is in a folder of ours (0700) beside it, `.<name>.dguard-undo-<id>`, or
 * inside it, `.dguard-undo-<id>`, where it cannot be beside. The folder carries a mark file. Only marked
 * folders are ever removed or left out of a backup.
 */
export interface Mark {
  readonly backupId: string;
  /** Absolute path of what was or will be replaced; a byte string. */
  readonly target: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** In the first of the folders of one restore: all of them, itself first. */
  readonly members?: readonly UnitMember[];
  /** In the others: the first. */
  readonly primary?: string;
}

/** One target of a restore and the marked folder that stands for it. Byte strings. */
export interface UnitMember {
  readonly target: string;
  readonly folder: string;
}

export const MARK_FILE = 'dguard-mark.json';

/** The marked folder's path for a target; the target's name is cut where the whole would be too long. */
export function markedPath(target: string, place: 'beside' | 'inside', backupId: string): string {
  const tail = `.dguard-undo-${backupId}`;
  if (place === 'inside') return joinPath(target, tail);
  return joinPath(folderOf(target), `.${baseName(target).slice(0, MAX_NAME_BYTES - 1 - tail.length)}${tail}`);
}

/** Could a name be a marked folder's? Only its mark says that it is. */
export function looksMarked(name: string): boolean {
  return name.startsWith('.') && /\.dguard-undo-[A-Za-z0-9._-]+$/.test(name);
}

export function writeMark(folder: string, mark: Mark): void {
  writeJson(folder, MARK_FILE, {
    dguard: 'undo',
    backup: mark.backupId,
    target: pathToJson(mark.target),
    created_at: mark.createdAt,
    ...(mark.members === undefined ? {} : { members: mark.members.map(memberToJson) }),
    ...(mark.primary === undefined ? {} : { primary: pathToJson(mark.primary) }),
  });
}

/** The mark of a folder, or undefined where it carries none of ours. */
export function readMark(folder: string): Mark | undefined {
  const { dguard, backup, target, created_at, members, primary } = readJson(folder, MARK_FILE) ?? {};
  if (dguard !== 'undo' || typeof backup !== 'string' || typeof created_at !== 'string') return undefined;
  const path = pathFromJson(target);
  if (path === undefined) return undefined;
  const all = Array.isArray(members) ? members.map(memberFromJson) : undefined;
  const first = pathFromJson(primary);
  if (all?.includes(undefined)) return undefined;
  return {
    backupId: backup,
    target: path,
    createdAt: created_at,
    ...(all === undefined ? {} : { members: all as UnitMember[] }),
    ...(first === undefined ? {} : { primary: first }),
  };
}

/** What is being written until it has its name: a crash leaves this or the whole file. */
export const UNFINISHED_SUFFIX = '.part';

/** A small JSON file, durable and whole, or not there. */
export function writeJson(folder: string, name: string, value: unknown): void {
  const part = fsPath(joinPath(folder, name + UNFINISHED_SUFFIX));
  const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_NOFOLLOW;
  const fd = openSync(part, flags, 0o600);
  try {
    // A write may be short where room ends: the rest is tried again and brings the reason.
    const bytes = Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(part, fsPath(joinPath(folder, name)));
}

/** A JSON object of ours, or undefined where there is none. */
export function readJson(folder: string, name: string): Record<string, unknown> | undefined {
  let fd: number | undefined;
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    fd = openSync(fsPath(joinPath(folder, name)), flags);
    const value: unknown = JSON.parse(readFileSync(fd, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Paths that are text stay readable. */
function pathToJson(path: string): unknown {
  return isUtf8Path(path) ? toBytes(path).toString('utf8') : { base64: toBytes(path).toString('base64') };
}

function pathFromJson(value: unknown): string | undefined {
  if (typeof value === 'string') return fromText(value);
  const { base64 } = (value ?? {}) as { base64?: unknown };
  return typeof base64 === 'string' ? fromBytes(Buffer.from(base64, 'base64')) : undefined;
}

function memberToJson({ target, folder }: UnitMember): unknown {
  return { target: pathToJson(target), folder: pathToJson(folder) };
}

function memberFromJson(value: unknown): UnitMember | undefined {
  const { target, folder } = (value ?? {}) as { target?: unknown; folder?: unknown };
  const [targetPath, folderPath] = [pathFromJson(target), pathFromJson(folder)];
  return targetPath === undefined || folderPath === undefined
    ? undefined
    : { target: targetPath, folder: folderPath };
}
