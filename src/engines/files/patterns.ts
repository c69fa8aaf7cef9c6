import { isAscii, isUtf8Path, toBytes } from '../../archive/paths.ts';
import { globMatcher } from '../../plan/glob.ts';

/** Decides what of a source is backed up. Paths are byte strings relative to the source. */
export interface Selection {
  /** False where everything is wanted: nothing needs to be asked. */
  readonly limited: boolean;
  /** Left out; of a folder: not descended into. */
  excluded(path: string, isFolder: boolean): boolean;
  /**
   * Which of the include lists want it, one bit each; of a folder: with everything in it. It is backed up
   * where these bits and those of the folders above it make `all`.
   */
  includedBy(path: string, isFolder: boolean): number;
  readonly all: number;
}

/**
 * Patterns in the manner of gitignore and glob: without `/` they match a name at any depth, with `/` they
 * are anchored at the source (its absolute path or that of its entry in front is understood), a final `/` or `/**`
 * means a folder and all in it. Hidden names need no dot in the pattern. Every list that is not empty
 * must include a path; any exclude pattern leaves it out.
 *
 * @param source its absolute path and the path of its entry, byte strings
 */
export function compileSelection(
  source: { readonly path: string; readonly entry: string },
  includes: readonly (readonly string[])[],
  excludes: readonly (readonly string[])[],
): Selection {
  const roots = [source.path, source.entry].filter((root) => root !== '').map((root) => `${asText(root)}/`);
  const include = includes
    .filter((list) => list.length > 0)
    .map((list) => list.map((pattern) => compile(pattern, roots)));
  const exclude = excludes.flat().map((pattern) => compile(pattern, roots));
  return {
    limited: include.length > 0 || exclude.length > 0,
    excluded(path, isFolder) {
      if (exclude.length === 0) return false;
      const text = asText(path);
      return exclude.some((matches) => matches(text, isFolder));
    },
    includedBy(path, isFolder) {
      if (include.length === 0) return 0;
      const text = asText(path);
      let bits = 0;
      include.forEach((list, at) => {
        if (list.some((matches) => matches(text, isFolder))) bits |= 1 << at;
      });
      return bits;
    },
    all: 2 ** include.length - 1,
  };
}

type Matcher = (path: string, isFolder: boolean) => boolean;

function compile(pattern: string, roots: readonly string[]): Matcher {
  let glob = pattern.startsWith('./') ? pattern.slice(2) : pattern;
  const root = roots.find((candidate) => glob.startsWith(candidate));
  if (root !== undefined) glob = glob.slice(root.length - 1);
  const foldersOnly = glob.endsWith('/') || glob.endsWith('/**');
  const anchoredByTail = glob.endsWith('/**');
  if (foldersOnly) glob = glob.slice(0, glob.endsWith('/**') ? -3 : -1);
  // `/**`, `**/`, `**`: everything.
  if (glob === '' || glob === '**') return () => true;
  const anchored = anchoredByTail || glob.includes('/');
  const matches = globMatcher(glob.startsWith('/') ? glob.slice(1) : glob);
  if (anchored) return (path, isFolder) => (isFolder || !foldersOnly) && matches(path);
  return (path, isFolder) => {
    if (foldersOnly && !isFolder) return false;
    return matches(path.slice(path.lastIndexOf('/') + 1));
  };
}

/** Names that are not UTF-8 are matched as Latin-1, the best guess there is. */
function asText(path: string): string {
  if (isAscii(path)) return path;
  return isUtf8Path(path) ? toBytes(path).toString('utf8') : path;
}
