import type { ContentEntry } from './entry.ts';
import { displayPath, fromText, withoutEnds } from './paths.ts';

/**
 * What `--only` selects: a path with all beneath it, a table by its name, or a glob of either. Patterns are texts as
 * users type them, or as a path is shown that cannot be typed (`bad\xff`).
 */
export async function createSelection(
  patterns: readonly string[],
): Promise<(entry: ContentEntry) => boolean> {
  const plain = patterns.map((pattern) => fromText(withoutEnds(pattern)));
  const shownPaths = patterns.filter((pattern) => pattern.includes('\\')).map(withoutEnds);
  const globs = patterns.filter((pattern) => /[*?[{]/.test(pattern));
  const matchers =
    globs.length === 0
      ? []
      : await import('../plan/glob.ts').then(({ globMatcher }) => globs.map(globMatcher));
  return (entry) => {
    const path = entry.path;
    if (plain.some((wanted) => path === wanted || path.startsWith(`${wanted}/`))) return true;
    if (entry.type === 'table' && plain.includes(entry.table)) return true;
    if (matchers.length === 0 && shownPaths.length === 0) return false;
    const shown = displayPath(entry.type === 'table' ? entry.table : path);
    // A table's name can be typed.
    if (
      entry.type !== 'table' &&
      shownPaths.some((wanted) => shown === wanted || shown.startsWith(`${wanted}/`))
    )
      return true;
    return matchers.some((matches) => matches(shown));
  };
}
