import type { BigIntStats } from 'node:fs';
import type { EntryKind, EntryRecord, EntryXattrs } from '../../../archive/entry.ts';
import { errnoOf, errorText } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import type { Owners } from '../system/owners.ts';
import { encodedXattrBytes, MAX_XATTR_BYTES, type Xattrs } from '../system/xattrs.ts';

/** What of a stat an entry is made of. */
export type FileStat = Pick<
  BigIntStats,
  'dev' | 'ino' | 'mode' | 'nlink' | 'uid' | 'gid' | 'size' | 'blocks' | 'mtimeNs' | 'ctimeNs'
>;

/** What is recorded of entries, from what the system tells about them. */
export function createRecorder(options: {
  readonly owners: Owners;
  readonly warn: (warning: Warning) => void;
}) {
  const { owners, warn } = options;
  return { newRecord, warnUnreadable };

  function newRecord(stat: FileStat, path: string, kind: EntryKind, size: number): EntryRecord {
    const uid = Number(stat.uid);
    const gid = Number(stat.gid);
    const record: EntryRecord = {
      path,
      kind,
      size,
      mtimeNs: stat.mtimeNs,
      ctimeNs: stat.ctimeNs,
      ino: stat.ino,
      dev: stat.dev,
      mode: Number(stat.mode) & 0o7777,
      uid,
      gid,
    };
    const user = owners.userName(uid);
    if (user !== undefined) record.user = user;
    const group = owners.groupName(gid);
    if (group !== undefined) record.group = group;
    return record;
  }

  function warnUnreadable(path: string, error: unknown): void {
    const code = errnoOf(error);
    const message =
      code === 'ENOENT'
        ? 'vanished before it could be read'
        : code === 'ENAMETOOLONG'
          ? 'cannot be read: its path is longer than the system allows'
          : `cannot be read: ${code ?? errorText(error)}`;
    warn({ message, subject: path, partial: true });
  }
}

export type Recorder = ReturnType<typeof createRecorder>;

/**
 * The attributes that an entry is to have: of what is open as `fd`, below a path that it was opened by. What
 * cannot be read or is too much is a warning.
 */
export function xattrsOf(
  fd: number,
  device: bigint,
  path: string,
  xattrs: Xattrs | undefined,
  warn: (warning: Warning) => void,
): EntryXattrs | undefined {
  if (xattrs === undefined) return undefined;
  try {
    const found = xattrs.read(fd, device, path);
    if (found === undefined || encodedXattrBytes(found) <= MAX_XATTR_BYTES) return found;
    const message = `its extended attributes are not saved: more than ${MAX_XATTR_BYTES} bytes`;
    warn({ message, subject: path, partial: true });
  } catch (error) {
    const message = `its extended attributes cannot be read: ${errorText(error)}`;
    warn({ message, subject: path, partial: true });
  }
  return undefined;
}
