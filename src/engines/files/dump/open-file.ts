import { createHash, hash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import type { EntryRecord, EntryXattrs } from '../../../archive/entry.ts';
import type { ContentRoom } from '../../../archive/packed.ts';
import type { LargeContent, TreeItem } from '../../member.ts';
import type { Warning } from '../../types.ts';
import { CHANGED, largeContent, sameStat } from './large-content.ts';
import type { FileStat, Recorder } from './records.ts';

/** Smaller files are read whole; from here on they are `LargeContent`. */
export const WHOLE_FILE_BYTES = 1024 * 1024;
/** A file modified this shortly before it was read may change again without its times showing it. */
const UNSURE_NS = 2_000_000_000n;
const UNSIZED = 'says that it is empty, and gives more than 1 MiB: only the first 1 MiB is in the backup';
const EMPTY = new Uint8Array(0);
const probe = Buffer.alloc(64 * 1024);
/** Content of small files shares buffers of this size. */
const ARENA_BYTES = 1024 * 1024;

/** A file that was opened, and what it was then. Its number is valid in every thread of the process. */
export interface OpenedFile {
  readonly fd: number;
  readonly stat: FileStat;
  readonly xattrs: EntryXattrs | undefined;
  readonly path: string;
  readonly entry: string;
  /** It is what the user named: that it cannot be read is an error. */
  readonly isSource: boolean;
}

export interface OpenFileOptions {
  readonly nowMs: () => number;
  readonly warn: (warning: Warning) => void;
  /** What a file of `WHOLE_FILE_BYTES` or more becomes; without it, `largeContent`. */
  readonly openLarge?: (fd: number, path: string, before: FileStat, unsure: boolean) => LargeContent;
  /** Where small files are read to, asked for each of them. Their content is then valid until the next is asked for. */
  readonly contentRoom?: () => ContentRoom | undefined;
}

/** Reads files that are open, and knows which of them are further names of one that was read. */
export function createFileReader(options: OpenFileOptions, recorder: Recorder) {
  const { warn } = options;
  const { newRecord, warnUnreadable } = recorder;
  const openLarge = options.openLarge ?? ((...file) => largeContent(...file, warn));
  const links = new Map<string, { entry: string; size: bigint; mtimeNs: bigint; group: number }>();
  let arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
  let arenaUsed = 0;
  let unsureFromNs = 0n;
  let filesUntilClock = 0;

  return takeFile;

  /** Reads and closes a file, unless it is large. Undefined where it cannot be read: a warning tells. */
  function takeFile(file: OpenedFile): TreeItem | undefined {
    const { fd, path, isSource } = file;
    let keepOpen = false;
    try {
      const item = readOpenFile(file);
      keepOpen = item.content !== undefined && 'finish' in item.content;
      return item;
    } catch (error) {
      if (isSource) throw error;
      warnUnreadable(path, error);
      return undefined;
    } finally {
      if (!keepOpen) closeSync(fd);
    }
  }

  function readOpenFile({ fd, stat, xattrs, path, entry }: OpenedFile): TreeItem {
    const key = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined;
    if (key !== undefined) {
      const first = links.get(key);
      // A number may be given to a new file after the first one was removed: it must look the same.
      if (first !== undefined && first.size === stat.size && first.mtimeNs === stat.mtimeNs) {
        const link = newRecord(stat, entry, 'hardlink', 0);
        link.link = first.entry;
        link.linkGroup = first.group;
        return { entry: link };
      }
    }
    const size = Number(stat.size);
    const record = newRecord(stat, entry, 'file', size);
    if (key !== undefined) record.linkGroup = linkGroupOf(entry);
    if (stat.blocks * 512n < stat.size) record.sparse = true;
    if (xattrs !== undefined) record.xattrs = xattrs;
    if (filesUntilClock === 0) {
      // Looking at the clock now and then only makes more files unsure, never fewer.
      filesUntilClock = 256;
      unsureFromNs = BigInt(Math.trunc(options.nowMs())) * 1_000_000n - UNSURE_NS;
    }
    filesUntilClock -= 1;
    if (stat.mtimeNs >= unsureFromNs || stat.ctimeNs >= unsureFromNs) record.unsure = true;
    const content =
      size >= WHOLE_FILE_BYTES
        ? openLarge(fd, path, stat, record.unsure === true)
        : size === 0
          ? readUnsized(fd, path, record)
          : readWhole(fd, stat, path, record, size);
    if (key !== undefined) {
      links.set(key, { entry, size: stat.size, mtimeNs: stat.mtimeNs, group: record.linkGroup! });
    }
    return { entry: record, content };
  }

  function roomFor(size: number): ContentRoom {
    const given = options.contentRoom?.();
    if (given !== undefined && given.at + size <= given.bytes.length) return given;
    if (options.contentRoom !== undefined) arenaUsed = 0;
    if (arenaUsed + size > ARENA_BYTES) {
      arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
      arenaUsed = 0;
    }
    arenaUsed += size;
    return { bytes: arena, at: arenaUsed - size };
  }

  /** What is made when it is read (/proc, some FUSE) has no size before: an empty file is read to its end too. */
  function readUnsized(fd: number, path: string, record: EntryRecord): Uint8Array {
    let content: Uint8Array = EMPTY;
    // Some of /proc give all by the first read, or nothing.
    let count = readSync(fd, probe, 0, probe.length, null);
    if (count > 0) {
      const bytes = Buffer.allocUnsafe(WHOLE_FILE_BYTES);
      let filled = probe.copy(bytes, 0, 0, count);
      while (count > 0 && filled < bytes.length) {
        count = readSync(fd, bytes, filled, bytes.length - filled, null);
        filled += count;
      }
      content = bytes.subarray(0, filled);
      record.unsure = true;
      const isCut = filled === bytes.length && readSync(fd, probe, 0, 1, null) > 0;
      // One that has a size by now is an ordinary file that somebody has just written.
      const message = fstatSync(fd).size > 0 ? CHANGED : isCut ? UNSIZED : undefined;
      if (message !== undefined) warn({ message, subject: path, partial: true });
    }
    record.size = content.length;
    record.sha256 = sha256Hex(content);
    return content;
  }

  function readWhole(
    fd: number,
    stat: FileStat,
    path: string,
    record: EntryRecord,
    size: number,
  ): Uint8Array {
    const { bytes, at } = roomFor(size);
    let filled = 0;
    while (filled < size) {
      const count = readSync(fd, bytes, at + filled, size - filled, null);
      if (count === 0) break;
      filled += count;
    }
    const content = bytes.subarray(at, at + filled);
    record.size = filled;
    record.sha256 = sha256Hex(content);
    if (filled < size || !sameStat(stat, fstatSync(fd, { bigint: true }))) {
      record.unsure = true;
      warn({ message: CHANGED, subject: path, partial: true });
    }
    return content;
  }
}

/** The same group has the same number in every backup, so that its index lines do not change. */
function linkGroupOf(entry: string): number {
  return createHash('sha256').update(entry, 'latin1').digest().readUIntBE(0, 6);
}

function sha256Hex(content: Uint8Array): string {
  return hash('sha256', content, 'hex');
}
