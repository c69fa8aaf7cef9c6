import { accessSync, constants, lstatSync, rmdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { DguardError, errnoOf, errorText } from '../../errors.ts';
import { folderOnDisk, makeFolders, missingFolders } from '../../folders.ts';

/** The folder that several datasources are restored into, each to a place of its own. */
export interface CommonFolder {
  /** It is not there, and was not made: on a dry run. */
  readonly toCome?: string;
  /** Takes away again what was made and stayed empty: of a restore that failed. */
  release(): void;
}

/**
 * Makes the folder, if there is to be one; a dry run writes nothing and only sees whether it could be made.
 * Errors: target_refused, where it cannot be.
 */
export function commonFolder(toPath: string | undefined, dryRun: boolean): CommonFolder {
  if (toPath === undefined) return { release: () => undefined };
  const folder = resolve(toPath);
  const missing = missingFolders(folder);
  try {
    if (!dryRun) {
      const made = makeFolders(folder);
      return { release: () => removeEmpty(made) };
    }
    const [outermost] = missing;
    if (outermost === undefined) return { release: () => undefined };
    if (lstatSync(outermost, { throwIfNoEntry: false }) !== undefined) {
      throw new Error(`${outermost} is not a folder`);
    }
    accessSync(folderOnDisk(folder), constants.W_OK | constants.X_OK);
    return { toCome: folder, release: () => undefined };
  } catch (error) {
    if (!dryRun) removeEmpty(missing);
    throw new DguardError('target_refused', `the folder cannot be made: ${errorText(error)}`, {
      operation: 'restore',
      subject: folder,
      hint: 'nothing was restored; name a folder that you may make: --to-path DIR',
      cause: error,
    });
  }
}

function removeEmpty(made: readonly string[]): void {
  for (const folder of [...made].reverse()) {
    try {
      rmdirSync(folder);
    } catch (error) {
      // Something was restored into it; or it was never made, those above it perhaps were.
      if (errnoOf(error) !== 'ENOENT') return;
    }
  }
}
