import { mkdtemp, open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { readChild } from '../../../child/read.ts';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { freeBytesOf } from '../../../folders.ts';
import type { BackupContent } from '../../types.ts';
import { textOf } from '../server/encodings.ts';
import type { Tools } from '../server/tools.ts';
import { archiveAsDirectory } from './archive-directory.ts';
import { createOffsetScanner, type DataBlock, type OffsetScanner } from './archive-offsets.ts';
import type { Archive, StreamEntry } from './content.ts';
import type { DataPipe } from './data-pipes.ts';
import { DIRECTORY_PREFIX } from './directory.ts';

/** An archive as pg_restore gets it: a path, for several connections at once, or by its stdin. */
export type Readable =
  | {
      readonly kind: 'path';
      readonly path: string;
      readonly jobs: number;
      /** Files of it that have to be fed while pg_restore runs. */
      readonly pipes?: readonly DataPipe[];
    }
  | { readonly kind: 'stdin'; open(): AsyncIterable<Uint8Array> };

export interface ReadRequest {
  readonly tempDir: string;
  readonly signal: AbortSignal;
  /** Called with the bytes of each chunk that came out of the backup. */
  readonly onBytes: (count: number) => void;
}

/** Below this size several connections gain nothing over one. */
const PARALLEL_BYTES = 64 * 1024 * 1024;
const USUAL_JOBS = 4;
/** How a custom archive is made readable for several connections at once. */
export interface ParallelRequest extends ReadRequest {
  /** Where in it large data lie. */
  readonly known: readonly DataBlock[];
  /** Numbers of the entries that are restored; undefined: all. */
  readonly wanted?: ReadonlySet<number>;
  /** Connections of pg_restore; undefined: as many as this host has cores, at most 4. */
  readonly parallelJobs?: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const TOC_MAX_BYTES = 256 * 1024 * 1024;

/**
 * Makes an archive readable. Only files can be restored in parallel: a large archive becomes a folder, with
 * pipes for the large data whose place is known, and files for the rest where temp_dir has room; a folder always
 * is one of files. Throws `storage_full` where a folder has no room.
 */
export async function readableArchive(
  content: BackupContent,
  archive: Archive,
  request: ParallelRequest,
  shared: boolean,
): Promise<Readable> {
  const freeBytes = (await freeBytesOf(request.tempDir)) ?? Number.POSITIVE_INFINITY;
  const roomBytes = freeBytes / 1.05;
  const fits = archive.sizeBytes < roomBytes;
  const jobs = request.parallelJobs ?? Math.min(USUAL_JOBS, availableParallelism());
  if (archive.kind === 'custom') {
    const stdin: Readable = { kind: 'stdin', open: () => counted(content.read(archive.entry), request) };
    if (!shared || jobs < 2 || archive.entry.size < PARALLEL_BYTES) return stdin;
    const folder = await mkdtemp(join(request.tempDir, 'dump-'));
    const pipes = await archiveAsDirectory(content, archive.entry, {
      ...request,
      folder,
      roomBytes,
      counted: (chunks) => counted(chunks, request),
    });
    if (pipes !== undefined) return { kind: 'path', path: folder, jobs, pipes };
    if (!fits) return stdin;
    const path = join(request.tempDir, 'restore.dump');
    await stage(content, archive.entry, path, request, createOffsetScanner());
    return { kind: 'path', path, jobs };
  }
  if (!shared) {
    throw new DguardError(
      'unsupported',
      'a dump in directory format is restored through a folder that pg_restore and dguard share',
      {
        operation: 'restore',
        hint: 'restore it with a datasource without client_command and run_as, or take it with parallel_jobs: 1',
      },
    );
  }
  if (!fits) {
    throw new DguardError(
      'storage_full',
      `the dump needs ${archive.sizeBytes} bytes in ${request.tempDir}, ${freeBytes} are free`,
      {
        operation: 'restore',
        hint: 'point temp_dir at a larger disk',
      },
    );
  }
  for (const entry of archive.entries) {
    await stage(content, entry, join(request.tempDir, fileName(entry)), request);
  }
  return { kind: 'path', path: request.tempDir, jobs };
}

/** Of an archive that `readableArchive` had: enough for its definitions. pg_restore leaves once it has them. */
export function definitionsOf(content: BackupContent, archive: Archive, { tempDir }: ReadRequest): Readable {
  if (archive.kind === 'directory') return { kind: 'path', path: tempDir, jobs: 1 };
  return { kind: 'stdin', open: () => content.read(archive.entry) };
}

/** The encoding of the database that a backup is of, as its manifest has it. */
export function encodingOf(content: BackupContent): string | undefined {
  const database = content.facts.engine?.['database'] as { readonly encoding?: unknown } | undefined;
  return typeof database?.encoding === 'string' ? database.encoding : undefined;
}

/** Writes what a list of contents needs, and nothing more, then returns pg_restore's own list. */
export async function listContents(
  content: BackupContent,
  archive: Archive,
  tools: Tools,
  request: ReadRequest & { readonly env: Readonly<Record<string, string | undefined>> },
): Promise<string> {
  const options = {
    env: request.env,
    signal: request.signal,
    maxBytes: TOC_MAX_BYTES,
    decode: (bytes: Buffer) => textOf(bytes, encodingOf(content)),
    failure: { code: 'corrupt', operation: 'read dump' },
  } as const;
  const argv = [...tools.argv('pg_restore'), '--list'];
  // It goes away once it has the table of contents: the rest is never read.
  if (archive.kind === 'custom') {
    return await readChild(argv, { ...options, stdin: content.read(archive.entry) });
  }
  const toc = archive.entries.find(({ path }) => path.endsWith('/toc.dat'))!;
  await stage(content, toc, join(request.tempDir, 'toc.dat'), { ...request, onBytes: () => {} });
  return await readChild([...argv, '--format=directory', request.tempDir], options);
}

/** A backup may be hostile: its names become names in our folder only where they are plain. */
function fileName(entry: StreamEntry): string {
  const name = entry.path.slice(DIRECTORY_PREFIX.length);
  if (/^[\w.-]+$/.test(name) && !name.startsWith('.') && basename(name) === name) return name;
  throw new DguardError('corrupt', `${entry.path} is no file that pg_dump writes`, {
    operation: 'read backup',
  });
}

async function stage(
  content: BackupContent,
  entry: StreamEntry,
  path: string,
  request: ReadRequest,
  scanner?: OffsetScanner,
): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    for await (const chunk of counted(content.read(entry), request)) {
      scanner?.push(chunk);
      await file.writeFile(chunk);
    }
    for (const { bytes, position } of scanner?.patches() ?? [])
      await file.write(bytes, 0, bytes.length, position);
  } finally {
    await file.close();
  }
}

/** Chunks that count as progress, and that an abort ends. */
export async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  { signal, onBytes }: Pick<ReadRequest, 'signal' | 'onBytes'>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    throwIfAborted(signal);
    onBytes(chunk.length);
    yield chunk;
  }
}
