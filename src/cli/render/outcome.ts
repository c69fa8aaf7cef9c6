import { redact } from '../../config/secret.ts';
import { type DguardError, type ErrorCode, toDguardError } from '../../errors.ts';
import { plainText } from './text.ts';

/** An error as a person reads it: what failed, on what, why, what to do next. */
export function errorLines(thrown: unknown, verbose: boolean): string {
  const error = toDguardError(thrown, 'internal');
  const where = [error.operation, error.subject].filter(Boolean).join(' ');
  const lines = [`error: ${where ? `${where}: ` : ''}${withoutSubject(error.message, error.subject, where)}`];
  const next = hintOf(error);
  if (next) lines.push(`  next: ${next}`);
  if (verbose && error.stack) lines.push(error.stack);
  const text = redact(lines.join('\n'));
  return text.split('\n').map(plainText).join('\n');
}

/**
 * A message that begins with what the subject ends with, without it. Messages name the path that they are about,
 * because they also stand alone: in a manifest's record of a failed run, in `list`, `check` and `status`.
 */
function withoutSubject(message: string, subject: string | undefined, where: string): string {
  const end = message.indexOf(': ');
  const first = message.slice(0, end);
  const isSaid = end > 0 && (subject === first || where === first || subject?.endsWith(`: ${first}`));
  return isSaid ? message.slice(end + 2) : message;
}

/** An error as `--json` prints it. */
export function errorJson(thrown: unknown) {
  const error: DguardError = toDguardError(thrown, 'internal');
  return {
    code: error.code,
    operation: error.operation ?? null,
    subject: redactOrNull(error.subject),
    message: redact(error.message),
    hint: redactOrNull(hintOf(error)),
  };
}

function redactOrNull(text: string | undefined): string | null {
  return text === undefined ? null : redact(text);
}

/** What to do next where the thrower did not say. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  usage: 'dguard --help, or the command with --help',
  nothing_there: '`dguard list` shows what there is',
  unknown_name: '`dguard list` and `dguard config show` show what there is',
  source_failed: 'see that the datasource is there and may be read, and run it again',
  storage_failed: 'see that the destination can be reached and written, and run it again',
  storage_full: 'make room there: `dguard prune --dry-run` shows what retention would remove',
  storage_missing: 'mount it or create it, and run it again',
  target_failed: 'see that the target can be written, and run it again',
  corrupt: 'another copy (--from) or another backup may be whole: `dguard list`',
  too_new: 'use a newer dguard',
  timeout: 'run it again; with -v it tells more',
  interrupted: 'run it again; what was not finished is no backup, and is swept later',
  terminated: 'run it again; what was not finished is no backup, and is swept later',
  internal: 'run it again with -v, and report what it prints',
};

function hintOf(error: DguardError): string | undefined {
  return error.hint ?? HINTS[error.code];
}

/** The one document that a command prints with `--json`. */
export function jsonDocument(...document: Parameters<typeof jsonPieces>): string {
  return [...jsonPieces(...document)].join('');
}

/**
 * The same in pieces, each with one item of a list: of hundreds of thousands no text is made that is longer than a
 * string may be, nor held. `fields` may be lists that are made as they are asked for.
 */
export function* jsonPieces(
  command: string,
  exitCode: number,
  fields: object,
  errors: readonly unknown[],
): Generator<string> {
  const status = exitCode === 0 ? 'ok' : [3, 75].includes(exitCode) ? 'partial' : 'failed';
  let before = '{';
  const document = { command, status, exit_code: exitCode, ...fields, errors: errors.map(errorJson) };
  for (const [name, value] of Object.entries(document)) {
    if (value === undefined) continue;
    yield `${before}\n  ${jsonText(name, 2)}: `;
    before = ',';
    if (isList(value)) yield* jsonList(value);
    else yield jsonText(value, 2);
  }
  yield '\n}';
}

function* jsonList(items: Iterable<unknown>): Generator<string> {
  let before = '[';
  for (const item of items) {
    yield `${before}\n    ${jsonText(item, 4)}`;
    before = ',';
  }
  yield before === '[' ? '[]' : '\n  ]';
}

function isList(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

/** As it stands in a document, so far from its left edge. */
function jsonText(value: unknown, indent: number): string {
  const text = JSON.stringify(
    value ?? null,
    (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner),
    2,
  );
  // The same document, but what a backup says cannot steer the terminal that shows it.
  return text
    .replaceAll('\n', `\n${' '.repeat(indent)}`)
    .replace(
      /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
}
