import { redact } from '../../config/secret.ts';
import { type DguardError, toDguardError } from '../../errors.ts';
import { plainText } from './text.ts';

/** An error as a person reads it: what failed, on what, why, what to do next. */
export function errorLines(thrown: unknown, verbose: boolean): string {
  const error = toDguardError(thrown, 'internal');
  const where = [error.operation, error.subject].filter(Boolean).join(' ');
  const lines = [`error: ${where ? `${where}: ` : ''}${error.message}`];
  if (error.hint) lines.push(`  next: ${error.hint}`);
  if (verbose && error.stack) lines.push(error.stack);
  const text = redact(lines.join('\n'));
  return text.split('\n').map(plainText).join('\n');
}

/** An error as `--json` prints it. */
export function errorJson(thrown: unknown) {
  const error: DguardError = toDguardError(thrown, 'internal');
  return {
    code: error.code,
    operation: error.operation ?? null,
    subject: error.subject === undefined ? null : redact(error.subject),
    message: redact(error.message),
    hint: error.hint === undefined ? null : redact(error.hint),
  };
}

/** The one document that a command prints with `--json`. */
export function jsonDocument(
  command: string,
  exitCode: number,
  fields: object,
  errors: readonly unknown[],
): string {
  const status = exitCode === 0 ? 'ok' : exitCode === 3 ? 'partial' : 'failed';
  return JSON.stringify(
    { command, status, exit_code: exitCode, ...fields, errors: errors.map(errorJson) },
    (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    2,
  );
}
