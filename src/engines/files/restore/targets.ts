import { accessSync, constants, lstatSync, realpathSync, statSync } from 'node:fs';
import { displayPath, fromBytes, fromText } from '../../../archive/paths.ts';
import { DguardError, errnoOf, errorText } from '../../../errors.ts';
import { folderOf, fsPath } from '../../fs-paths.ts';
import type { BackupContent, SourceRoot } from '../../types.ts';
import { isEmptyFolder } from '../sources.ts';
import type { Target } from '../target.ts';
import { type FilesRestoreRequest, findLeftOut, type LeftOut } from './scope.ts';

/**
 * The targets of a restore: `toPath` for the whole tree, else the place of each source. Throws
 * `target_refused` where a restore may not go, before anything is written.
 *
 * @param isWhole the backup is of a whole source, and all of it is wanted
 */
export function resolveTargets(
  content: BackupContent,
  request: FilesRestoreRequest,
  isWhole: boolean,
  leftOut: LeftOut,
): Target[] {
  const places: Pick<Target, 'entry' | 'kind' | 'path'>[] =
    request.toPath === undefined
      ? sourcePlaces(content.sources, request.source?.options.source_path)
      : [{ entry: '', kind: 'directory', path: existingPath(fromText(request.toPath)) }];
  return places.map((place) => {
    const state = stateOf(place.path);
    refuse(place.path, state, request);
    return { ...place, state, ...manner(place, state, isWhole, leftOut, request.deleteExtra) };
  });
}

function manner(
  { path, kind }: Pick<Target, 'path' | 'kind'>,
  state: Target['state'],
  isWhole: boolean,
  leftOut: LeftOut,
  deleteExtra: boolean,
): Pick<Target, 'mode' | 'place' | 'leftOut'> {
  if (state === 'absent') return { mode: 'swap', place: 'beside' };
  const isFolder = lstatSync(fsPath(path)).isDirectory();
  const place = leftOut.mounts.isPoint(path) || (isFolder && isFixedIn(path)) ? 'inside' : 'beside';
  if (place === 'inside' && !(isFolder && kind === 'directory')) {
    throw refused(path, 'is a mount point, and not a folder: it cannot be replaced', ELSEWHERE);
  }
  const whole = place === 'inside' ? 'entries' : 'swap';
  // Another kind of thing than a folder has nothing in it that could stay.
  if (state === 'empty' || !isFolder || kind !== 'directory') return { mode: whole, place };
  if (deleteExtra && leftOut.isInOwn(path)) {
    throw refused(path, 'lies in a destination: --delete-extra would take backups away', ELSEWHERE);
  }
  if (!isWhole) return { mode: 'merge', place };
  const found = findLeftOut(path, place, leftOut);
  return found === undefined ? { mode: whole, place } : { mode: 'merge', place, leftOut: found };
}

/** May the folder not be renamed by this user? Its parent is read-only, or sticky and somebody else's. */
function isFixedIn(path: string): boolean {
  const parent = folderOf(path);
  try {
    accessSync(fsPath(parent), constants.W_OK | constants.X_OK);
  } catch {
    return true;
  }
  const own = process.geteuid?.() ?? 0;
  const { mode, uid } = statSync(fsPath(parent));
  return (mode & 0o1000) !== 0 && own !== 0 && uid !== own && statSync(fsPath(path)).uid !== own;
}

/** A datasource whose one path was changed in the configuration is restored to where it is now. */
function sourcePlaces(
  sources: readonly SourceRoot[],
  configured: readonly string[] | undefined,
): Pick<Target, 'entry' | 'kind' | 'path'>[] {
  if (sources.length === 0) {
    throw refused('', 'the backup does not say where it came from', 'name a folder: --to-path DIR');
  }
  const only = sources.length === 1 && configured?.length === 1 ? configured[0] : undefined;
  return sources.map((source) => ({
    entry: source.entry,
    kind: source.kind,
    path: existingPath(only === undefined ? source.path : fromText(only)),
  }));
}

function existingPath(given: string): string {
  const path = given.length > 1 ? given.replace(/\/+$/, '') || '/' : given;
  if (!path.startsWith('/')) throw refused(path, 'is not an absolute path');
  try {
    return fromBytes(realpathSync.native(fsPath(path), { encoding: 'buffer' }));
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') {
      const hint = 'name another path: --to-path DIR';
      throw refused(path, 'lies below a file, where a folder is needed', hint, error);
    }
    if (errnoOf(error) !== 'ENOENT') throw refused(path, errorText(error), undefined, error);
    if (lstatSync(fsPath(path), { throwIfNoEntry: false }) !== undefined) {
      throw refused(path, 'is a link that leads nowhere');
    }
    return path;
  }
}

function stateOf(path: string): Target['state'] {
  try {
    const stat = lstatSync(fsPath(path), { throwIfNoEntry: false });
    if (stat === undefined) return 'absent';
    return stat.isDirectory() && isEmptyFolder(path) ? 'empty' : 'occupied';
  } catch (error) {
    throw refused(path, errorText(error), undefined, error);
  }
}

const ELSEWHERE = 'restore beside it: --to-path DIR';

function refuse(path: string, state: Target['state'], request: FilesRestoreRequest): void {
  if (path === '/') throw refused(path, 'the root of the file system cannot be replaced', ELSEWHERE);
  if (state === 'occupied' && !request.overwrite) {
    throw refused(
      path,
      'is not empty',
      `replace ${request.only.length > 0 ? 'what --only names' : 'it'} with --overwrite, or ${ELSEWHERE}`,
    );
  }
}

function refused(path: string, why: string, hint?: string, cause?: unknown): DguardError {
  const subject = displayPath(path);
  return new DguardError('target_refused', subject === '' ? why : `${subject}: ${why}`, {
    operation: 'restore',
    subject,
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}
