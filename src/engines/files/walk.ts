import type { TreeItem } from '../member.ts';
import type { Warning } from '../types.ts';
import { readOwners } from './owners.ts';
import { compileSelection } from './patterns.ts';
import { type ReaderOptions, readTree } from './reader.ts';
import type { Xattrs } from './xattrs.ts';

/** What is to be walked, as plain data that can be handed to a thread. */
export interface WalkRequest {
  /** In the order of their entries, none inside another. Byte strings. */
  readonly roots: readonly { readonly path: string; readonly entry: string }[];
  /** Lists of patterns: a path has to pass each of the first, and none of the second. */
  readonly includes: readonly (readonly string[])[];
  readonly excludes: readonly (readonly string[])[];
  readonly oneFileSystem: boolean;
  readonly excludeIfPresent: readonly string[];
  readonly excludeCaches: boolean;
  readonly ownPaths: ReadonlySet<string>;
}

/** What the walk needs of the thread that it runs in. */
export interface WalkContext extends Pick<ReaderOptions, 'nowMs' | 'openLarge' | 'contentRoom'> {
  readonly xattrs: Xattrs | undefined;
  readonly warn: (warning: Warning) => void;
}

/** Reads the sources. Errors: of a pattern or a source itself, as thrown. */
export function walk(request: WalkRequest, context: WalkContext): Generator<TreeItem, void, undefined> {
  const { roots, includes, excludes, ...options } = request;
  return readTree({
    ...options,
    ...context,
    roots: roots.map((root) => ({ ...root, selection: compileSelection(root, includes, excludes) })),
    owners: readOwners(),
  });
}
