import { createHash, hash } from 'node:crypto';
import { type BigIntStats, closeSync, fstatSync, lstatSync, readlinkSync, readSync } from 'node:fs';
import type { EntryKind, EntryRecord } from '../../archive/entry.ts';
import { fromBytes } from '../../archive/paths.ts';
import { errnoOf, errorText } from '../../errors.ts';
import { looksMarked, readMark } from '../marks.ts';
import type { LargeContent, TreeItem } from '../member.ts';
import type { Warning } from '../types.ts';
import {
  deviceNumbers,
  type FolderChild,
  isCacheTag,
  kindOf,
  listFolder,
  openForReading,
} from './fs-calls.ts';
import { fsPath, joinPath } from './fs-paths.ts';
import { CHANGED, largeContent, sameStat } from './large-content.ts';
import type { Owners } from './owners.ts';
import type { Selection } from './patterns.ts';
import { encodedXattrBytes, MAX_XATTR_BYTES, type Xattrs } from './xattrs.ts';

/** One source to walk. Byte strings. */
export interface ReaderRoot {
  /** Absolute path, free of links. */
  readonly path: string;
  /** The path of its own entry. */
  readonly entry: string;
  readonly selection: Selection;
}

export interface ReaderOptions {
  /** In the order of their entries, none inside another. */
  readonly roots: readonly ReaderRoot[];
  readonly oneFileSystem: boolean;
  /** Names whose presence leaves a folder's other content out. */
  readonly excludeIfPresent: readonly string[];
  readonly excludeCaches: boolean;
  /** Absolute paths (byte strings) that are not looked into. */
  readonly ownPaths: ReadonlySet<string>;
  readonly owners: Owners;
  readonly xattrs: Xattrs | undefined;
  readonly nowMs: () => number;
  readonly warn: (warning: Warning) => void;
  /** What a file of `WHOLE_FILE_BYTES` or more becomes; without it, `largeContent`. */
  readonly openLarge?: (fd: number, path: string, before: BigIntStats, unsure: boolean) => LargeContent;
  /** The content of a file is valid only until the next one is asked for. */
  readonly reuseBuffers?: boolean;
}

/** Smaller files are read whole; from here on they are `LargeContent`. */
export const WHOLE_FILE_BYTES = 1024 * 1024;
/** A file modified this shortly before it was read may change again without its times showing it. */
const UNSURE_NS = 2_000_000_000n;
/** Content of small files shares buffers of this size. */
const ARENA_BYTES = 1024 * 1024;

/**
 * Walks the sources depth first in the order of `compareEntryPaths` and reads what it meets, synchronously:
 * on local file systems that is faster than any overlap of promises. What cannot be read is a warning and
 * never an error, except a source itself.
 */
export function* readTree(options: ReaderOptions): Generator<TreeItem, void, undefined> {
  const reader = createReader(options);
  for (const root of options.roots) {
    const stack: Folder[] = [];
    const first = reader.open(root.path, root.entry, undefined, undefined, root);
    if (first === undefined) continue;
    yield first.item;
    if (first.folder !== undefined) stack.push(first.folder);
    while (stack.length > 0) {
      const folder = stack[stack.length - 1]!;
      const child = folder.children[folder.next];
      if (child === undefined) {
        stack.pop();
        continue;
      }
      folder.next += 1;
      const met = reader.visit(folder, child);
      if (met === undefined) continue;
      if (met.folder !== undefined && met.folder.includedBy !== root.selection.all) {
        // Kept only as a folder above something that is included.
        met.folder.pending = met.item;
        stack.push(met.folder);
        continue;
      }
      for (const above of root.selection.limited ? stack : []) {
        if (above.pending === undefined) continue;
        yield above.pending;
        above.pending = undefined;
      }
      yield met.item;
      if (met.folder !== undefined) stack.push(met.folder);
    }
  }
}

interface Folder {
  readonly path: string;
  readonly entry: string;
  /** Path relative to the source, for its patterns. */
  readonly relative: string;
  readonly root: ReaderRoot;
  readonly rootDevice: bigint;
  /** The include lists that want all of it. */
  readonly includedBy: number;
  readonly children: readonly FolderChild[];
  next: number;
  pending: TreeItem | undefined;
}

