import { constants } from 'node:fs';
import { lstat, mkdir, open, realpath, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DguardError, errnoOf } from '../../errors.ts';

const FOLDER_MODE = 0o700;

/**
 * The folder of an object under `root`, made where it is missing and durable when this resolves.
 * `settled` holds the folders that this storage knows to be durable. Links are never followed.
 */
export async function makeFolder(
  root: string,
  parts: readonly string[],
  settled: Set<string>,
): Promise<string> {
  const folder = join(root, ...parts);
  if (settled.has(folder) && (await isRealPath(folder))) return folder;
  let current = root;
  for (const part of parts) {
    const parent = current;
    current = join(parent, part);
    const made = await makeOne(current);
    // Also one found there: another process may have made it a moment ago, and not be through with its sync.
    if (made || !settled.has(current)) await syncFolder(parent);
    settled.add(current);
  }
  return folder;
}

/** Removes `folder` and those above it up to, not including, `root`, as far as they are empty. */
export async function removeEmptyFolders(root: string, folder: string, settled: Set<string>): Promise<void> {
  for (let current = folder; current !== root && current.startsWith(root); current = dirname(current)) {
    settled.delete(current);
    try {
      await rmdir(current);
    } catch (error) {
      // An empty folder that stays (not empty after all, not ours to remove) does no harm.
      if (errnoOf(error) !== 'ENOENT') return;
    }
  }
}

/**
 * Makes the destination's own folder with what is missing above it, durable when this resolves. Returns the
 * topmost folder that was made, undefined where none was.
 */
export async function makeRoot(path: string): Promise<string | undefined> {
  const first = await makeMissing(path);
  if (first === undefined) return undefined;
  for (let folder = path; ; folder = dirname(folder)) {
    await syncFolder(dirname(folder));
    if (folder === first || folder === dirname(folder)) return first;
  }
}

/** Not by mkdir's own `recursive`: where no folder can be made (/proc) that tries for ever, and nothing ends it. */
async function makeMissing(path: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let folder = path; !(await isFolder(folder)); folder = dirname(folder)) missing.unshift(folder);
  let first: string | undefined;
  for (const folder of missing) {
    try {
      await mkdir(folder, { mode: FOLDER_MODE });
      first ??= folder;
    } catch (error) {
      // Another process was faster.
      if (errnoOf(error) !== 'EEXIST' || !(await isFolder(folder))) throw error;
    }
  }
  return first;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return false;
  }
  throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`), { code: 'ENOTDIR' });
}

/** Removes what `makeRoot` made, as far as it is empty. */
export async function removeMadeRoot(path: string, first: string): Promise<void> {
  await removeEmptyFolders(dirname(first), path, new Set());
}

/** True if `path` exists and no part of it is a link. */
export async function isRealPath(path: string): Promise<boolean> {
  try {
    return (await realpath(path)) === path;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } catch (error) {
    // Some network and FUSE file systems cannot sync a folder; they have no names to lose by themselves.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EBADF'].includes(errnoOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

async function makeOne(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: FOLDER_MODE });
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  if ((await lstat(folder)).isDirectory()) return false;
  throw new DguardError('storage_failed', `${folder} is a file or a link where a folder is needed`, {
    operation: 'put',
    subject: folder,
    hint: 'links inside a destination are not followed: move it away',
  });
}
