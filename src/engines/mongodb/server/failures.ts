import { DguardError, type ErrorCode, errnoOf, errorText } from '../../../errors.ts';
import { certificateHint } from '../../certificates.ts';
import { driverText } from '../../driver-text.ts';
import type { Health } from '../../health.ts';

/** Why a server could not be reached or did not do what it was told. */
export type FailureKind = Exclude<Health['status'], 'ok'>;

/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
export const CODE = {
  unauthorized: 13,
  authenticationFailed: 18,
  namespaceNotFound: 26,
  cursorNotFound: 43,
  namespaceExists: 48,
  maxTimeExpired: 50,
  commandNotFound: 59,
  queryPlanKilled: 175,
  snapshotTooOld: 239,
  snapshotUnavailable: 246,
} as const;

/** Tells failures of the driver apart by the server's code, by what lies beneath, or by their text. */
export function failureKind(error: unknown): FailureKind {
  const code = serverCode(error);
  if (code === CODE.unauthorized || code === CODE.authenticationFailed || code === 8000) return 'auth_failed';
  const causes = chain(error);
  const texts = causes.map(errorText).join('\n');
  if (/authentication failed|Unauthorized|command .* requires authentication|bad auth/i.test(texts)) {
    return 'auth_failed';
  }
  const errnos = causes.map((cause) => errnoOf(cause) ?? '');
  if (
    errnos.some((errno) =>
      /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT|ECONNRESET|EACCES|EPIPE)$/.test(
        errno,
      ),
    ) ||
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ECONNRESET|connection \d+ to .* closed/.test(
      texts,
    )
  ) {
    return 'unreachable';
  }
  if (code === CODE.maxTimeExpired || /timed? ?out|ETIMEDOUT/i.test(texts)) return 'timeout';
  if (/Server selection|topology|MongoServerSelectionError/i.test(texts)) return 'unreachable';
  return 'error';
}

/** The server's number of an error that it sent. */
export function serverCode(error: unknown): number | undefined {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return typeof name === 'string' && /^Mongo/.test(name) && typeof code === 'number' ? code : undefined;
}

/** An error, and what caused it: the driver wraps what a socket said, per server. */
function chain(error: unknown): unknown[] {
  const found: unknown[] = [];
  const visit = (one: unknown) => {
    if (one === null || typeof one !== 'object' || found.includes(one) || found.length > 20) return;
    found.push(one);
    const { cause, reason, error: inner, servers } = one as Record<string, unknown>;
    for (const next of [cause, reason, inner]) visit(next);
    if (servers instanceof Map) for (const server of servers.values()) visit(server);
  };
  visit(error);
  return found.length === 0 ? [error] : found;
}

const HINTS: Record<FailureKind, string> = {
  auth_failed:
    'check username and password of the datasource, and auth_source: the database that the user is of',
  unreachable: 'check host and port, and that the server runs: mongosh --host HOST --port PORT',
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
  const hint =
    codeHint(serverCode(error)) ||
    certificateHint(chain(error).map(errorText).join('\n')) ||
    HINTS[failureKind(error)];
  return new DguardError(code, driverText(error), {
    operation,
    subject,
    ...(hint === '' ? {} : { hint }),
    lasting: failureKind(error) === 'auth_failed',
    cause: error,
  });
}

function codeHint(code: number | undefined): string {
  if (code === CODE.snapshotTooOld || code === CODE.snapshotUnavailable) {
    return 'the dump took longer than the server keeps its snapshots: raise minSnapshotHistoryWindowInSeconds (db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600}))';
  }
  if (code === CODE.cursorNotFound)
    return 'the server gave the cursor up (restarted, or waited too long): run it again';
  if (code === CODE.unauthorized)
    return 'grant the user what it lacks: backup reads by the role "backup" or "readAnyDatabase", restore writes by "restore"';
  return '';
}
