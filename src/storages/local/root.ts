import { lstat, realpath, stat } from 'node:fs/promises';
import { DguardError } from '../../errors.ts';
import { attempt, unlessMissing } from './errors.ts';
import { makeRoot, removeMadeRoot } from './folders.ts';
import { assertMounted } from './mount.ts';

/**
 * The folder `path` of the destination `name`: its disk may not be mounted, and nothing may ever have been put there.
 * Errors: `storage_missing`, `storage_failed`, and those of `assertMounted`.
 */
export function localRoot(path: string, mustBeMounted: boolean | string | undefined, name: string) {
  let known: string | undefined;
  let made: string | undefined;

  /** The real folder; undefined where nothing was ever put. */
  async function find(): Promise<string | undefined> {
    await assertMounted(path, mustBeMounted, name);
    if (known !== undefined) return known;
    return attempt('open', path, async () => {
      let root = await realpath(path).catch(unlessMissing);
      if (root === undefined) {
        const found = await lstat(path).catch(unlessMissing);
        if (found === undefined) return undefined;
        if (found.isSymbolicLink()) throw gone('it is a link to nothing');
        // Another backup, of this run or not, made it between the two looks.
        root = await realpath(path);
      }
      if (!(await stat(root)).isDirectory()) throw notAFolder();
      known = root;
      return root;
    });
  }

  /** A mount that was asked for is expected to hold the folder: without it the wrong disk may be mounted. */
  async function findToRead(): Promise<string | undefined> {
    const root = await find();
    if (root !== undefined || !mustBeMounted) return root;
    throw new DguardError('storage_missing', `destination ${name}: there is no folder ${path}`, {
      subject: path,
      hint: `if the right disk is mounted and this is the first backup: mkdir -m 700 -p ${path}`,
    });
  }

  /** The real folder, made where it is missing. */
  async function findOrMake(): Promise<string> {
    return (await find()) ?? (await attempt('make', path, make));
  }

  async function make(): Promise<string> {
    made = (await makeRoot(path)) ?? made;
    const root = await find();
    if (root === undefined) throw gone('it was removed as soon as it was made');
    return root;
  }

  /** Removes what was made here and is still empty: a check of a destination leaves no folder behind. */
  async function removeUnused(): Promise<void> {
    if (made !== undefined) await removeMadeRoot(path, made);
    made = undefined;
  }

  /** The error that it is not there any more. */
  function gone(why: string, cause?: unknown): DguardError {
    return new DguardError('storage_missing', `destination ${name}: ${path} is not there: ${why}`, {
      subject: path,
      hint: 'if it lies on a disk or share, mount it',
      cause,
    });
  }

  function notAFolder(): DguardError {
    return new DguardError('storage_failed', `destination ${name}: ${path} is a file, not a folder`, {
      subject: path,
      hint: 'give the destination a folder of its own',
    });
  }

  return { find, findToRead, findOrMake, removeUnused, gone };
}
