import { DguardError } from '../errors.ts';
import { plainText } from '../plain-text.ts';
import type { NotificationConfig } from './types/notifications.ts';

/** Where something stands; line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** `invalid`: dguard cannot do this; `unsafe`: others could read or change it; `warning`: it may run. */
  readonly severity: 'invalid' | 'unsafe' | 'warning';
  /** Absent where no file is to blame. */
  readonly position?: Position;
  /** The key path, `jobs.prod.options.compression_level`; empty for the file as a whole. */
  readonly path: string;
  /** What is wrong. Never holds a secret. */
  readonly message: string;
  /** What to do, or what was probably meant. */
  readonly hint?: string;
}

interface Details {
  readonly problems: readonly ConfigProblem[];
  readonly notifications: readonly NotificationConfig[];
}

const detailsOf = new WeakMap<DguardError, Details>();

/** The problems behind an error of `loadConfig`; empty for any other error. */
export function configProblems(error: unknown): readonly ConfigProblem[] {
  return error instanceof DguardError ? (detailsOf.get(error)?.problems ?? []) : [];
}

/**
 * The notifications of a configuration that could not be loaded which are sound in themselves: a failure
 * to start must still be able to notify. None if the configuration is unsafe.
 */
export function usableNotifications(error: unknown): readonly NotificationConfig[] {
  return error instanceof DguardError ? (detailsOf.get(error)?.notifications ?? []) : [];
}

/** `file:line:column: path: message (hint)`. */
export function formatProblem(problem: ConfigProblem): string {
  const { position, path, message, hint } = problem;
  const place = position === undefined ? '' : `${position.file}:${position.line}:${position.column}: `;
  // A key may hold anything, and a terminal would obey it.
  return plainText(
    `${place}${path === '' ? '' : `${path}: `}${message}${hint === undefined ? '' : ` (${hint})`}`,
  );
}

/** The one error for all problems; `config_unsafe` if any of them is that. Warnings are left out. */
export function problemsError(
  problems: readonly ConfigProblem[],
  file: string,
  notifications: readonly NotificationConfig[] = [],
): DguardError {
  const errors = problems.filter((problem) => problem.severity !== 'warning');
  const unsafe = errors.some((problem) => problem.severity === 'unsafe');
  const count = errors.length === 1 ? 'one problem' : `${errors.length} problems`;
  const lines = errors.map((problem) => `  ${formatProblem(problem)}`);
  const error = new DguardError(
    unsafe ? 'config_unsafe' : 'config_invalid',
    `the configuration has ${count}:\n${lines.join('\n')}`,
    {
      operation: 'load configuration',
      subject: file,
      hint: 'correct it; `dguard config validate` checks it, backup.example.yaml shows every key',
    },
  );
  detailsOf.set(error, { problems, notifications: unsafe ? [] : notifications });
  return error;
}
