import { DguardError, type ErrorCode, errnoOf, errorText } from '../../../errors.ts';
import { certificateHint } from '../../certificates.ts';
import type { Health } from '../../health.ts';

/** Why a server could not be reached or did not do what it was told. */
export type FailureKind = Exclude<Health['status'], 'ok'>;

/**
 * Login failed; disabled; locked out; expired; must be changed; untrusted domain; no permission to connect.
 * https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
 */
const LOGIN_ERRORS = [
  18452, 18456, 18461, 18463, 18464, 18465, 18466, 18467, 18468, 18470, 18486, 18487, 18488, 916,
];

/** Tells failures of the driver apart by the server's number, the driver's code or errno. */
export function failureKind(error: unknown): FailureKind {
  const number = serverErrorNumber(error);
  if (number !== undefined) return LOGIN_ERRORS.includes(number) ? 'auth_failed' : 'error';
  if (error instanceof DguardError) return error.code === 'timeout' ? 'timeout' : 'error';
  const code = (error as { code?: unknown } | null)?.code;
  if (code === 'ETIMEOUT' || errnoOf(rootOf(error)) === 'ETIMEDOUT') return 'timeout';
  if (code === 'ELOGIN') return 'auth_failed';
  if (code === 'ESOCKET' || code === 'EINSTLOOKUP' || code === 'ECLOSE') return 'unreachable';
  return 'error';
}

/** The server's number of an error that it sent; of several the first, which is the cause of the rest. */
export function serverErrorNumber(error: unknown): number | undefined {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const number = (first as { number?: unknown } | null)?.number;
  return typeof number === 'number' ? number : undefined;
}

function rootOf(error: unknown): unknown {
  const cause = (error as { cause?: unknown } | null)?.cause;
  return cause === undefined ? error : rootOf(cause);
}

const HINTS: Record<FailureKind, string> = {
  auth_failed:
    'check username and password of the datasource, and that the server allows SQL logins (mixed mode)',
  unreachable: 'check host and port, that the server runs, and that TCP/IP is switched on for it',
  timeout: 'check host and port, and firewalls between here and the server',
  error: '',
};

const NUMBER_HINTS: Readonly<Record<number, string>> = {
  229: 'grant the login what the message names',
  262: 'grant the login what the message names',
  911: 'list the databases: SELECT name FROM sys.databases',
  3013: 'look at the server log for the cause',
  3101: 'somebody is connected to the database: stop the application, then run it again',
  3201: "the server's own account cannot open that file: see that it may write to server_path",
  3202: 'make room where server_path is, then run it again',
  3952: 'allow it, as an administrator: ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON',
  4060: 'the database is not there, or the login has no user in it: CREATE USER … FOR LOGIN …',
};

/** Any failure as a DguardError of `code`, with what to do about the usual ones. */
export function serverError(
  error: unknown,
  code: ErrorCode,
  operation: string,
  subject: string,
): DguardError {
  if (error instanceof DguardError) return error;
  const number = serverErrorNumber(error);
  const message = textOf(error);
  const hint =
    number === undefined
      ? certificateHint(message) || HINTS[failureKind(error)]
      : (NUMBER_HINTS[number] ?? '') || HINTS[failureKind(error)];
  return new DguardError(code, number === undefined ? message : `Msg ${number}: ${message}`, {
    operation,
    subject,
    ...(hint === '' ? {} : { hint }),
    lasting: failureKind(error) === 'auth_failed',
    cause: error,
  });
}

/** A failed BACKUP says why first, and that it ended last; a connection that failed says why at its root. */
function textOf(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors.map(textOf).join(' ') : '';
  if (inner !== '') return inner;
  const root = rootOf(error);
  const why = root instanceof AggregateError ? root.errors.map(errorText).join('; ') : '';
  return why === '' ? errorText(error) : `${errorText(error)}: ${why}`;
}
