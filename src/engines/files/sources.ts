import { type BigIntStats, lstatSync, opendirSync, realpathSync, statSync } from 'node:fs';
import { compareEntryPaths, displayPath, fromBytes, fromText } from '../../archive/paths.ts';
import { DguardError, errnoOf, errorText } from '../../errors.ts';
import { baseName, fsPath, isWithin } from '../fs-paths.ts';
import type { SourceRoot, Warning } from '../types.ts';
import type { FilesOptions } from './options.ts';

/**
 * The sources as they are on this host: links resolved, in the order of their entries. Throws where one is
 * missing, unreadable, neither folder nor file, or an empty folder (an unmounted disk looks like that).
 *
 * One folder is the backup's root itself; one file is an entry of its own name; several lie under their
 * absolute paths.
 */
export function resolveSources(
  options: FilesOptions,
  ownPaths: ReadonlySet<string>,
  warn: (warning: Warning) => void,
): SourceRoot[] {
  const several = options.source_path.length > 1;
  const roots = options.source_path.map((text): SourceRoot => {
    const given = withoutTrailingSlash(fromText(text));
    const path = realPath(given);
    if (path !== given) {
      const message = `the source ${displayPath(given)} is read at ${displayPath(path)}, where its links lead`;
      warn({ message, subject: given, partial: false });
    }
    if (ownPaths.has(path)) throw failed(path, "the source is dguard's own folder");
    const kind = kindOfSource(path);
    const entry = several ? path.slice(1) : kind === 'directory' ? '' : baseName(path);
    return { path, entry, kind };
  });
  if (roots.length === 0) throw new DguardError('config_invalid', 'no source_path', { operation: 'backup' });
  roots.sort((a, b) => compareEntryPaths(a.entry, b.entry));
  refuseOverlap(roots);
  return roots;
}

/** Absolute paths of dguard's own, as given and as they resolve; byte strings. */
export function resolveOwnPaths(paths: readonly string[]): Set<string> {
  const own = new Set<string>();
  for (const text of paths) {
    const path = withoutTrailingSlash(fromText(text));
    own.add(path);
    try {
      own.add(fromBytes(realpathSync.native(fsPath(path), { encoding: 'buffer' })));
    } catch {
      // Not there (yet): nothing to leave out.
    }
  }
  return own;
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, '') || '/' : path;
}

function realPath(path: string): string {
  try {
    return fromBytes(realpathSync.native(fsPath(path), { encoding: 'buffer' }));
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ENOENT') throw failed(path, `cannot be read: ${code ?? errorText(error)}`, error);
    throw failed(path, isLink(path) ? 'is a link that leads nowhere' : 'does not exist', error);
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(fsPath(path)).isSymbolicLink();
  } catch {
    return false;
  }
}

function kindOfSource(path: string): SourceRoot['kind'] {
  let stat: BigIntStats;
  let empty = false;
  try {
    stat = statSync(fsPath(path), { bigint: true });
    if (stat.isDirectory()) empty = isEmptyFolder(path);
  } catch (error) {
    throw failed(path, `cannot be read: ${errnoOf(error) ?? errorText(error)}`, error);
  }
  if (empty) {
    throw new DguardError('source_empty', `${displayPath(path)}: is empty: there is nothing to back up`, {
      operation: 'backup',
      subject: displayPath(path),
      hint: 'check that its disk is mounted; an empty folder is not taken for a good backup',
    });
  }
  if (stat.isDirectory()) return 'directory';
  if (stat.isFile()) return 'file';
  throw failed(path, 'is neither a folder nor a regular file');
}

/** Looks at no more than one name. */
export function isEmptyFolder(path: string): boolean {
  const folder = opendirSync(fsPath(path) as string);
  try {
    return folder.readSync() === null;
  } finally {
    folder.closeSync();
  }
}

function refuseOverlap(roots: readonly SourceRoot[]): void {
  for (const [at, root] of roots.entries()) {
    const inside = roots.slice(at + 1).find((other) => isWithin(other.path, root.path));
    if (inside === undefined) continue;
    const message =
      inside.path === root.path
        ? `source_path names ${displayPath(root.path)} twice`
        : `source_path names ${displayPath(inside.path)}, which lies inside ${displayPath(root.path)}`;
    throw new DguardError('config_invalid', message, { operation: 'backup', hint: 'name each place once' });
  }
}

function failed(path: string, why: string, cause?: unknown): DguardError {
  return new DguardError('source_failed', `${displayPath(path)}: ${why}`, {
    operation: 'backup',
    subject: displayPath(path),
    hint: 'check source_path, and that its disk is mounted and readable by this user',
    cause,
  });
}
