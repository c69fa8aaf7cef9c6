import { setImmediate } from 'node:timers/promises';
import { isPacked } from '../../../archive/packed.ts';
import { displayPath } from '../../../archive/paths.ts';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { threadFile } from '../../../threads.ts';
import type { LargeContent, TreeItem } from '../../member.ts';
import type { Dump, DumpRequest, EngineSource } from '../../types.ts';
import type { FilesOptions } from '../options.ts';
import { resolveOwnPaths, resolveSources } from '../sources.ts';
import { loadXattrs } from '../system/xattrs.ts';
import { WHOLE_FILE_BYTES } from './open-file.ts';
import { type WalkContext, type WalkRequest, walk } from './walk.ts';
import { walkInThreads } from './walker.ts';

const BATCH_ITEMS = 512;
const BATCH_BYTES = 1024 * 1024;

/** Opens the sources: one tar member, read while it is consumed. Files have no snapshot: consistency is `none`. */
export async function dumpFiles(source: EngineSource<FilesOptions>, request: DumpRequest): Promise<Dump> {
  const { options, warn } = source;
  throwIfAborted(source.signal);
  const ownPaths = resolveOwnPaths(request.ownPaths);
  const roots = resolveSources(options, ownPaths, warn);
  const xattrs = await loadXattrs();
  if (xattrs === undefined) {
    const why =
      process.platform === 'linux' ? 'the optional package fs-xattr is not there' : 'not on this system';
    warn({ message: `extended attributes and ACLs are not saved: ${why}`, partial: false });
  }
  const include = [...options.include_patterns, ...request.include];
  const exclude = [...options.exclude_patterns, ...request.exclude];
  const walkRequest: WalkRequest = {
    roots: roots.map(({ path, entry }) => ({ path, entry })),
    includes: [options.include_patterns, request.include],
    excludes: [options.exclude_patterns, request.exclude],
    oneFileSystem: options.one_file_system ?? false,
    excludeIfPresent: options.exclude_if_present ?? [],
    excludeCaches: options.exclude_caches ?? true,
    ownPaths,
  };
  const context = { nowMs: () => source.now().getTime(), warn, xattrs, signal: source.signal };

  let filesCount = 0;
  let batches: AsyncGenerator<Iterable<TreeItem>> | undefined;

  async function* entries(): AsyncGenerator<Iterable<TreeItem>> {
    const open = threadFile('engines/files/dump/open-thread');
    const read = threadFile('engines/files/dump/read-thread');
    batches =
      open && read ? walkInThreads(walkRequest, { open, read }, context) : walkHere(walkRequest, context);
    try {
      for await (const batch of batches) {
        throwIfAborted(source.signal);
        filesCount += countFiles(batch);
        yield batch;
      }
    } catch (error) {
      throw error instanceof DguardError ? error : sourceFailed(error, roots[0]!.path);
    }
  }

  return {
    snapshotAt: source.now(),
    identity: `${source.host.name}:${roots.map((root) => displayPath(root.path)).join(',')}`,
    ...(include.length + exclude.length > 0 ? { patterns: { include, exclude } } : {}),
    sources: roots,
    async *members() {
      yield { kind: 'tree', path: 'files.tar', media: 'application/x-tar', format: 'tar', entries };
    },
    async facts() {
      if (filesCount === 0 && include.length + exclude.length > 0) throw nothingSelected(source.name);
      return { consistency: 'none', files_count: filesCount };
    },
    close: async () => void (await batches?.return(undefined)),
  };
}

/** A pattern with a slip of the pen would make a good backup of nothing. */
function nothingSelected(name: string): DguardError {
  return new DguardError('source_empty', 'the patterns in force leave not one file', {
    operation: 'backup',
    subject: name,
    hint: 'look at include_patterns, exclude_patterns, --only and --exclude',
  });
}

function countFiles(batch: Iterable<TreeItem>): number {
  if (isPacked(batch)) return batch.packed.files;
  let files = 0;
  for (const { entry } of batch) if (entry.kind !== 'directory') files += 1;
  return files;
}

/** Where there is no thread: the same walk, in turns with what else there is to do. */
async function* walkHere(request: WalkRequest, context: WalkContext): AsyncGenerator<readonly TreeItem[]> {
  const tree = walk(request, context);
  let large: LargeContent | undefined;
  try {
    for (;;) {
      large?.finish();
      large = undefined;
      const batch = nextBatch(tree);
      const last = batch.at(-1)?.content;
      if (last !== undefined && 'finish' in last) large = last;
      if (batch.length === 0) return;
      yield batch;
      await setImmediate();
    }
  } finally {
    tree.return();
    large?.finish();
  }
}

/** A large file ends its batch, so that no more than one is open. */
function nextBatch(tree: Generator<TreeItem, void, undefined>): TreeItem[] {
  const batch: TreeItem[] = [];
  let bytes = 0;
  while (batch.length < BATCH_ITEMS && bytes < BATCH_BYTES) {
    const next = tree.next();
    if (next.done === true) break;
    batch.push(next.value);
    bytes += Math.min(next.value.entry.size, WHOLE_FILE_BYTES);
  }
  return batch;
}

function sourceFailed(error: unknown, path: string): DguardError {
  return new DguardError('source_failed', `the source cannot be read: ${errorText(error)}`, {
    operation: 'backup',
    subject: displayPath(path),
    cause: error,
  });
}
