import picomatch from 'picomatch';

/**
 * Whether a text matches a glob, anchored at both ends: `*` within a part, `**` across parts, `?`, `[…]`,
 * `{a,b}`. Hidden names need no dot in the pattern, a newline is a character like any other, and a leading
 * `!` has no meaning.
 */
export function globMatcher(glob: string): (text: string) => boolean {
  return picomatch(glob, { dot: true, nonegate: true, flags: 's' });
}
