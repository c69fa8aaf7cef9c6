import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toDguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';

/** What runs make in temp_dir, each with the six characters of mkdtemp(3). A backup's has no use in its name. */
export const TEMP_FOLDER_NAME = /^dguard-(?:(?:check|restore|target|scratch|verify)-)?[A-Za-z0-9]{6}$/;

/** Calls `work` with a folder in temp_dir that is gone afterwards, however it ends. Errors: `internal` where it cannot be made, `work`'s. */
export async function withTempFolder<T>(
  { tempDir }: Pick<Runtime, 'tempDir'>,
  use: 'check' | 'restore' | 'target' | 'scratch' | 'verify',
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tempDir, `dguard-${use}-`)).catch((error: unknown) => {
    throw toDguardError(error, 'internal', {
      operation: 'make a temporary folder',
      subject: tempDir,
      hint: 'give defaults.temp_dir a folder that this user may write to, on a disk with room',
    });
  });
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
