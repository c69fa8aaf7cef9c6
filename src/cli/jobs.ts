import type { JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import { DguardError } from '../errors.ts';
import { parseDuration } from '../plan/duration.ts';

/** The milliseconds of `option`'s value; 0 where it is not given. Errors: usage. */
export function waitOf(text: string | undefined, option: string): number {
  if (text === undefined) return 0;
  const waitMs = parseDuration(text);
  if (waitMs !== undefined) return waitMs;
  throw new DguardError('usage', `${option}: ${text} is no duration`, {
    hint: 'write 90s, 30m, 2h or 1d12h',
  });
}

/** The jobs of these names, each once, or all; `operation` is the command. Errors: usage, unknown_name. */
export function chooseJobs(
  config: Config,
  names: readonly string[],
  all: boolean,
  operation: string,
): JobConfig[] {
  if (all && names.length > 0) {
    throw new DguardError('usage', `--all is every job, and ${names.join(', ')} named: which is meant?`, {
      operation,
      hint: 'name jobs, or use --all',
    });
  }
  if (all) return Object.values(config.jobs);
  const known = Object.keys(config.jobs).join(', ');
  if (names.length === 0) {
    throw new DguardError('usage', 'which job? Name one, or use --all', {
      operation,
      hint: `jobs: ${known}`,
    });
  }
  return [...new Set(names)].map((name) => {
    const job = Object.hasOwn(config.jobs, name) ? config.jobs[name] : undefined;
    if (job) return job;
    throw new DguardError('unknown_name', `the configuration has no job ${name}`, {
      operation,
      subject: name,
      hint: `jobs: ${known}`,
    });
  });
}
