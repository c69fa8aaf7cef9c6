import { lstatSync, readlinkSync } from 'node:fs';
import { fromBytes } from '../../../archive/paths.ts';
import { throwIfAborted } from '../../../errors.ts';
import { fsPath, joinPath } from '../../fs-paths.ts';
import type { BackupContent } from '../../types.ts';
import { kindOf } from '../system/fs-calls.ts';
import { corrupt } from './corrupt.ts';
import type { FilesRestoreRequest } from './scope.ts';
import type { StageOutcome } from './stage.ts';

/**
 * Compares a restored tree with its backup's entries: everything is there, of its kind, size and target; as
 * many files as were counted when it was made. Content was proven on its way here. Throws `corrupt`.
 */
export async function checkStaged(
  content: BackupContent,
  root: string,
  staged: StageOutcome,
  request: FilesRestoreRequest,
): Promise<void> {
  for await (const entry of content.entries({ only: request.only })) {
    throwIfAborted(request.signal);
    if (entry.type !== 'tree' || entry.kind === 'socket') continue;
    const path = joinPath(root, entry.path);
    const stat = lstatSync(fsPath(path), { throwIfNoEntry: false, bigint: true });
    if (stat === undefined) {
      if (entry.kind.endsWith('_device')) continue;
      throw corrupt(entry.path, 'is not there after the restore');
    }
    const kind = kindOf(stat);
    if (kind !== (entry.kind === 'hardlink' ? 'file' : entry.kind)) {
      throw corrupt(entry.path, `was restored as a ${kind}`);
    }
    if (entry.kind === 'file' && Number(stat.size) !== entry.size) {
      throw corrupt(entry.path, `has ${stat.size} bytes after the restore, ${entry.size} were recorded`);
    }
    if (
      entry.kind === 'symlink' &&
      fromBytes(readlinkSync(fsPath(path), { encoding: 'buffer' })) !== entry.link
    ) {
      throw corrupt(entry.path, 'leads elsewhere after the restore');
    }
  }
  const recorded = content.facts.files_count;
  if (request.only.length === 0 && recorded !== undefined && recorded !== staged.filesCount) {
    throw corrupt('', `${staged.filesCount} files were restored, ${recorded} were backed up`);
  }
}
