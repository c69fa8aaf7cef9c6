import { type BigIntStats, closeSync, fstatSync, lstatSync, readlinkSync } from 'node:fs';
import type { EntryRecord } from '../../../archive/entry.ts';
import { fromBytes } from '../../../archive/paths.ts';
import { errnoOf } from '../../../errors.ts';
import { folderOf, fsPath, joinPath } from '../../fs-paths.ts';
import type { TreeItem } from '../../member.ts';
import type { Warning } from '../../types.ts';
import { looksMarked, readMark } from '../../undo/marks.ts';
import type { Selection } from '../patterns.ts';
import {
  deviceNumbers,
  type FolderChild,
  isCacheTag,
  kindOf,
  listFolder,
  openForReading,
} from '../system/fs-calls.ts';
import type { Xattrs } from '../system/xattrs.ts';
import { CHANGED } from './large-content.ts';
import type { OpenedFile } from './open-file.ts';
import { type Recorder, xattrsOf } from './records.ts';

/** One source to walk. Byte strings. */
export interface ReaderRoot {
  /** Absolute path, free of links. */
  readonly path: string;
  /** The path of its own entry. */
  readonly entry: string;
  readonly selection: Selection;
}

export interface ReaderOptions<T> {
  /** In the order of their entries, none inside another. */
  readonly roots: readonly ReaderRoot[];
  readonly oneFileSystem: boolean;
  /** Names whose presence leaves a folder's other content out. */
  readonly excludeIfPresent: readonly string[];
  readonly excludeCaches: boolean;
  /** Absolute paths (byte strings) that are not looked into. */
  readonly ownPaths: ReadonlySet<string>;
  readonly recorder: Recorder;
  readonly xattrs: Xattrs | undefined;
  readonly warn: (warning: Warning) => void;
  /** Becomes what it returns, or nothing. Closes the file, or hands it on. */
  readonly takeFile: (file: OpenedFile) => T | undefined;
  /** No more files can be opened: closes some, or waits until some are closed. */
  readonly freeFiles?: () => void;
}

/**
 * Walks the sources depth first in the order of `compareEntryPaths` and opens what it meets, synchronously:
 * on local file systems that is faster than any overlap of promises. What cannot be read is a warning and
 * never an error, except a source itself.
 */
export function* readTree<T>(options: ReaderOptions<T>): Generator<TreeItem | T, void, undefined> {
  const reader = createReader(options);
  for (const root of options.roots) {
    const stack: Folder<T>[] = [];
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

interface Folder<T> {
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
  pending: TreeItem | T | undefined;
  /** One of `ownPaths` lies in it. */
  readonly holdsOwn: boolean;
}

interface Met<T> {
  readonly item: TreeItem | T;
  readonly folder?: Folder<T>;
}

function createReader<T>(options: ReaderOptions<T>) {
  const { warn, takeFile, freeFiles, xattrs } = options;
  const { newRecord, warnUnreadable } = options.recorder;
  const ownFolders = new Set([...options.ownPaths].map(folderOf));

  return { open, visit };

  function visit(folder: Folder<T>, child: FolderChild): Met<T> | undefined {
    const path = joinPath(folder.path, child.name);
    const relative = joinPath(folder.relative, child.name);
    const isFolder = child.kind === 'directory';
    if (folder.holdsOwn && options.ownPaths.has(path)) {
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
    parent: Folder<T> | undefined,
    place: { relative: string; includedBy: number } | undefined,
    root: ReaderRoot,
  ): Met<T> | undefined {
    let fd: number;
    try {
      fd = unlessFull(() => openForReading(path));
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
      const found = xattrsOf(fd, stat.dev, path, xattrs, warn);
      if (found !== undefined) record.xattrs = found;
      if (options.oneFileSystem && stat.dev !== rootDevice) {
        warn({ message: 'left out: another file system is mounted here', subject: path, partial: false });
      } else {
        children = unlessFull(() => listFolder(fd, path));
      }
    } catch (error) {
      if (parent === undefined) throw error;
      return unreadable(path, entry, error);
    } finally {
      closeSync(fd);
    }
    const folder: Folder<T> = {
      path,
      entry,
      relative: place?.relative ?? '',
      root,
      rootDevice,
      includedBy: place?.includedBy ?? 0,
      children: withoutTagged(path, children),
      next: 0,
      pending: undefined,
      holdsOwn: ownFolders.has(path),
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
    parent: Folder<T> | undefined,
    relative: string,
    includedBy: number,
  ): Met<T> | undefined {
    let fd: number;
    try {
      fd = unlessFull(() => openForReading(path));
    } catch (error) {
      if (parent === undefined) throw error;
      return unreadable(path, entry, error);
    }
    let stat: BigIntStats | undefined;
    try {
      stat = fstatSync(fd, { bigint: true });
    } catch (error) {
      if (parent === undefined) throw error;
      warnUnreadable(path, error);
      return undefined;
    } finally {
      if (stat?.isFile() !== true) closeSync(fd);
    }
    if (!stat.isFile()) {
      // It was something else a moment ago.
      if (stat.isDirectory() && parent !== undefined) {
        return open(path, entry, parent, { relative, includedBy }, parent.root);
      }
      return readOther(path, entry);
    }
    const isSource = parent === undefined;
    const item = takeFile({
      fd,
      stat,
      xattrs: xattrsOf(fd, stat.dev, path, xattrs, warn),
      path,
      entry,
      isSource,
    });
    return item === undefined ? undefined : { item };
  }

  /** Tried again where files that are open elsewhere can be waited for. */
  function unlessFull<R>(call: () => R): R {
    try {
      return call();
    } catch (error) {
      const code = errnoOf(error);
      if (freeFiles === undefined || (code !== 'EMFILE' && code !== 'ENFILE')) throw error;
      freeFiles();
      return call();
    }
  }

  /** Symlinks and special files, by lstat: opening a device may do things. */
  function readOther(path: string, entry: string): Met<T> | undefined {
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
  function unreadable(path: string, entry: string, error: unknown): Met<T> | undefined {
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
}
