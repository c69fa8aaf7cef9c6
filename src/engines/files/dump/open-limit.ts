import { readFileSync } from 'node:fs';

/** With three runs of files open, others (destinations, tools) still find most of what this process may open. */
const MAX_RUN_FILES = 128;
const RUN_SHARE = 16;
/** Where the limit is not known. */
const SHORT_RUN_FILES = 16;

/** How many files a run opens. Node raises its limit to the hard one at its start; where that is low, runs are short. */
export function runFiles(): number {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return SHORT_RUN_FILES;
  }
  const soft = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return Math.max(1, Math.min(MAX_RUN_FILES, Math.floor(soft / RUN_SHARE)));
}
