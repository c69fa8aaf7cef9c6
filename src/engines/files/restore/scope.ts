import { lstatSync, readdirSync } from 'node:fs';
import type { ContentEntry } from '../../../archive/entry.ts';
import { createSelection } from '../../../archive/select.ts';
import { DguardError } from '../../../errors.ts';
import { fsPath, joinPath } from '../../fs-paths.ts';
import type { BackupContent, RestoreRequest } from '../../types.ts';
import { looksMarked, readMark } from '../../undo/marks.ts';
import type { FilesOptions } from '../options.ts';
import { compileSelection } from '../patterns.ts';
import { resolveOwnPaths } from '../sources.ts';
import { isCacheTag } from '../system/fs-calls.ts';
import { type Mounts, readMounts } from '../system/mounts.ts';
import type { Target } from '../target.ts';

export type FilesRestoreRequest = RestoreRequest<FilesOptions>;

/** What of a target a backup of it leaves out, whatever is in the backup: it is not a restore's to touch. */
export interface LeftOut {
  /** Our marked folders, dguard's own paths, mount points. */
  itself(path: string, isFolder: boolean): boolean;
  /** It is a destination, or lies in one: what is there may be backups. */
  isInOwn(path: string): boolean;
  /** A folder of which only marks are backed up: CACHEDIR.TAG, exclude_if_present. */
  tagged(folder: string, names: readonly string[]): boolean;
  readonly mounts: Mounts;
}

export function createLeftOut(request: FilesRestoreRequest): LeftOut {
  const options = request.source?.options;
  const ownPaths = resolveOwnPaths(request.ownPaths ?? []);
  const tags = new Set(options?.exclude_if_present ?? []);
  const mounts = readMounts();
  return {
    mounts,
    isInOwn: (path) => [...ownPaths].some((own) => path === own || path.startsWith(`${own}/`)),
    itself(path, isFolder) {
      if (ownPaths.has(path)) return true;
      if (!isFolder) return false;
      const name = path.slice(path.lastIndexOf('/') + 1);
      return (looksMarked(name) && readMark(path) !== undefined) || mounts.isPoint(path);
    },
    tagged: (folder, names) =>
      names.some((name) => tags.has(name)) ||
      ((options?.exclude_caches ?? true) &&
        names.includes('CACHEDIR.TAG') &&
        isCacheTag(joinPath(folder, 'CACHEDIR.TAG'))),
  };
}

/**
 * The first thing in a folder that backups of it leave out, or undefined. What earlier restores of this very target
 * keep in it is nothing that stays because of a merge: replacing all entries passes over it.
 */
export function findLeftOut(target: string, place: Target['place'], leftOut: LeftOut): string | undefined {
  if (leftOut.isInOwn(target)) return target;
  const mount = leftOut.mounts.below(target);
  if (mount !== undefined) return mount;
  const stack = [target];
  while (stack.length > 0) {
    const folder = stack.pop()!;
    const children = childrenOf(folder);
    const names = children.map(({ name }) => name);
    if (names.length > 1 && leftOut.tagged(folder, names)) return folder;
    for (const { name, isFolder } of children) {
      const path = joinPath(folder, name);
      if (place === 'inside' && folder === target && looksMarked(name) && readMark(path)?.target === target)
        continue;
      if (leftOut.itself(path, isFolder)) return path;
      if (isFolder) stack.push(path);
    }
  }
  return undefined;
}

/** Is this path of a target something that the backup would hold if it had been there then? */
export type Scope = (target: Target, path: string, isFolder: boolean) => 'in' | 'out' | 'below';

/**
 * The scope of a backup: its own patterns and those that the datasource has now, and what `--only` names.
 * `below`: a folder that is not itself in it, but things in it may be. Errors: `target_refused` where the
 * patterns do not tell.
 */
export async function createScope(content: BackupContent, request: FilesRestoreRequest): Promise<Scope> {
  const options = request.source?.options;
  const own = options?.include_patterns ?? [];
  const includes = includeLayers(content.patterns?.include ?? [], own);
  const excludes = [content.patterns?.exclude ?? [], options?.exclude_patterns ?? []];
  const chosen = request.only.length === 0 ? undefined : await createSelection(request.only);
  const selections = new Map<Target, ReturnType<typeof compileSelection>>();
  return (target, path, isFolder) => {
    let selection = selections.get(target);
    if (selection === undefined) {
      selection = compileSelection(target, includes, excludes);
      selections.set(target, selection);
    }
    if (selection.excluded(path, isFolder)) return 'out';
    const entry = joinPath(target.entry, path);
    if (chosen !== undefined && !chosen({ type: 'tree', path: entry } as ContentEntry)) {
      return isFolder ? 'below' : 'out';
    }
    if (selection.all !== 0 && !isIncluded(selection, path, isFolder)) return isFolder ? 'below' : 'out';
    return 'in';
  };
}

function isIncluded(
  selection: ReturnType<typeof compileSelection>,
  path: string,
  isFolder: boolean,
): boolean {
  let bits = selection.includedBy(path, isFolder);
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    bits |= selection.includedBy(path.slice(0, slash), true);
  }
  return bits === selection.all;
}

/** A manifest joins the datasource's patterns and those of the command; both lists had to match. */
function includeLayers(recorded: readonly string[], own: readonly string[]): string[][] {
  const begins = own.length > 0 && own.every((pattern, at) => recorded[at] === pattern);
  const layers = begins ? [[...own], recorded.slice(own.length)] : [[...recorded]];
  if (!begins && recorded.length > 1) {
    throw new DguardError(
      'target_refused',
      'the backup does not tell which of its patterns belong together',
      {
        operation: 'restore',
        hint: 'restore without --delete-extra, or with the include_patterns that the datasource had then',
      },
    );
  }
  if (!begins && own.length > 0) layers.push([...own]);
  return layers.filter((layer) => layer.length > 0);
}

export interface Child {
  readonly name: string;
  readonly isFolder: boolean;
  readonly isSocket: boolean;
}

/** Sorted; empty where the folder cannot be listed. */
export function childrenOf(folder: string): Child[] {
  let names: string[];
  try {
    names = readdirSync(fsPath(folder), 'latin1').sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const stat = lstatSync(fsPath(joinPath(folder, name)), { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ name, isFolder: stat.isDirectory(), isSocket: stat.isSocket() }];
  });
}
