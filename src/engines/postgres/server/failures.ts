import { DguardError, type ErrorCode, errnoOf, errorText } from '../../../errors.ts';
import { certificateHint } from '../../certificates.ts';
import { driverText } from '../../driver-text.ts';
import type { Health } from '../../health.ts';

/** Why a server could not be reached or did not do what it was told. */
export type FailureKind = Exclude<Health['status'], 'ok'>;

/**
 * Tells failures of the driver and of psql apart by SQLSTATE, errno or text.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function failureKind(error: unknown): FailureKind {
  const text = errorText(error);
  const code = sqlState(error);
  if (code !== undefined && /^28/.test(code)) return 'auth_failed';
  if (
    /SASL|password must be a string|no password supplied|password authentication failed|peer authentication failed|no pg_hba\.conf entry/i.test(
      text,
    )
  ) {
    return 'auth_failed';
  }
  const errno = errnoOf(error) ?? '';
  if (errno === 'ETIMEDOUT' || /timeout expired|timed out|connection timeout/i.test(text)) return 'timeout';
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT|ECONNRESET|EACCES|EPIPE)$/.test(errno)
  ) {
    return 'unreachable';
  }
  // What the server itself says of a file is no word about the way to it.
  if (
    code === undefined &&
    /could not translate host name|Connection refused|No such file or directory|No route to host|Connection terminated unexpectedly|server closed the connection/i.test(
      text,
    )
  ) {
    return 'unreachable';
  }
  return 'error';
}

/** The five characters of SQLSTATE, of the driver's errors and of those that psql told us. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown; sqlState?: unknown } | null)?.code;
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code)) return code;
  return undefined;
}

/**
 * Whether the server refused one statement, and no more is wrong (08…: what a foreign server said of it). Else it or the
 * connection is gone, or its storage is broken: io_error, data_corrupted, index_corrupted.
 */
export function isRefused(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && !/^(?:57P|58030|XX00[12])/.test(state);
}

/** SQLSTATE out_of_memory. */
const OUT_OF_MEMORY = '53200';

/** Whether the server's table of locks is full, and not its memory: both have one SQLSTATE, only the hint tells in any language. */
export function isOutOfLocks(error: unknown): boolean {
  if (sqlState(error) !== OUT_OF_MEMORY) return false;
  const { hint } = error as { hint?: unknown };
  return /max_(?:pred_)?locks_per_transaction/.test(String(hint)) || /shared memory/.test(errorText(error));
}

/** What the server, OpenSSL and Node say of TLS that is not there, and of a certificate that is not believed. */
function tlsHint(text: string): string {
  if (/does not support SSL/i.test(text))
    return 'turn TLS on at the server (ssl = on), or do without it: ssl: disable';
  if (/valid client certificate/.test(text))
    return 'the server wants a client certificate: ssl_cert, ssl_key';
  return certificateHint(text);
}

const HINTS: Record<FailureKind, string> = {
  auth_failed: 'check username and password of the datasource, and pg_hba.conf of the server',
  unreachable: 'check host and port, and that the server runs: pg_isready -h HOST -p PORT',
  timeout: 'check host and port, and firewalls between here and the server',
  error: '',
};

/** Any failure as a DguardError of `code`, with what to do about the usual ones. */
export function serverError(
  error: unknown,
  code: ErrorCode,
  operation: string,
  subject: string,
): DguardError {
  if (error instanceof DguardError) return error;
  const kind = failureKind(error);
  const state = sqlState(error);
  const hint = tlsHint(errorText(error)) || HINTS[kind] || stateHint(error, state);
  return new DguardError(code, driverText(error), {
    operation,
    subject,
    ...(hint === '' ? {} : { hint }),
    lasting: kind === 'auth_failed',
    cause: error,
  });
}

/** The second line of what the server said: whether it is about connecting only this says. */
function detailOf(error: unknown): string {
  const { detail } = error as { detail?: unknown };
  return typeof detail === 'string' ? detail : errorText(error);
}

function stateHint(error: unknown, state: string | undefined): string {
  const detail = detailOf(error);
  if (state === '3D000') return 'list the databases: psql -l';
  if (state === '42501' && /\bCONNECT\b/.test(detail))
    return 'let the role into the database: GRANT CONNECT ON DATABASE … TO the role';
  if (/not currently accepting connections/.test(detail))
    return 'let connections in: ALTER DATABASE … ALLOW_CONNECTIONS true';
  if (state === '42501') return 'grant the role what it lacks: GRANT pg_read_all_data TO the role';
  if (state === '57P03') return 'the server is starting up or shutting down: try again later';
  if (state === '55P03')
    return 'somebody holds a table exclusively (a migration, VACUUM FULL): run the backup at another time, or raise lock_timeout';
  if (state === '57014') return 'raise statement_timeout of the datasource';
  if (isOutOfLocks(error)) return 'raise max_locks_per_transaction of the server, then restart it';
  if (state === OUT_OF_MEMORY)
    return 'the server ran out of memory: its log says what for; give it more, or run this when less else runs';
  if (state === '53300') return 'raise max_connections, or run fewer backups at once';
  return '';
}
