import type { Warning } from './types.ts';

/** Warns of each pattern that names nothing of what there is: what was meant would be missed without a word. */
export function warnOfUnmet(
  patterns: readonly string[],
  isMet: (pattern: string) => boolean,
  warn: (warning: Warning) => void,
  what: 'table' | 'collection' = 'table',
): void {
  for (const pattern of patterns) {
    if (isMet(pattern)) continue;
    warn({ message: `no ${what} matches the pattern '${pattern}'`, subject: pattern, partial: false });
  }
}
