import { hash } from 'node:crypto';
import { DguardError } from '../../errors.ts';
import { originOf } from '../../plan/naming.ts';
import { readRange } from '../../storages/read.ts';
import type { BlockLine } from '../blocks.ts';
import { createCodec } from '../codecs/registry.ts';
import { corrupt, INDEX_NAME, MAX_FRAME_BYTES, MAX_LINE_BYTES } from '../format.ts';
import type { StoredBackup } from '../objects.ts';
import { compareEntryPaths } from '../paths.ts';
import type { FrameRow } from './frames.ts';
import { parseBlockLine } from './parse-lines.ts';
import { parseRow } from './rows.ts';

const CACHED_FRAMES = 64;
/** What one request for frames of the index may bring, as stored and as plain text. */
const GROUP_BYTES = 256 * 1024;
const GROUP_PLAIN_BYTES = 1024 * 1024;

/** One backup's index, its root read: the rows of the frames beneath. */
export interface OpenIndex {
  readonly backup: StoredBackup;
  readonly rows: readonly FrameRow[];
}

/** Where a frame lies, and what it must turn out to be. */
type StoredFrame = Pick<FrameRow, 'offset' | 'stored' | 'length' | 'sha256'>;

/**
 * Reads the lines of indexes that share frames: every frame's hash is checked against its row's.
 * `ancestor` finds the backup whose index object holds frames that are not an index's own.
 */
export function createIndexReader(ancestor: (origin: string) => Promise<StoredBackup>, signal?: AbortSignal) {
  const frames = new Map<string, Promise<readonly string[]>>();

  /** All lines of one section in order, with the row of the frame that holds each. */
  async function* walk(
    of: OpenIndex,
    section: FrameRow['section'],
  ): AsyncGenerator<{ line: string; row: FrameRow; number: number }> {
    for await (const { row, lines } of walkFrames(of, section)) {
      for (const [number, line] of lines.entries()) yield { line, row, number };
    }
  }

  /** The same frame by frame. */
  async function* walkFrames(
    of: OpenIndex,
    section: FrameRow['section'],
  ): AsyncGenerator<{ row: FrameRow; lines: readonly string[] }> {
    const stack = of.rows.filter((row) => row.section === section).reverse();
    while (stack.length > 0) {
      const row = stack.pop()!;
      if (row.level > 0) {
        stack.push(...rowsBelow(of, row, await readRow(of, row)).reverse());
        continue;
      }
      const rows = [row];
      while (stack.at(-1)?.level === 0) rows.push(stack.pop()!);
      yield* readAhead(of, rows);
    }
  }

  /**
   * Frames of entries in order, from the last that begins before `path` on: its line is in the first of them, or in
   * one that follows. For who looks for one entry, and for another one after it: frames come from the cache.
   */
  async function* seekFrames(
    of: OpenIndex,
    path: string,
  ): AsyncGenerator<{ row: FrameRow; lines: readonly string[] }> {
    const stack = fromPath(
      of.rows.filter((row) => row.section === 'entries'),
      path,
    ).reverse();
    let isDown = false;
    while (stack.length > 0) {
      const row = stack.pop()!;
      const lines = await readRow(of, row);
      if (row.level === 0) {
        isDown = true;
        yield { row, lines };
      } else {
        const rows = rowsBelow(of, row, lines);
        stack.push(...(isDown ? rows : fromPath(rows, path)).reverse());
      }
    }
  }

  /** Frames of lines in order: neighbours in one request, and the next of them while these are used. */
  async function* readAhead(
    of: OpenIndex,
    rows: readonly FrameRow[],
  ): AsyncGenerator<{ row: FrameRow; lines: readonly string[] }> {
    const groups = neighbours(rows);
    let ahead = beginGroup(of, groups[0]!);
    for (let i = 0; i < groups.length; i++) {
      const current = ahead;
      const next = groups[i + 1];
      if (next) ahead = beginGroup(of, next);
      for (const [at, row] of groups[i]!.entries()) yield { row, lines: await current[at]! };
    }
  }

  function beginGroup(of: OpenIndex, rows: readonly FrameRow[]): Promise<readonly string[]>[] {
    const read = async () => {
      for (const row of rows) checkOrigin(of, row);
      const holder = await holderOf(of, rows[0]!);
      return { subject: `${holder.folder}/${INDEX_NAME}`, bytes: await readFrames(holder, rows, signal) };
    };
    const request = read();
    const start = rows[0]!.offset;
    return rows.map((row) => {
      const lines = request.then(async ({ subject, bytes }) => {
        const own = bytes.subarray(row.offset - start, row.offset - start + row.stored);
        return checkCount(of, row, await decodeFrame(subject, row, own));
      });
      lines.catch(() => {});
      return lines;
    });
  }

  /** The line of one block. Errors: `corrupt` where there is no such block. */
  async function readBlockLine(of: OpenIndex, artifact: number, block: number): Promise<BlockLine> {
    const subject = `${of.backup.folder}/${INDEX_NAME}`;
    let rows = of.rows.filter((row) => row.section === 'blocks');
    for (;;) {
      const row = lastAtOrBefore(rows, artifact, block);
      if (!row) throw corrupt(subject, `there is no block ${block} in artifact ${artifact}`);
      const lines = await readRow(of, row);
      if (row.level > 0) {
        rows = rowsBelow(of, row, lines);
        continue;
      }
      const line = row.artifact === artifact ? lines[block - (row.block ?? 0)] : undefined;
      if (line === undefined) throw corrupt(subject, `there is no block ${block} in artifact ${artifact}`);
      return parseBlockLine(line, subject);
    }
  }

  function rowsBelow(of: OpenIndex, above: FrameRow, lines: readonly string[]): FrameRow[] {
    const subject = `${of.backup.folder}/${INDEX_NAME}`;
    const rows = lines.map((line) => parseRow(line, subject));
    if (rows.some(({ section, level }) => section !== above.section || level !== above.level - 1)) {
      throw corrupt(subject, 'the levels of the index do not fit');
    }
    return rows;
  }

  /** A frame's lines, from the cache or from the index that holds it. */
  async function readRow(of: OpenIndex, row: FrameRow): Promise<readonly string[]> {
    checkOrigin(of, row);
    return checkCount(of, row, await cachedFrame(of, row));
  }

  /** What a backup stores itself is described by itself: two links would wait for each other's opening. */
  function checkOrigin(of: OpenIndex, row: FrameRow): void {
    if (row.section === 'entries' || row.origin === originOf(of.backup.manifest.id)) return;
    throw corrupt(`${of.backup.folder}/${INDEX_NAME}`, `a frame of ${row.section} lies in another backup`);
  }

  function checkCount(of: OpenIndex, row: FrameRow, lines: readonly string[]): readonly string[] {
    if (lines.length > 0 && lines.length === row.lines) return lines;
    const subject = `${of.backup.folder}/${INDEX_NAME}`;
    throw corrupt(subject, 'a frame of the index has not as many lines as its row says');
  }

  /** An index that is being opened reads frames of its own: it must not wait for that very opening. */
  async function holderOf(of: OpenIndex, row: FrameRow): Promise<StoredBackup> {
    return row.origin === originOf(of.backup.manifest.id) ? of.backup : ancestor(row.origin);
  }

  function cachedFrame(of: OpenIndex, row: FrameRow): Promise<readonly string[]> {
    const cached = frames.get(row.sha256);
    frames.delete(row.sha256);
    const lines = cached ?? holderOf(of, row).then((stored) => readFrame(stored, row, signal));
    lines.catch(() => {});
    frames.set(row.sha256, lines);
    if (frames.size > CACHED_FRAMES) frames.delete(frames.keys().next().value as string);
    return lines;
  }

  return { walk, walkFrames, seekFrames, readBlockLine };
}

