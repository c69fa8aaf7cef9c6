import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { displayPath } from '../../../archive/paths.ts';
import { DguardError, errnoOf } from '../../../errors.ts';
import { fsPath, isWithin, joinPath } from '../../fs-paths.ts';

/** Linux: a descriptor that names a folder, whatever its mode (open(2)); Node has no name for it. */
const O_PATH = process.platform === 'linux' ? 0o10000000 : 0;
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_PATH;

/**
 * Ways into the folders of a tree, each opened by its name in the one above it and never through a link, so
 * that a path means the same folder however often somebody renames or links things meanwhile. (Where the
 * system has no /proc/self/fd, each component is looked at on the way.)
 */
export interface FolderCursor {
  /**
   * A path by which the folder's names are reached (`at(path) + '/name'`); undefined where it is not there.
   * Valid until the next call. `make`: makes what is missing (0700).
   */
  at(path: string, make?: boolean): string | undefined;
  close(): void;
}

/** @param root absolute path of a folder, free of links; all paths are byte strings */
export function openFolders(root: string): FolderCursor {
  let open: { path: string; fd: number; prefix: string }[] = [];
  const enter = (path: string, name: string): boolean => {
    let fd: number;
    try {
      fd = openSync(fsPath(name), FOLDER_FLAGS);
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'ENOENT') return false;
      if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
      throw new DguardError('target_refused', 'is a link or a file where a folder must be', {
        operation: 'restore',
        subject: displayPath(joinPath(root, path)),
        hint: 'move it away, then restore again',
        cause: error,
      });
    }
    const prefix = process.platform === 'linux' ? `/proc/self/fd/${fd}` : name;
    open.push({ path, fd, prefix });
    return true;
  };
  const leave = (keep: number) => {
    for (const { fd } of open.slice(keep)) closeSync(fd);
    open = open.slice(0, keep);
  };
  return {
    at(path, make = false) {
      let keep = open.length;
      while (keep > 0 && open[keep - 1]!.path !== '' && !isWithin(path, open[keep - 1]!.path)) keep -= 1;
      leave(keep);
      if (open.length === 0 && !enter('', root)) {
        if (!make) return undefined;
        mkdirSync(fsPath(root), 0o700);
        enter('', root);
      }
      for (;;) {
        const { path: here, prefix } = open[open.length - 1]!;
        if (here === path) return prefix;
        const from = here === '' ? 0 : here.length + 1;
        const slash = path.indexOf('/', from);
        const next = slash === -1 ? path : path.slice(0, slash);
        const name = joinPath(prefix, next.slice(from));
        if (enter(next, name)) continue;
        if (!make) return undefined;
        mkdirSync(fsPath(name), 0o700);
        enter(next, name);
      }
    },
    close: () => leave(0),
  };
}
