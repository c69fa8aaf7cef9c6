import { chmodSync, chownSync, lstatSync, utimesSync } from 'node:fs';
import { errnoOf } from '../../../errors.ts';
import { fsPath } from '../../fs-paths.ts';
import { fsTime } from '../system/metadata.ts';
import type { Xattrs } from '../system/xattrs.ts';

/** What of a folder changes with a merge, and what gives it back. Plain JSON. */
export interface FolderState {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: string;
  /** Names, and values in base64; absent where they could not be read. */
  readonly xattrs?: readonly (readonly [string, string])[];
}

/** @param path a way to the folder (`FolderCursor.at`), followed as it is */
export function readFolderState(path: string, xattrs: Xattrs | undefined): FolderState {
  const stat = lstatSync(fsPath(`${path}/.`), { bigint: true });
  const found = xattrs?.readAt(path, stat.dev).filter(([name]) => isPlain(name));
  return {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: String(stat.mtimeNs),
    ...(found === undefined
      ? {}
      : { xattrs: found.map(([name, value]) => [name, value.toString('base64')]) }),
  };
}

/** Makes a folder what the state says, as far as this user may. */
export function applyFolderState(path: string, state: FolderState, xattrs: Xattrs | undefined): void {
  const stat = lstatSync(fsPath(`${path}/.`), { bigint: true });
  if (Number(stat.uid) !== state.uid || Number(stat.gid) !== state.gid) {
    try {
      chownSync(fsPath(path), state.uid, state.gid);
    } catch (error) {
      if (errnoOf(error) !== 'EPERM' && errnoOf(error) !== 'EINVAL') throw error;
    }
  }
  if (xattrs !== undefined && state.xattrs !== undefined) {
    const wanted = new Map(state.xattrs);
    for (const [name, value] of xattrs.readAt(path, stat.dev)) {
      if (!isPlain(name)) continue;
      if (wanted.get(name) === value.toString('base64')) wanted.delete(name);
      else if (!wanted.has(name)) xattrs.removeAt(path, name);
    }
    for (const [name, value] of wanted) xattrs.writeAt(path, name, Buffer.from(value, 'base64'));
  }
  if (Number(lstatSync(fsPath(`${path}/.`)).mode & 0o7777) !== state.mode)
    chmodSync(fsPath(path), state.mode);
  const time = fsTime(BigInt(state.mtimeNs));
  utimesSync(fsPath(path), time, time);
}

/** The kernel's own namespaces are left as they are. */
function isPlain(name: string): boolean {
  return name.startsWith('user.') || name.startsWith('system.posix_acl');
}
