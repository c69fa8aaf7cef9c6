import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DguardError, errnoOf, errorText } from '../../../errors.ts';
import type { SqlserverOptions } from '../options.ts';
import { joinServerPath } from './backup-file.ts';

/** A backup file in the folder that the server and this host both see. */
export interface SharedFile {
  /** As the server sees it. */
  readonly serverPath: string;
  /** As this host sees it. */
  readonly localPath: string;
}

const NAME = /^dguard-[0-9a-f]{16}\.bak$/;
/** One that was last written this long ago is of a run that is over. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;
const READ_BYTES = 1024 * 1024;

/** A new name in the shared folder. Throws `config_invalid` where the datasource has none. */
export function newSharedFile(options: SqlserverOptions, subject: string): SharedFile {
  const { server_path: serverPath, local_path: localPath } = options;
  if (serverPath === undefined || localPath === undefined) {
    throw new DguardError(
      'config_invalid',
      'a native backup goes through a folder that the server and this host both see, and none is given',
      {
        operation: 'prepare',
        subject,
        hint: 'give the datasource server_path and local_path, or the job options: { format: jsonl }',
      },
    );
  }
  const name = `dguard-${randomBytes(8).toString('hex')}.bak`;
  return { serverPath: joinServerPath(serverPath, name), localPath: join(localPath, name) };
}

/** Its size. Throws where the two paths turn out not to be the same folder, or it may not be read. */
export async function requireVisible(
  { serverPath, localPath }: SharedFile,
  subject: string,
): Promise<number> {
  try {
    const handle = await open(localPath, 'r');
    try {
      return (await handle.stat()).size;
    } finally {
      await handle.close();
    }
  } catch (error) {
    const isMissing = errnoOf(error) === 'ENOENT';
    throw new DguardError(
      'source_failed',
      isMissing
        ? `the server wrote ${serverPath}, and ${localPath} is not there: the two are not the same folder`
        : `the server wrote ${serverPath}, and ${localPath} cannot be read: ${errorText(error)}`,
      {
        operation: 'read backup file',
        subject,
        hint: isMissing
          ? 'check server_path and local_path, and that the share is mounted here'
          : 'let this user read what the server writes there (a default ACL: setfacl -d -m u:USER:r FOLDER)',
        cause: error,
      },
    );
  }
}

export async function* readShared({ localPath }: SharedFile): AsyncGenerator<Uint8Array> {
  yield* createReadStream(localPath, { highWaterMark: READ_BYTES });
}

/** Puts bytes there for the server to read, whose account is another one. */
export async function writeShared(
  { localPath }: SharedFile,
  bytes: AsyncIterable<Uint8Array>,
): Promise<void> {
  await pipeline(bytes, createWriteStream(localPath, { flags: 'wx', mode: 0o644, flush: true }));
}

export async function removeShared({ localPath }: SharedFile): Promise<void> {
  await unlink(localPath).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
  });
}

/** Backup files that runs which were killed have left: ours by name, untouched for a day. */
export async function listLeftovers(options: SqlserverOptions, now: Date): Promise<string[]> {
  const { local_path: folder } = options;
  if (folder === undefined) return [];
  const found: string[] = [];
  for (const name of (await readdir(folder).catch(() => [])).filter((each) => NAME.test(each))) {
    const facts = await lstat(join(folder, name)).catch(() => undefined);
    if (facts?.isFile() && now.getTime() - facts.mtimeMs > LEFTOVER_AGE_MS) found.push(join(folder, name));
  }
  return found;
}
