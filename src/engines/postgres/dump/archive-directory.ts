import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContentEntry } from '../../../archive/entry.ts';
import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import type { DataBlock } from './archive-offsets.ts';
import { dataOf } from './archive-rows.ts';
import { type ArchiveHead, createHeadReader, dataFileName, directoryContents } from './archive-toc.ts';
import type { StreamEntry } from './content.ts';
import { type DataPipe, makePipes } from './data-pipes.ts';

/** Written at once: the data of a small table is one write. */
const WRITE_BYTES = 1024 * 1024;

export interface DirectoryRequest {
  readonly folder: string;
  /** How much may be written there. */
  readonly roomBytes: number;
  /** Blocks that are known to lie where they say; each is read when pg_restore asks for it. */
  readonly known: readonly DataBlock[];
  /** Entries that are restored; undefined: all. */
  readonly wanted?: ReadonlySet<number>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Makes the bytes that come out of the backup count, and an abort stop them. */
  readonly counted: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

/**
 * Offers a custom archive as what pg_restore reads best, a directory: no row of it has a head that would have
 * to be read by itself, and its files can be pipes. Large data go through pipes while they are decoded, which
 * needs no room; the rest, and all where pipes cannot be made, becomes files. Returns the pipes, or undefined
 * for an archive that it does not understand, that has large objects, or that there is no room for. Throws `corrupt` for data that are not
 * where they are said to be, and what the content throws.
 */
export async function archiveAsDirectory(
  content: BackupContent,
  archive: StreamEntry,
  request: DirectoryRequest,
): Promise<readonly DataPipe[] | undefined> {
  const { folder, known, wanted, counted } = request;
  const isWanted = (entry: number) => wanted?.has(entry) ?? true;
  const blocks = [...known].sort((a, b) => a.start - b.start);
  const parts = await content.parts(
    archive,
    blocks.flatMap(({ start, end }) => [start, end]),
  );
  // What `dataOf` takes out of them it copies: they may lie in memory that is used again.
  const read = (part: number) => counted(bytesOf(content, parts[part]!));
  const head = await readHead(content.read(parts[0]!));
  if (head === undefined) return undefined;
  const { bytes, contents } = head;
  const withData = contents.entries.filter(({ data }) => data !== 'none');
  if (withData.some(({ kind }) => kind !== 'TABLE DATA')) return undefined;
  const missing = new Set(withData.map(({ id }) => id));
  if (blocks.some(({ entry }) => !missing.has(entry))) throw notThere();

  const pipes = blocks.flatMap(({ entry }, index): DataPipe[] => {
    const data = () => dataOfOne(entry, read(2 * index + 1));
    return isWanted(entry) ? [{ path: join(folder, dataFileName(entry)), data }] : [];
  });
  const made = await makePipes(
    pipes.map(({ path }) => path),
    request.env,
    request.signal,
  );
  const pipedBytes = made ? blocks.reduce((sum, { start, end }) => sum + end - start, 0) : 0;
  if (archive.size - pipedBytes > request.roomBytes) return undefined;
  for (const { entry } of blocks) missing.delete(entry);
  await writeFiles(folder, between(), isWanted, missing);
  if (missing.size > 0) throw notThere();
  if (!made) for (const { path, data } of pipes) await writeWhole(path, data());
  await writeWhole(join(folder, 'toc.dat'), [directoryContents(bytes, contents)]);
  return made ? pipes : [];

  /** What lies between the blocks that are known, without the head. */
  async function* between(): AsyncGenerator<Uint8Array> {
    let skip = contents.end;
    for (let part = 0; part < parts.length; part += 2) {
      for await (const chunk of read(part)) {
        const from = Math.min(skip, chunk.length);
        skip -= from;
        if (from < chunk.length) yield chunk.subarray(from);
      }
    }
  }
}

/** The bytes of an entry, each chunk good until the next is asked for. */
async function* bytesOf(content: BackupContent, entry: ContentEntry): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of content.readAll([entry])) yield bytes;
}

/** The data of the one entry whose block this is. */
async function* dataOfOne(wanted: number, block: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let ended = false;
  for await (const { entry, bytes, end } of dataOf(block)) {
    if (entry !== wanted || ended) throw notThere();
    ended = end;
    yield bytes;
  }
  if (!ended) throw notThere();
}

/** The head of the archive, and no more of it than that; undefined where it is none that is understood. */
async function readHead(chunks: AsyncIterable<Uint8Array>): Promise<ArchiveHead | undefined> {
  const read = createHeadReader();
  const known = (head: ReturnType<typeof read>) => (head === 'unknown' ? undefined : head);
  for await (const chunk of chunks) {
    const head = read(chunk);
    if (head !== undefined) return known(head);
  }
  return known(read(undefined));
}

/** Writes the data of each entry into its file; takes it from `missing`. */
async function writeFiles(
  folder: string,
  archive: AsyncIterable<Uint8Array>,
  isWanted: (entry: number) => boolean,
  missing: Set<number>,
): Promise<void> {
  const pieces = dataOf(archive)[Symbol.asyncIterator]();
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    const { entry } = next.value;
    const first = next.value;
    if (!missing.delete(entry)) throw notThere();
    async function* data(): AsyncGenerator<Uint8Array> {
      for (let piece = first; ; ) {
        yield piece.bytes;
        if (piece.end) return;
        const following = await pieces.next();
        if (following.done) throw notThere();
        piece = following.value;
      }
    }
    if (isWanted(entry)) await writeWhole(join(folder, dataFileName(entry)), data());
    else for await (const _ of data());
  }
}

async function writeWhole(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += WRITE_BYTES)
        await file.writeFile(chunk.subarray(at, at + WRITE_BYTES));
    }
  } finally {
    await file.close();
  }
}

function notThere(): DguardError {
  return new DguardError('corrupt', 'the data of the dump are not where its backup says', {
    operation: 'read dump',
    hint: 'verify the backup, or restore an older one',
  });
}
