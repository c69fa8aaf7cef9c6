import { DguardError, errnoOf, errorText } from '../../../errors.ts';
import { displayPaths } from '../../fs-paths.ts';
import type { Target } from '../target.ts';
import type { FilesRestoreRequest } from './scope.ts';

/** Nothing of the backup is what was asked for. */
export function nothingThere(request: FilesRestoreRequest): DguardError {
  const what =
    request.only.length === 0 ? 'the backup is empty' : `nothing in it is named ${request.only.join(', ')}`;
  return new DguardError('nothing_there', what, {
    operation: 'restore',
    subject: request.backupId,
    hint: `\`dguard ls ${request.backupId}\` shows the paths in it: they begin below the source's folder`,
  });
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'free some room there, or restore elsewhere with --to-path DIR',
  EDQUOT: 'free some room there, or restore elsewhere with --to-path DIR',
  EACCES: 'restore as a user who may write there, or elsewhere with --to-path DIR',
  EPERM: 'see whether it is immutable or append-only (lsattr), or restore elsewhere with --to-path DIR',
  EROFS: 'restore elsewhere with --to-path DIR',
  ENAMETOOLONG: 'restore to a folder with a shorter path: --to-path DIR',
};

/** A trouble of the target's file system as the error a user meets; a DguardError stays as it is. */
export function targetFailed(error: unknown, targets: readonly Target[]): DguardError {
  if (error instanceof DguardError) return error;
  const hint = HINTS[errnoOf(error) ?? ''];
  return new DguardError('target_failed', `the target cannot be written: ${errorText(error)}`, {
    operation: 'restore',
    subject: displayPaths(targets.map(({ path }) => path)),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
