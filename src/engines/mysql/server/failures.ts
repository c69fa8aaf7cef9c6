import { DguardError, type ErrorCode, errnoOf, errorText } from '../../../errors.ts';
import { certificateHint } from '../../certificates.ts';
import { driverText } from '../../driver-text.ts';
import type { Health } from '../../health.ts';

/** Why a server could not be reached or did not do what it was told. */
export type FailureKind = Exclude<Health['status'], 'ok'>;

/**
 * Tells failures of the driver apart by the server's error number, errno or text.
 * https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
 */
export function failureKind(error: unknown): FailureKind {
  const number = serverErrorNumber(error);
  // ER_ACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR, ER_HOST_NOT_PRIVILEGED, …_NO_PASSWORD, unknown plugin; a password
  // that expired.
  if (number !== undefined && [1045, 1044, 1130, 1698, 1251, 3118, ...EXPIRED].includes(number))
    return 'auth_failed';
  const text = errorText(error);
  if (/AUTH_SWITCH_PLUGIN_ERROR|unknown plugin|Access denied/i.test(text)) return 'auth_failed';
  const errno = errnoOf(error) ?? '';
  if (errno === 'ETIMEDOUT' || /timed? ?out/i.test(text)) return 'timeout';
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT|ECONNRESET|EACCES|EPIPE)$/.test(errno)
  ) {
    return 'unreachable';
  }
  if (
    /PROTOCOL_CONNECTION_LOST|Connection lost|closed state/i.test(text) ||
    errno === 'PROTOCOL_CONNECTION_LOST'
  ) {
    return 'unreachable';
  }
  return 'error';
}

/** ER_MUST_CHANGE_PASSWORD, ER_MUST_CHANGE_PASSWORD_LOGIN */
const EXPIRED = [1820, 1862];

/** The server's number of an error that it sent. */
export function serverErrorNumber(error: unknown): number | undefined {
  const { errno, sqlState } = (error ?? {}) as { errno?: unknown; sqlState?: unknown };
  return typeof errno === 'number' && typeof sqlState === 'string' ? errno : undefined;
}

const HINTS: Record<FailureKind, string> = {
  auth_failed:
    'check username and password of the datasource, the host that the account is for, and its ssl where the account has REQUIRE SSL',
  unreachable: 'check host and port, and that the server runs: mysqladmin ping -h HOST -P PORT',
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
  const number = serverErrorNumber(error);
  const hint =
    numberHint(number) ||
    (operation === 'dump' && alteredHint(number)) ||
    handshakeHint(errorText(error)) ||
    HINTS[failureKind(error)];
  return new DguardError(code, driverText(error), {
    operation,
    subject,
    ...(hint === '' ? {} : { hint }),
    lasting: failureKind(error) === 'auth_failed',
    cause: error,
  });
}

/** What the driver, Node and OpenSSL say before the server takes a password. */
function handshakeHint(text: string): string {
  if (/does not support secure connection/i.test(text))
    return 'the server has no TLS: give it a certificate, or set ssl: prefer';
  if (/unknown plugin/i.test(text))
    return 'give dguard an account that proves itself otherwise: caching_sha2_password, mysql_native_password or unix_socket';
  return certificateHint(text);
}

/** A key, a column, a partition, a routine, a trigger or an event that was there when the dump began. */
function alteredHint(number: number | undefined): string {
  const isGone = number !== undefined && [1176, 1054, 1735, 1305, 1360, 1539].includes(number);
  return isGone ? 'it was altered or dropped meanwhile: run it again, not while migrations run' : '';
}

function numberHint(number: number | undefined): string {
  if (number !== undefined && EXPIRED.includes(number))
    return 'give the account a new password: ALTER USER … IDENTIFIED BY …';
  if (number === 1049) return 'list the databases: SHOW DATABASES';
  if (number === 1044) return 'the account lacks privileges on this database: SHOW GRANTS';
  if (number === 1142 || number === 1143 || number === 1227)
    return 'grant the account what the message names';
  if (number === 1927 || number === 1317)
    return 'somebody ended the connection or the statement (KILL): run it again';
  if (number === 1412 || number === 1146)
    return 'a table was altered, truncated or dropped meanwhile: run it again, not while migrations run';
  if (number === 1213)
    return 'somebody altered or locked the same tables meanwhile: run it again, not while migrations run';
  if (number === 1205) return 'somebody held a lock for long: run it again';
  if (number === 1040) return 'raise max_connections, or run fewer backups at once';
  if (number === 1153 || number === 2006 || number === 2013)
    return 'raise max_allowed_packet of the server (SET GLOBAL)';
  return '';
}
