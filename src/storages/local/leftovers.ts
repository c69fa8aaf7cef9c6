import { type Dirent, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { errnoOf, throwIfAborted } from '../../errors.ts';
import { isKeyPart, TEMP_PREFIX } from '../key.ts';
import type { Leftovers } from '../types.ts';

const TEMP_NAME = new RegExp(`^${TEMP_PREFIX.replaceAll('.', '\\.')}[0-9a-f]{16}$`);

/**
 * Removes the temporary files of puts that were killed, and the folders that they alone kept: regular files of
 * exactly our naming, last written before `olderThan`. Links are not followed; other files are not touched.
 */
export async function sweepTemporary(
  root: string,
  olderThan: Date,
  signal?: AbortSignal,
): Promise<Leftovers> {
  let count = 0;
  let bytes = 0;
  const sweep = async (folder: string): Promise<void> => {
    if (signal) throwIfAborted(signal);
    await setImmediate();
    let removed = 0;
    for (const entry of folder === root ? readdirSync(root, { withFileTypes: true }) : listIfThere(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory() && isKeyPart(entry.name)) await sweep(path);
      if (!entry.isFile() || !TEMP_NAME.test(entry.name)) continue;
      const facts = lstatSync(path, { throwIfNoEntry: false });
      if (!facts?.isFile() || facts.mtimeMs >= olderThan.getTime()) continue;
      if (!unlinkIfThere(path)) continue;
      removed++;
      bytes += facts.size;
    }
    count += removed;
    if (removed > 0 && folder !== root) removeIfEmpty(folder);
  };
  await sweep(root);
  return { count, bytes };
}

function listIfThere(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return [];
  }
}

function unlinkIfThere(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return false;
  }
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(errnoOf(error) ?? '')) throw error;
  }
}
