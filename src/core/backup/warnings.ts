import { displayPath } from '../../archive/paths.ts';
import { redact } from '../../config/secret.ts';
import type { Warning } from '../../engines/types.ts';
import type { Runtime } from '../../runtime.ts';

const LISTED_WARNINGS = 20;

/** What a run was warned of: all are counted and told at once, the first are kept for the manifest. */
export interface Warnings {
  add(warning: Warning): void;
  summary(): { count: number; first: readonly string[]; partial: boolean };
}

export function collectWarnings(job: string, subject: string, runtime: Runtime): Warnings {
  const first: string[] = [];
  let count = 0;
  let partial = false;
  return {
    add(warning) {
      count++;
      partial ||= warning.partial;
      const of = warning.subject === undefined ? '' : `${displayPath(warning.subject)}: `;
      const message = redact(`${of}${warning.message}`).slice(0, 2000);
      if (first.length < LISTED_WARNINGS) first.push(message);
      runtime.emit({ type: 'log', level: 'warning', job, subject, message });
    },
    summary: () => ({ count, first, partial }),
  };
}
