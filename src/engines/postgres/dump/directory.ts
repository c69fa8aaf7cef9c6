import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DguardError } from '../../../errors.ts';
import { freeBytesOf } from '../../../folders.ts';
import type { Member } from '../../member.ts';
import type { TableFact } from '../../types.ts';
import { dumpArguments, explained, finishTool, startTool } from './run-tool.ts';
import { refuseRenamed } from './same-objects.ts';
import type { Snapshot } from './snapshot.ts';

/** What the files of a dump in directory format are called in a backup. */
export const DIRECTORY_PREFIX = 'database.dir/';

const READ_BYTES = 1024 * 1024;

/**
 * Dumps with several connections into a folder of temp_dir, then offers its files, each removed once it was
 * read. Throws `storage_full` where the folder has no room for the database.
 */
export async function* directoryMembers(
  snapshot: Snapshot,
  jobs: number,
  subject: string,
  count: () => Promise<readonly TableFact[]>,
): AsyncGenerator<Member> {
  const { source } = snapshot.server;
  const staging = await mkdtemp(join(source.tempDir, 'pg-dump-'));
  const folder = join(staging, 'dump');
  try {
    await requireRoom(snapshot, staging, subject);
    await mkdir(folder, { mode: 0o700 });
    const argv = [
      ...(await dumpArguments(snapshot)),
      '--format=directory',
      `--jobs=${jobs}`,
      `--file=${folder}`,
    ];
    const child = await startTool(snapshot, argv, subject);
    count().catch(() => {});
    const ended = new AbortController();
    const looked = whenThere(join(folder, 'toc.dat'), ended.signal).then(() =>
      refuseRenamed(snapshot.session, subject),
    );
    looked.catch(() => {});
    try {
      for await (const _ of child.stdout);
    } catch (error) {
      throw explained(error, subject);
    } finally {
      ended.abort();
    }
    await finishTool(snapshot, child, subject);
    await looked;
    const names = (await readdir(folder)).sort();
    if (!names.includes('toc.dat')) {
      throw new DguardError('source_failed', 'pg_dump left no table of contents', {
        operation: 'dump',
        subject,
      });
    }
    for (const name of names) {
      const path = join(folder, name);
      yield {
        kind: 'stream',
        path: DIRECTORY_PREFIX + name,
        media: 'application/octet-stream',
        format: name === 'toc.dat' ? 'pg_dump-directory-toc' : 'pg_dump-directory-data',
        open: () => createReadStream(path, { highWaterMark: READ_BYTES }),
        ...(name === 'toc.dat' ? { tables: count } : {}),
      };
      await rm(path);
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const LOOK_MS = 100;

/** Resolves when the file is there, or nobody waits for it any more: pg_dump makes it with the last definition. */
async function whenThere(path: string, ended: AbortSignal): Promise<void> {
  while (!ended.aborted && (await stat(path).catch(() => undefined)) === undefined)
    await sleep(LOOK_MS, undefined, { signal: ended }).catch(() => {});
}

async function requireRoom(snapshot: Snapshot, folder: string, subject: string): Promise<void> {
  const needed = snapshot.sizeBytes ?? 0;
  const free = await freeBytesOf(folder);
  if (free === undefined || free >= needed) return;
  throw new DguardError(
    'storage_full',
    `a parallel dump needs up to ${needed} bytes in ${folder}, ${free} are free`,
    { operation: 'dump', subject, hint: 'point temp_dir at a larger disk, or set parallel_jobs: 1' },
  );
}