/** The lines of one frame. Errors: `corrupt` where it is not what its row, or the manifest, names. */
export async function readFrame(
  stored: StoredBackup,
  place: StoredFrame,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const bytes = await readFrames(stored, [place], signal);
  return decodeFrame(`${stored.folder}/${INDEX_NAME}`, place, bytes);
}

/** The stored bytes of frames that follow one another in an index. */
async function readFrames(
  stored: StoredBackup,
  places: readonly StoredFrame[],
  signal?: AbortSignal,
): Promise<Buffer> {
  const subject = `${stored.folder}/${INDEX_NAME}`;
  const size = stored.manifest.index?.size ?? 0;
  for (const place of places) {
    if (
      place.offset + place.stored > size ||
      place.length > MAX_FRAME_BYTES ||
      place.stored > 2 * MAX_FRAME_BYTES
    ) {
      throw corrupt(subject, 'a frame lies outside of the index');
    }
  }
  const { offset } = places[0]!;
  const last = places.at(-1)!;
  return readRange(stored.storage, subject, offset, last.offset + last.stored - offset, signal);
}

async function decodeFrame(
  subject: string,
  place: StoredFrame,
  bytes: Uint8Array,
): Promise<readonly string[]> {
  const codec = await createCodec('zstd');
  let raw: Uint8Array;
  try {
    raw = await codec.decompress(bytes, place.length);
  } catch (cause) {
    if (cause instanceof DguardError) throw cause; // not the bytes' fault
    throw corrupt(subject, 'a frame of the index cannot be decompressed', cause);
  }
  if (raw.length !== place.length || hash('sha256', raw, 'hex') !== place.sha256) {
    throw corrupt(subject, 'a frame of the index has not the hash that is recorded for it');
  }
  const lines = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('utf8').split('\n');
  if (lines.pop() !== '' || lines.some((line) => line.length > MAX_LINE_BYTES)) {
    throw corrupt(subject, 'a frame of the index has an overlong or unfinished line');
  }
  return lines;
}

/** Cuts rows into runs whose frames follow one another in the same index. */
function neighbours(rows: readonly FrameRow[]): FrameRow[][] {
  const groups: FrameRow[][] = [];
  let bytes = 0;
  let plainBytes = 0;
  for (const row of rows) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    bytes += row.stored;
    plainBytes += row.length;
    const adjacent = last?.origin === row.origin && last.offset + last.stored === row.offset;
    if (group && adjacent && bytes <= GROUP_BYTES && plainBytes <= GROUP_PLAIN_BYTES) group.push(row);
    else {
      groups.push([row]);
      bytes = row.stored;
      plainBytes = row.length;
    }
  }
  return groups;
}

/** The row of the frame that a block's line is in, or of the frame above it. */
function lastAtOrBefore(rows: readonly FrameRow[], artifact: number, block: number): FrameRow | undefined {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle]!;
    const before = row.artifact! < artifact || (row.artifact === artifact && row.block! <= block);
    if (before) low = middle + 1;
    else high = middle;
  }
  return rows[low - 1];
}

/** The rows from the last on whose frame begins before `path`. */
function fromPath(rows: readonly FrameRow[], path: string): FrameRow[] {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { first } = rows[middle]!;
    if (first !== undefined && compareEntryPaths(first, path) < 0) low = middle + 1;
    else high = middle;
  }
  return rows.slice(Math.max(0, low - 1));
}