interface Met {
  readonly item: TreeItem;
  readonly folder?: Folder;
}

function createReader(options: ReaderOptions) {
  const { xattrs, owners, warn } = options;
  const openLarge = options.openLarge ?? ((...file) => largeContent(...file, warn));
  const links = new Map<string, { entry: string; size: bigint; mtimeNs: bigint; group: number }>();
  let arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
  let arenaUsed = 0;
  let unsureFromNs = 0n;
  let filesUntilClock = 0;

  return { open, visit };

  function visit(folder: Folder, child: FolderChild): Met | undefined {
    const path = joinPath(folder.path, child.name);
    const relative = joinPath(folder.relative, child.name);
    const isFolder = child.kind === 'directory';
    if (options.ownPaths.size > 0 && options.ownPaths.has(path)) {
      warn({ message: "left out: it is dguard's own", subject: path, partial: false });
      return undefined;
    }
    if (isFolder && looksMarked(child.name) && readMark(path) !== undefined) {
      warn({
        message: 'left out: it is what a restore of dguard keeps for undo',
        subject: path,
        partial: false,
      });
      return undefined;
    }
    let includedBy = folder.includedBy;
    const { selection } = folder.root;
    if (selection.limited) {
      if (selection.excluded(relative, isFolder)) return undefined;
      if (includedBy !== selection.all) includedBy |= selection.includedBy(relative, isFolder);
      if (includedBy !== selection.all && !isFolder) return undefined;
    }
    const entry = joinPath(folder.entry, child.name);
    if (isFolder) return open(path, entry, folder, { relative, includedBy }, folder.root);
    if (child.kind === 'file') return readFile(path, entry, folder, relative, includedBy);
    return readOther(path, entry);
  }

  /** Opens a folder, or a source that is a file. Throws only for a source. */
  function open(
    path: string,
    entry: string,
    parent: Folder | undefined,
    place: { relative: string; includedBy: number } | undefined,
    root: ReaderRoot,
  ): Met | undefined {
    let fd: number;
    try {
      fd = openForReading(path);
    } catch (error) {
      if (parent === undefined) throw error;
      return unreadable(path, entry, error);
    }
    let record: EntryRecord;
    let children: readonly FolderChild[] = [];
    let rootDevice: bigint;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isDirectory()) {
        return place !== undefined && place.includedBy !== root.selection.all
          ? undefined
          : readFile(path, entry, parent, '', root.selection.all);
      }
      rootDevice = parent?.rootDevice ?? stat.dev;
      record = newRecord(stat, entry, 'directory', 0);
      addXattrs(record, fd, stat.dev, path);
      if (options.oneFileSystem && stat.dev !== rootDevice) {
        warn({ message: 'left out: another file system is mounted here', subject: path, partial: false });
      } else {
        children = listFolder(fd, path);
      }
    } catch (error) {
      if (parent === undefined) throw error;
      return unreadable(path, entry, error);
    } finally {
      closeSync(fd);
    }
    const folder: Folder = {
      path,
      entry,
      relative: place?.relative ?? '',
      root,
      rootDevice,
      includedBy: place?.includedBy ?? 0,
      children: withoutTagged(path, children),
      next: 0,
      pending: undefined,
    };
    return { item: { entry: record }, folder };
  }

  /** A folder marked by CACHEDIR.TAG or one of `excludeIfPresent` keeps the marks alone. */
  function withoutTagged(path: string, children: readonly FolderChild[]): readonly FolderChild[] {
    if (!options.excludeCaches && options.excludeIfPresent.length === 0) return children;
    const tags = children.filter(
      (child) =>
        options.excludeIfPresent.includes(child.name) ||
        (options.excludeCaches && child.name === 'CACHEDIR.TAG' && isCacheTag(joinPath(path, child.name))),
    );
    if (tags.length === 0) return children;
    const names = tags.map((tag) => tag.name).join(', ');
    warn({ message: `content left out: the folder holds ${names}`, subject: path, partial: false });
    return tags;
  }

  function readFile(
    path: string,
    entry: string,
    parent: Folder | undefined,
    relative: string,
    includedBy: number,
  ): Met | undefined {
    let fd: number;
    try {
      fd = openForReading(path);
    } catch (error) {
      if (parent === undefined) throw error;
      return unreadable(path, entry, error);
    }
    let keepOpen = false;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) {
        // It was something else a moment ago.
        if (stat.isDirectory() && parent !== undefined) {
          return open(path, entry, parent, { relative, includedBy }, parent.root);
        }
        return readOther(path, entry);
      }
      const item = readOpenFile(fd, stat, path, entry);
      keepOpen = item.content !== undefined && 'finish' in item.content;
      return { item };
    } catch (error) {
      if (parent === undefined) throw error;
      warnUnreadable(path, error);
      return undefined;
    } finally {
      if (!keepOpen) closeSync(fd);
    }
  }

  function readOpenFile(fd: number, stat: BigIntStats, path: string, entry: string): TreeItem {
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
    addXattrs(record, fd, stat.dev, path);
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
        : readWhole(fd, stat, path, record, size);
    if (key !== undefined) {
      links.set(key, { entry, size: stat.size, mtimeNs: stat.mtimeNs, group: record.linkGroup! });
    }
    return { entry: record, content };
  }

  function readWhole(
    fd: number,
    stat: BigIntStats,
    path: string,
    record: EntryRecord,
    size: number,
  ): Uint8Array {
    if (options.reuseBuffers) arenaUsed = 0;
    if (arenaUsed + size > ARENA_BYTES) {
      arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
      arenaUsed = 0;
    }
    let filled = 0;
    while (filled < size) {
      const count = readSync(fd, arena, arenaUsed + filled, size - filled, null);
      if (count === 0) break;
      filled += count;
    }
    const content = arena.subarray(arenaUsed, arenaUsed + filled);
    arenaUsed += filled;
    record.size = filled;
    record.sha256 = sha256Hex(content);
    if (filled < size || !sameStat(stat, fstatSync(fd, { bigint: true }))) {
      record.unsure = true;
      warn({ message: CHANGED, subject: path, partial: true });
    }
    return content;
  }

  /** Symlinks and special files, by lstat: opening a device may do things. */
  function readOther(path: string, entry: string): Met | undefined {
    try {
      const stat = lstatSync(fsPath(path), { bigint: true });
      const kind = kindOf(stat);
      const record = newRecord(stat, entry, kind, 0);
      if (kind === 'file' || kind === 'directory') {
        warn({ message: CHANGED, subject: path, partial: true });
        return undefined;
      }
      if (kind === 'symlink') record.link = fromBytes(readlinkSync(fsPath(path), { encoding: 'buffer' }));
      if (kind === 'char_device' || kind === 'block_device') record.device = deviceNumbers(stat.rdev);
      if (kind === 'socket') {
        warn({ message: 'a socket: listed, but not part of the archive', subject: path, partial: false });
      }
      return { item: { entry: record } };
    } catch (error) {
      warnUnreadable(path, error);
      return undefined;
    }
  }

  /** What could not be opened: a folder stays as an empty one, what became something else is that. */
  function unreadable(path: string, entry: string, error: unknown): Met | undefined {
    const code = errnoOf(error);
    if (code === 'ELOOP' || code === 'ENXIO') return readOther(path, entry);
    warnUnreadable(path, error);
    if (code !== 'EACCES' && code !== 'EPERM') return undefined;
    try {
      const stat = lstatSync(fsPath(path), { bigint: true });
      return stat.isDirectory() ? { item: { entry: newRecord(stat, entry, 'directory', 0) } } : undefined;
    } catch {
      return undefined;
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

  function newRecord(stat: BigIntStats, path: string, kind: EntryKind, size: number): EntryRecord {
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
}

/** The same group has the same number in every backup, so that its index lines do not change. */
function linkGroupOf(entry: string): number {
  return createHash('sha256').update(entry, 'latin1').digest().readUIntBE(0, 6);
}

function sha256Hex(content: Uint8Array): string {
  return hash('sha256', content, 'hex');
}
