import { DguardError } from '../../../errors.ts';

/** A failure of the client as the user reads it: with what to do where that is known, without rows of the dump. */
export function loadFailure(error: unknown, subject: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'target_failed') return error;
  const message = withoutStatement(error.message);
  const hint = HINTS.find(([pattern]) => pattern.test(message))?.[1];
  if (hint === undefined && message === error.message) return error;
  const { operation = 'load' } = error;
  return new DguardError(error.code, message, {
    ...{ operation, subject },
    hint: hint ?? error.hint ?? 'solve what the client names, then restore again',
    // Whoever prints causes would print the rows.
    cause: message === error.message ? error : error.cause,
  });
}

/** MariaDB's client repeats the statement that failed between two lines of dashes: rows, which belong in no log. */
function withoutStatement(message: string): string {
  const end = message.lastIndexOf('--------------');
  if (end < 0) return message;
  const [head = ''] = /^[^\n]*?: (?:exit status \d+|killed by \w+): /.exec(message) ?? [];
  return head + message.slice(end).replace(/^-+\s*/, '');
}

const HINTS: readonly [RegExp, string][] = [
  [
    /ERROR 1064\b.* near '(OR REPLACE )?SEQUENCE\b/is,
    'the backup has a sequence, which only MariaDB knows: restore to MariaDB, or the tables alone: --only',
  ],
  [
    /ERROR (1153|2006|2013|2020)\b/,
    'a row is larger than the server takes: SET GLOBAL max_allowed_packet = 1073741824',
  ],
  [/ERROR (1227|4006)\b/, 'grant the account SUPER, or SET_ANY_DEFINER (MySQL), SET USER (MariaDB)'],
  [
    /ERROR (1418|1419)\b/,
    'binary logging forbids such routines to this account: SET GLOBAL log_bin_trust_function_creators = 1',
  ],
  [
    /ERROR (1273|1115)\b/,
    'the backup uses a character set or collation that this server does not have: restore to the version it is of',
  ],
];
