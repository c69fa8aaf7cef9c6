import { accessSync, constants, realpathSync, statfsSync, statSync } from 'node:fs';
import { displayPath, fromText } from '../../archive/paths.ts';
import { errnoOf, errorText } from '../../errors.ts';
import type { EngineSource, Health } from '../types.ts';
import { fsPath } from './fs-paths.ts';
import type { FilesOptions } from './options.ts';
import { isEmptyFolder } from './sources.ts';

/** Is every source there, readable and not empty? Free bytes are those of the fullest file system among them. */
export async function probeFiles(source: EngineSource<FilesOptions>): Promise<Health> {
  const startedMs = source.now().getTime();
  let freeBytes: number | undefined;
  for (const text of source.options.source_path) {
    const path = fromText(text);
    try {
      const stat = statSync(realpathSync.native(fsPath(path), { encoding: 'buffer' }));
      accessSync(fsPath(path), stat.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
      if (!stat.isDirectory() && !stat.isFile()) return bad(path, 'is neither a folder nor a regular file');
      if (stat.isDirectory() && isEmptyFolder(path)) return bad(path, 'is empty: is its disk mounted?');
      const { bavail, bsize } = statfsSync(fsPath(path));
      freeBytes = Math.min(freeBytes ?? Number.POSITIVE_INFINITY, bavail * bsize);
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
    latencyMs: source.now().getTime() - startedMs,
    facts: {
      sources: source.options.source_path.length,
      ...(freeBytes === undefined ? {} : { free_bytes: freeBytes }),
    },
  };
}

function bad(path: string, why: string): Health {
  return { status: 'error', message: `${displayPath(path)} ${why}` };
}
