import { lstatSync, realpathSync, statSync } from 'node:fs';
import { displayPath, fromBytes, fromText } from '../../archive/paths.ts';
import { DguardError, errnoOf, errorText } from '../../errors.ts';
import type { BackupContent, RestoreRequest, SourceRoot } from '../types.ts';
import { folderOf, fsPath } from './fs-paths.ts';
import type { FilesOptions } from './options.ts';
import { isEmptyFolder } from './sources.ts';

/** Where one part of a backup goes. Byte strings. */
export interface Target {
  /** The path in the backup that stands for it; empty for the root. */
  readonly entry: string;
  readonly kind: SourceRoot['kind'];
  /** Absolute, free of links where it exists. */
  readonly path: string;
  /** `occupied`: a folder with something in it, or anything but a folder. */
  readonly state: 'absent' | 'empty' | 'occupied';
}

/**
 * The targets of a restore: `toPath` for the whole tree, else the place of each source. Throws
 * `target_refused` where a restore may not go, before anything is written.
 */
export function resolveTargets(
  content: BackupContent,
  request: RestoreRequest<FilesOptions>,
  wholeSource: boolean,
): Target[] {
  const places: Omit<Target, 'state'>[] =
    request.toPath === undefined
      ? sourcePlaces(content.sources, request.source?.options.source_path)
      : [{ entry: '', kind: 'directory', path: existingPath(fromText(request.toPath)) }];
  return places.map((place) => {
    const state = stateOf(place.path);
    refuse(place.path, state, request, wholeSource);
    return { ...place, state };
  });
}

/** A datasource whose one path was changed in the configuration is restored to where it is now. */
function sourcePlaces(
  sources: readonly SourceRoot[],
  configured: readonly string[] | undefined,
): Omit<Target, 'state'>[] {
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

function refuse(
  path: string,
  state: Target['state'],
  request: RestoreRequest<FilesOptions>,
  wholeSource: boolean,
): void {
  const elsewhere = 'restore beside it: --to-path DIR';
  if (path === '/') throw refused(path, 'the root of the file system cannot be replaced', elsewhere);
  if (state === 'absent') return;
  if (state === 'occupied' && !request.overwrite) {
    throw refused(path, 'is not empty', `replace it with --overwrite, or ${elsewhere}`);
  }
  if (state === 'occupied' && !wholeSource) {
    throw refused(
      path,
      'is not empty, and the restore is not of the whole source: it cannot replace it',
      elsewhere,
    );
  }
  if (statSync(fsPath(path)).dev !== statSync(fsPath(folderOf(path))).dev) {
    throw refused(path, 'is a mount point: it cannot be replaced as a whole', elsewhere);
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
