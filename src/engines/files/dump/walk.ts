import type { TreeItem } from '../../member.ts';
import { compileSelection } from '../patterns.ts';
import { readOwners } from '../system/owners.ts';
import type { Xattrs } from '../system/xattrs.ts';
import { createFileReader, type OpenedFile, type OpenFileOptions } from './open-file.ts';
import { readTree } from './reader.ts';
import { createRecorder } from './records.ts';

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
export interface WalkContext extends OpenFileOptions {
  readonly xattrs: Xattrs | undefined;
}

/** Reads the sources. Errors: of a pattern or a source itself, as thrown. */
export function walk(request: WalkRequest, context: WalkContext): Generator<TreeItem, void, undefined> {
  return walkWith(request, context, createTakeFile(context));
}

/** Walks the sources and opens their files: to be read, and closed, by `createTakeFile` in another thread. */
export function walkOpening(
  request: WalkRequest,
  context: OpeningContext,
): Generator<TreeItem | OpenedFile, void, undefined> {
  return walkWith(request, context, (file) => file);
}

export interface OpeningContext extends Pick<WalkContext, 'xattrs' | 'warn'> {
  /** No more files can be opened: waits until those that were opened before are closed. */
  readonly freeFiles?: () => void;
}

/** What reads files that were opened, in the order of the walk. */
export function createTakeFile(context: OpenFileOptions): (file: OpenedFile) => TreeItem | undefined {
  return createFileReader(context, createRecorder({ ...context, owners: readOwners() }));
}

function walkWith<T>(
  request: WalkRequest,
  context: OpeningContext,
  takeFile: (file: OpenedFile) => T | undefined,
): Generator<TreeItem | T, void, undefined> {
  const { roots, includes, excludes, ...options } = request;
  return readTree({
    ...options,
    roots: roots.map((root) => ({ ...root, selection: compileSelection(root, includes, excludes) })),
    recorder: createRecorder({ ...context, owners: readOwners() }),
    xattrs: context.xattrs,
    warn: context.warn,
    takeFile,
    ...(context.freeFiles && { freeFiles: context.freeFiles }),
  });
}
