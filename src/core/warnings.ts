import { displayPath } from '../archive/paths.ts';
import type { Warning } from '../engines/types.ts';
import type { Runtime } from '../runtime.ts';

/** Says at once what a result cannot carry: the work failed, or its result is a list of words. */
export function tellWarnings(warnings: readonly Warning[], { emit }: Pick<Runtime, 'emit'>): void {
  for (const { message, subject } of warnings) {
    const of = subject === undefined ? {} : { subject: displayPath(subject) };
    emit({ type: 'log', level: 'warning', ...of, message });
  }
}
