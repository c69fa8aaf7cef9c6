import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { fromBytes, fromText, isUtf8Path, MAX_NAME_BYTES, toBytes } from '../../archive/paths.ts';
import { baseName, folderOf, fsPath, joinPath } from './fs-paths.ts';

/**
 * What a restore keeps beside its target: `.<name>.dguard-new-<id>` while it is staged,
 * `.<name>.dguard-undo-<id>` for what it replaced. Each is a folder of ours (0700) with a mark file and
 * the tree or file itself under `data`. Only marked folders are ever removed or left out of a backup.
 */
export type MarkRole = 'new' | 'undo';

export interface Mark {
  readonly role: MarkRole;
  readonly backupId: string;
  /** Absolute path of what was or will be replaced; a byte string. */
  readonly target: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

export const MARK_FILE = 'dguard-mark.json';
export const DATA_NAME = 'data';

/** The marked folder's path for a target; the target's name is cut where the whole would be too long. */
export function markedPath(target: string, role: MarkRole, backupId: string): string {
  const tail = `.dguard-${role}-${backupId}`;
  return joinPath(folderOf(target), `.${baseName(target).slice(0, MAX_NAME_BYTES - 1 - tail.length)}${tail}`);
}

/** Could a name be a marked folder's? Only its mark says that it is. */
export function looksMarked(name: string): boolean {
  return name.startsWith('.') && /\.dguard-(?:new|undo)-[A-Za-z0-9._-]+$/.test(name);
}

/** Writes the mark of a marked folder and makes it durable: it is what a swap is recovered by. */
export function writeMark(folder: string, mark: Mark): void {
  const target = isUtf8Path(mark.target)
    ? { target: toBytes(mark.target).toString('utf8') }
    : { target_b64: toBytes(mark.target).toString('base64') };
  const text = { dguard: mark.role, backup: mark.backupId, ...target, created_at: mark.createdAt };
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
  const fd = openSync(fsPath(joinPath(folder, MARK_FILE)), flags, 0o600);
  try {
    writeSync(fd, `${JSON.stringify(text, null, 2)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The mark of a folder, or undefined where it carries none of ours. */
export function readMark(folder: string): Mark | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(
      fsPath(joinPath(folder, MARK_FILE)),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    return parseMark(JSON.parse(readFileSync(fd, 'utf8')));
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function parseMark(text: unknown): Mark | undefined {
  if (typeof text !== 'object' || text === null) return undefined;
  const { dguard, backup, target, target_b64, created_at } = text as Record<string, unknown>;
  if (dguard !== 'new' && dguard !== 'undo') return undefined;
  if (typeof backup !== 'string' || typeof created_at !== 'string') return undefined;
  const path =
    typeof target === 'string'
      ? fromText(target)
      : typeof target_b64 === 'string'
        ? fromBytes(Buffer.from(target_b64, 'base64'))
        : undefined;
  return path === undefined
    ? undefined
    : { role: dguard, backupId: backup, target: path, createdAt: created_at };
}
