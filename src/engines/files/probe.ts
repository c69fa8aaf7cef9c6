import { constants } from 'node:fs';
import { access, opendir, realpath, stat, statfs } from 'node:fs/promises';
import { displayPath, fromText } from '../../archive/paths.ts';
import { errnoOf, errorText, throwIfAborted } from '../../errors.ts';
import { fsPath } from '../fs-paths.ts';
import type { Health } from '../health.ts';
import type { EngineSource } from '../types.ts';
import type { FilesOptions } from './options.ts';

/**
 * Is every source there, readable and not empty? Free bytes are those of the fullest file system among them.
 * Nothing here blocks the thread: a mount that hangs must not keep others from being looked at.
 */
export async function probeFiles(source: EngineSource<FilesOptions>): Promise<Health> {
  const startedMs = performance.now();
  let fullest: { free: number; total: number } | undefined;
  for (const text of source.options.source_path) {
    throwIfAborted(source.signal);
    const path = fromText(text);
    try {
      const facts = await stat(await realpath(fsPath(path)));
      if (!facts.isDirectory() && !facts.isFile()) return bad(path, 'is neither a folder nor a regular file');
      const wanted = facts.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK;
      await access(fsPath(path), wanted);
      if (facts.isDirectory() && (await isEmpty(path))) return bad(path, 'is empty: is its disk mounted?');
      const { bavail, blocks, bsize } = await statfs(fsPath(path));
      const free = bavail * bsize;
      // Of no size: it does not say (some of FUSE).
      if (blocks > 0 && (fullest === undefined || free < fullest.free))
        fullest = { free, total: blocks * bsize };
    } catch (error) {
      const code = errnoOf(error);
      const why =
        code === 'ENOENT'
          ? 'does not exist'
          : code === 'EACCES'
            ? 'is not readable by this user'
            : errorText(error);
      return bad(path, why);
    }
  }
  return {
    status: 'ok',
    latencyMs: Math.round(performance.now() - startedMs),
    facts: {
      sources: source.options.source_path.length,
      ...(fullest === undefined ? {} : { free_bytes: fullest.free, total_bytes: fullest.total }),
    },
  };
}

async function isEmpty(path: string): Promise<boolean> {
  const folder = await opendir(fsPath(path) as string);
  try {
    return (await folder.read()) === null;
  } finally {
    await folder.close();
  }
}

function bad(path: string, why: string): Health {
  return { status: 'error', message: `${displayPath(path)} ${why}` };
}
