import type { BigIntStats } from 'node:fs';
import type { EntryKind, EntryRecord } from '../../archive/entry.ts';
import { errnoOf, errorText } from '../../errors.ts';
import type { Warning } from '../types.ts';
import type { Owners } from './owners.ts';
import { encodedXattrBytes, MAX_XATTR_BYTES, type Xattrs } from './xattrs.ts';

/** What of a stat an entry is made of. */
export type FileStat = Pick<
  BigIntStats,
  'dev' | 'ino' | 'mode' | 'nlink' | 'uid' | 'gid' | 'size' | 'blocks' | 'mtimeNs' | 'ctimeNs'
>;

/** What is recorded of entries, from what the system tells about them. */
export function createRecorder(options: {
  readonly owners: Owners;
  readonly xattrs: Xattrs | undefined;
  readonly warn: (warning: Warning) => void;
}) {
  const { owners, xattrs, warn } = options;
  return { newRecord, addXattrs, warnUnreadable };

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

  function addXattrs(record: EntryRecord, fd: number, device: bigint, path: string): void {
    if (xattrs === undefined) return;
    try {
      const found = xattrs.read(fd, device, path);
      if (found === undefined) return;
      if (encodedXattrBytes(found) > MAX_XATTR_BYTES) {
        const message = `its extended attributes are not saved: more than ${MAX_XATTR_BYTES} bytes`;
        warn({ message, subject: path, partial: true });
        return;
      }
      record.xattrs = found;
    } catch (error) {
      const message = `its extended attributes cannot be read: ${errorText(error)}`;
      warn({ message, subject: path, partial: true });
    }
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
