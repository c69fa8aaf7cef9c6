import { type BigIntStats, closeSync, fstatSync, readSync } from 'node:fs';
import { errorText } from '../../../errors.ts';
import type { LargeContent } from '../../member.ts';
import type { Warning } from '../../types.ts';

/** What of a stat shows a change. */
export type FileStamp = Readonly<Pick<BigIntStats, 'size' | 'mtimeNs' | 'ctimeNs'>>;

/** Did a file stay what it was? Size and both times of its inode. */
export function sameStat(before: FileStamp, after: FileStamp): boolean {
  return before.size === after.size && before.mtimeNs === after.mtimeNs && before.ctimeNs === after.ctimeNs;
}

export const CHANGED = 'changed while it was read';

/**
 * A reader of an open file that is too large to hold. Its size is already written in a header when it is
 * read, so it delivers exactly that: no byte more of a file that grew, zeros for what is missing.
 *
 * @param before the file's stat, taken before the first read
 * @param unsure what is known of it already
 */
export function largeContent(
  fd: number,
  path: string,
  before: FileStamp,
  unsure: boolean,
  warn: (warning: Warning) => void,
): LargeContent {
  const sizeBytes = Number(before.size);
  let done = 0;
  let broken = false;
  let open = true;
  const fail = (message: string) => {
    broken = true;
    warn({ message: `${message}: the rest is stored as zeros`, subject: path, partial: true });
  };
  return {
    sizeBytes,
    read(into) {
      const wanted = Math.min(into.length, sizeBytes - done);
      if (wanted === 0) return 0;
      let filled = 0;
      while (!broken && filled < wanted) {
        try {
          const count = readSync(fd, into, filled, wanted - filled, null);
          if (count === 0) fail('became shorter while it was read');
          filled += count;
        } catch (error) {
          fail(`cannot be read (${errorText(error)})`);
        }
      }
      if (filled < wanted) into.fill(0, filled, wanted);
      done += wanted;
      return wanted;
    },
    finish() {
      if (!open) return { unsure: unsure || broken };
      open = false;
      let changed = true;
      try {
        changed = !sameStat(before, fstatSync(fd, { bigint: true }));
      } finally {
        closeSync(fd);
      }
      if (changed && !broken) warn({ message: CHANGED, subject: path, partial: true });
      return { unsure: unsure || broken || changed };
    },
  };
}
