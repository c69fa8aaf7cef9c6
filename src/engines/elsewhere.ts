import { randomBytes } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdir,
  opendir,
  readdir,
  readlink,
  rm,
  rmdir,
  symlink,
  unlink,
} from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

/** The name of a link in the temporary folder of a run. */
const LINK = /^elsewhere-[0-9a-f]{16}$/;

/**
 * Makes a folder that others may go into and not look into, outside of a run's temporary folder, which is closed to
 * them. A link in there leads to it, made first: what a killed run leaves is found by it (`removeElsewhere`).
 */
export async function makeElsewhere(
  place: string,
  tempDir: string,
): Promise<{ readonly folder: string; remove(): Promise<void> }> {
  const unique = randomBytes(8).toString('hex');
  const folder = join(place, `dguard-elsewhere-${unique}`);
  const link = tempDir === '' ? undefined : join(tempDir, `elsewhere-${unique}`);
  if (link !== undefined) await symlink(folder, link);
  await mkdir(folder, { mode: 0o700 });
  await chmod(folder, 0o711); // whatever the umask is
  return {
    folder,
    async remove() {
      await rm(folder, { recursive: true, force: true });
      if (link !== undefined) await rm(link, { force: true });
    },
  };
}

/** Removes all folders that links in a run's folder lead to, with the files in them. Only what is this user's alone to change. */
export async function removeElsewhere(tempDir: string): Promise<void> {
  // One by one: what a killed test restore left may be a million files.
  for await (const entry of await opendir(tempDir, { recursive: true })) {
    if (!entry.isSymbolicLink() || !LINK.test(entry.name)) continue;
    const folder = await readlink(join(entry.parentPath, entry.name));
    const facts = await lstat(folder).catch(() => undefined);
    // Anybody may have made one of that name since, where it lay in /tmp.
    const isOurs = facts?.isDirectory() && facts.uid === process.getuid?.() && (facts.mode & 0o022) === 0;
    if (!isAbsolute(folder) || !folder.endsWith(`/dguard-${entry.name}`) || !isOurs) continue;
    for (const name of await readdir(folder)) await unlink(join(folder, name));
    await rmdir(folder);
  }
}
