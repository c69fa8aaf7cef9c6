import { chmodSync, closeSync, constants, linkSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import type { ContentEntry } from '../../../archive/entry.ts';
import { parentPath, toBytes } from '../../../archive/paths.ts';
import { throwIfAborted } from '../../../errors.ts';
import { fsPath, isWithin, joinPath } from '../../fs-paths.ts';
import type { BackupContent } from '../../types.ts';
import type { Staging } from '../swap/swap.ts';
import type { Metadata } from '../system/metadata.ts';
import { corrupt } from './corrupt.ts';
import { createEntryCheck, type TreeEntry } from './entry-check.ts';
import { type FileWriter, openFileWriter } from './file-writer.ts';
import { makeSpecials, type Special } from './specials.ts';
import { createWriteBehind } from './write-behind.ts';

export interface StageOptions {
  readonly only: readonly string[];
  readonly signal: AbortSignal;
  readonly metadata: Metadata;
  /** Devices are made. */
  readonly devices: boolean;
  /** Is a folder of the backup itself chosen, or only above what is? */
  readonly chosen: (entry: ContentEntry) => boolean;
  readonly onProgress: (bytesDone: number, filesDone: number) => void;
}

export interface StageOutcome {
  readonly entries: number;
  readonly filesCount: number;
  readonly sizeBytes: number;
  /** What cannot be made here. */
  readonly skippedDevices: number;
  readonly skippedSockets: number;
  /** Folders that were made for what is in them: they say nothing of folders that exist. */
  readonly implied: ReadonlySet<string>;
}

/**
 * Writes the entries into fresh folders of ours. The entries are met twice: first folders and files, then
 * links and special files together with the folders' own metadata, each folder when all in it is done. No
 * link exists while a file is opened or a folder made, so nothing can lead out.
 */
export async function stage(
  content: BackupContent,
  stagings: readonly Staging[],
  options: StageOptions,
): Promise<StageOutcome> {
  const { metadata, signal } = options;
  const check = createEntryCheck(options.only.length > 0);
  const pathOf = stagedPaths(stagings);
  const parents = createParents(stagings, pathOf);
  const rootsMet = new Set<string>();
  const hardLinks: { from: string; to: string }[] = [];
  const specials: Special[] = [];
  /** Where a file with several names was restored, by the path that links name. */
  const restoredAt = new Map<string, string>();
  let entries = 0;
  let filesCount = 0;
  let sizeBytes = 0;
  let skippedDevices = 0;
  let skippedSockets = 0;
  let filesOpen = 0;
  let writer: FileWriter | undefined;
  const behind = createWriteBehind();

  try {
    for await (const chunk of content.readAll(foldersAndFiles())) {
      throwIfAborted(signal);
      if (chunk.entry.path !== writer?.entry.path) {
        if (writer !== undefined) throw corrupt(writer.entry.path, 'its content ends early');
        if (chunk.entry.type !== 'tree') throw corrupt(chunk.entry.path, 'is not a file');
        writer = openFileWriter(pathOf(chunk.entry.path), chunk.entry, metadata, behind);
      }
      writer.write(chunk.position, chunk.bytes);
      sizeBytes += chunk.bytes.length;
      if (chunk.last) {
        const finished = writer;
        writer = undefined;
        filesOpen -= 1;
        finished.finish();
      }
      if (behind.full) await behind.ready();
      // Entries are read ahead of their content.
      options.onProgress(sizeBytes, filesCount - filesOpen);
    }
  } finally {
    try {
      writer?.abandon();
    } catch {
      // Of a file that lacks its end: an error is on its way.
    }
    await behind.idle();
  }
  if (behind.full) await behind.ready();
  if (filesOpen !== 0 || writer !== undefined) throw corrupt('', 'the content of some files is missing');
  for (const { from, to } of hardLinks) linkSync(fsPath(pathOf(from)), fsPath(pathOf(to)));
  makeSpecials(specials, stagings[0]!.member.folder);
  for (const special of specials) metadata.applyToSpecial(special.path, special.entry);
  await linksAndFolders();
  options.onProgress(sizeBytes, filesCount);
  return { entries, filesCount, sizeBytes, skippedDevices, skippedSockets, implied: parents.implied };

  async function* foldersAndFiles(): AsyncGenerator<ContentEntry> {
    for await (const entry of content.entries({ only: options.only })) {
      throwIfAborted(signal);
      const wrong = check(entry);
      if (wrong !== undefined) throw corrupt(entry.path, wrong);
      const met = entry as TreeEntry;
      entries += 1;
      parents.ensure(met);
      if (met.kind === 'directory' && !options.chosen(met)) parents.implied.add(met.path);
      if (met.kind !== 'directory') filesCount += 1;
      if (met.kind === 'file') {
        if (met.linkGroup !== undefined) restoredAt.set(met.path, met.path);
        if (met.size > 0) {
          filesOpen += 1;
          yield met;
        } else {
          openFileWriter(pathOf(met.path), met, metadata, behind).finish();
        }
      } else if (met.kind === 'hardlink') {
        const file = await linkOrFile(met);
        if (file !== undefined) {
          filesOpen += 1;
          yield file;
        }
      } else if (met.kind === 'socket') {
        skippedSockets += 1;
      } else if (met.kind === 'fifo') {
        specials.push({ path: pathOf(met.path), entry: met });
      } else if (met.kind === 'char_device' || met.kind === 'block_device') {
        if (options.devices) specials.push({ path: pathOf(met.path), entry: met });
        else skippedDevices += 1;
      }
    }
  }

  /** Of a selection that holds only further names of a file, the first of them becomes the file. */
  async function linkOrFile(link: TreeEntry): Promise<TreeEntry | undefined> {
    const first = link.link!;
    const restored = restoredAt.get(first);
    if (restored !== undefined) {
      hardLinks.push({ from: restored, to: link.path });
      return undefined;
    }
    const file = await content.entry(first);
    const wrong = file === undefined ? undefined : createEntryCheck(true)(file);
    if (wrong !== undefined) throw corrupt(first, wrong);
    if (file?.type !== 'tree' || file.kind !== 'file' || file.linkGroup !== link.linkGroup) {
      throw corrupt(link.path, 'is a hard link to something that is not a file of this backup');
    }
    restoredAt.set(first, link.path);
    const named: TreeEntry = { ...file, path: link.path };
    if (file.size > 0) return named;
    openFileWriter(pathOf(link.path), named, metadata, behind).finish();
    return undefined;
  }

  async function linksAndFolders(): Promise<void> {
    const check = createEntryCheck(options.only.length > 0);
    const open: TreeEntry[] = [];
    const leave = (next: string | undefined) => {
      while (open.length > 0) {
        const folder = open[open.length - 1]!;
        if (next !== undefined && (folder.path === '' || next.startsWith(`${folder.path}/`))) return;
        open.pop();
        finishFolder(folder);
      }
    };
    for await (const entry of content.entries({ only: options.only })) {
      throwIfAborted(signal);
      // What is read a second time is checked a second time.
      const wrong = check(entry);
      if (wrong !== undefined) throw corrupt(entry.path, wrong);
      const met = entry as TreeEntry;
      if (met.kind === 'directory') {
        leave(met.path);
        open.push(met);
      } else if (met.kind === 'symlink') {
        const path = pathOf(met.path);
        symlinkSync(toBytes(met.link!), fsPath(path));
        leave(met.path);
        metadata.applyToSymlink(path, met);
      }
    }
    leave(undefined);
    // A folder that is nobody's source: several sources, or a file, below a folder named by --to-path.
    for (const { target, data } of stagings) {
      if (target.kind !== 'directory' || rootsMet.has(target.entry)) continue;
      chmodSync(fsPath(data), 0o755);
      parents.implied.add(target.entry);
    }
  }

  function finishFolder(folder: TreeEntry): void {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    const fd = openSync(fsPath(pathOf(folder.path)), flags);
    try {
      if (stagings.some(({ target }) => target.entry === folder.path)) rootsMet.add(folder.path);
      metadata.applyToOpen(fd, folder);
    } finally {
      closeSync(fd);
    }
  }
}

/** The staged path of an entry, for each of the targets. */
function stagedPaths(stagings: readonly Staging[]): (path: string) => string {
  const [only] = stagings;
  if (stagings.length === 1 && only!.target.entry === '') return (path) => joinPath(only!.data, path);
  return (path) => {
    const staging = stagings.find(({ target }) => isWithin(path, target.entry));
    if (staging === undefined) throw corrupt(path, 'lies in none of the sources of its backup');
    if (path === staging.target.entry) return staging.data;
    if (staging.target.kind === 'file') throw corrupt(path, 'lies below a source that is a file');
    return joinPath(staging.data, path.slice(staging.target.entry.length + 1));
  };
}

/** Makes folders as they are met, and those above an entry that have none of their own (mode 0755). */
function createParents(stagings: readonly Staging[], pathOf: (path: string) => string) {
  /** The folders above where the walk is. */
  let above: string[] = [];
  const implied = new Set<string>();
  return {
    implied,
    ensure(entry: TreeEntry): void {
      const staging = stagings.find(
        ({ target }) => target.entry === '' || isWithin(entry.path, target.entry),
      );
      if (staging === undefined) throw corrupt(entry.path, 'lies in none of the sources of its backup');
      const root = staging.target.entry;
      if (entry.path === root) {
        if ((entry.kind === 'directory') !== (staging.target.kind === 'directory')) {
          throw corrupt(entry.path, 'is not of the kind that its source was');
        }
        above = [];
        return;
      }
      const parent = parentPath(entry.path);
      while (above.length > 0 && !isWithin(parent, above[above.length - 1]!)) above.pop();
      makeMissing(above[above.length - 1] ?? root, parent);
      if (entry.kind === 'directory') {
        mkdirSync(fsPath(pathOf(entry.path)), 0o700);
        above.push(entry.path);
      }
    },
  };

  function makeMissing(from: string, to: string): void {
    if (from === to) return;
    let end = from === '' ? -1 : from.length;
    while (end < to.length) {
      const slash = to.indexOf('/', end + 1);
      end = slash === -1 ? to.length : slash;
      const missing = to.slice(0, end);
      mkdirSync(fsPath(pathOf(missing)), 0o755);
      implied.add(missing);
      above.push(missing);
    }
  }
}
