import { DguardError, type ErrorCode, type ErrorDetails, errnoOf, errorText } from '../../errors.ts';

/** A trouble of the file system as the error a user meets. What is a DguardError already stays as it is. */
export function fileError(thrown: unknown, operation: string, subject: string): DguardError {
  if (thrown instanceof DguardError) return thrown;
  const [code, hint] = meaningOf(errnoOf(thrown));
  const details: ErrorDetails = { operation, subject, cause: thrown };
  if (hint !== undefined) details.hint = hint;
  return new DguardError(code, `${operation} ${subject}: ${errorText(thrown)}`, details);
}

/** Runs one step on the file system; its trouble becomes a DguardError. */
export async function attempt<T>(operation: string, subject: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw fileError(error, operation, subject);
  }
}

/** For `catch`: undefined where nothing is, or a link (ELOOP) or a socket (ENXIO), which is no object. */
export function unlessMissing(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(errnoOf(error) ?? '')) throw error;
  return undefined;
}

function meaningOf(errno: string | undefined): [ErrorCode, string | undefined] {
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return ['storage_full', 'free space there, or let a retention policy do it (dguard prune --dry-run)'];
    case 'EFBIG':
      return ['storage_failed', 'the file system takes no file that large: set max_file_size_mb'];
    case 'EACCES':
    case 'EPERM':
      return ['storage_failed', 'the user that runs dguard needs to read and write there'];
    case 'EROFS':
      return ['storage_failed', 'the file system is mounted read-only'];
    case 'ENOTDIR':
      return ['storage_failed', 'a file stands where a folder is needed'];
    case 'ENOTCONN': // a FUSE file system whose program died
    case 'ESTALE': // an NFS server that forgot us
      return ['storage_missing', 'mount it again'];
    default:
      return ['storage_failed', undefined];
  }
}
