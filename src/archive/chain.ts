import { hash } from 'node:crypto';
import { DguardError } from '../errors.ts';
import { artifactSchema } from '../manifest/schema.ts';
import type { ArtifactSummary, Manifest, ManifestArtifact } from '../manifest/types.ts';
import { readRange } from '../storages/read.ts';
import type { Storage } from '../storages/types.ts';
import type { BlockLine } from './blocks.ts';
import { createCodec } from './codecs/registry.ts';
import type { Codec } from './codecs/types.ts';
import { corrupt, INDEX_NAME, MAX_BLOCK_BYTES, MAX_FRAME_BYTES, MAX_LINE_BYTES, originOf } from './format.ts';
import type { FrameRow } from './index/frames.ts';
import { parseRootHeader, parseRow, type RootHeader } from './index/rows.ts';
import { artifactObjects, parseArtifactLines, wrongArtifact } from './objects.ts';

/** A backup as it lies at a destination. */
export interface StoredBackup {
  readonly storage: Storage;
  readonly folder: string;
  readonly manifest: Manifest;
}

/** One backup of a chain, opened: its root was read and its hash held. */
export interface Link {
  readonly backup: StoredBackup;
  readonly header: RootHeader;
  readonly rows: readonly FrameRow[];
  readonly artifacts: readonly ManifestArtifact[];
  readonly codec: Codec;
}

/** Where a stored block is: in its artifact, and as its line says. */
export interface BlockPlace extends BlockLine {
  readonly link: Link;
  readonly artifact: number;
}

const CACHED_FRAMES = 64;
/** What one request for frames of the index may bring, as stored and as plain text. */
const GROUP_BYTES = 256 * 1024;
const GROUP_PLAIN_BYTES = 1024 * 1024;

type FramePlace = Pick<FrameRow, 'offset' | 'stored' | 'length' | 'sha256'>;

/**
 * A backup and the ancestors that it refers to, opened on demand. Everything read is checked against the
 * hash that the trusted side names: manifest → root → frames → block lines.
 * `resolve` finds a referenced backup, or undefined where the destination does not have it.
 */
export function createChain(
  backup: StoredBackup,
  resolve: (id: string) => Promise<StoredBackup | undefined>,
  signal?: AbortSignal,
) {
  const own = originOf(backup.manifest.id);
  const links = new Map<string, Promise<Link>>();
  const frames = new Map<string, Promise<readonly string[]>>();

  function link(origin: string): Promise<Link> {
    let found = links.get(origin);
    if (!found) {
      found = open(origin);
      links.set(origin, found);
      found.catch(() => {});
    }
    return found;
  }

  async function open(origin: string): Promise<Link> {
    if (origin === own) return openLink(backup, backup.manifest.index?.root.sha256);
    const reference = backup.manifest.references.find(({ id }) => originOf(id) === origin);
    if (!reference)
      throw corrupt(backup.folder, `the index refers to ${origin}, which the manifest does not name`);
    const ancestor = await resolve(reference.id);
    if (!ancestor)
      throw corrupt(backup.folder, `the backup ${reference.id}, which this one needs, is missing`);
    return openLink(ancestor, reference.root_sha256);
  }

  async function openLink(stored: StoredBackup, rootSha256: string | undefined): Promise<Link> {
    const { manifest, folder } = stored;
    const index = manifest.index;
    const subject = `${folder}/${INDEX_NAME}`;
    if (!index || index.name !== INDEX_NAME) throw corrupt(folder, 'the manifest names no index');
    if (index.root.sha256 !== rootSha256)
      throw corrupt(folder, "the manifest's root is not the one referred to");
    const codec = await createCodec(manifest.compression.codec);
    const lines = await readFrame(stored, { ...index.root });
    const header = parseRootHeader(lines[0] ?? '', subject);
    if (header.id !== manifest.id) throw corrupt(subject, 'the index is of another backup');
    const rows = lines.slice(1).map((line) => parseRow(line, subject));
    const bare = { backup: stored, header, rows, artifacts: [], codec };
    return { ...bare, artifacts: await artifactsOf(bare, manifest) };
  }

  async function artifactsOf(bare: Link, manifest: Manifest): Promise<readonly ManifestArtifact[]> {
    const subject = bare.backup.folder;
    const artifacts = Array.isArray(manifest.artifacts)
      ? (manifest.artifacts as ManifestArtifact[])
      : await readTable(bare, manifest.artifacts as ArtifactSummary);
    const wrong = wrongArtifact(artifacts);
    if (wrong !== undefined) throw corrupt(subject, wrong);
    return artifacts;
  }

  async function readTable(bare: Link, summary: ArtifactSummary): Promise<ManifestArtifact[]> {
    const subject = bare.backup.folder;
    const lines: string[] = [];
    for await (const frame of walkFrames(bare, 'artifacts')) {
      lines.push(...frame.lines);
      if (lines.length > summary.count + summary.objects) break;
    }
    const sha256 = hash('sha256', lines.map((line) => `${line}\n`).join(''), 'hex');
    if (sha256 !== summary.sha256) {
      throw corrupt(subject, 'the table of artifacts is not the one that the manifest names');
    }
    return parseArtifactLines(lines, `${subject}/${INDEX_NAME}`).map((value) => {
      const parsed = artifactSchema.safeParse(value);
      if (parsed.success) return parsed.data;
      const field = parsed.error.issues[0]?.path.join('.') ?? '';
      throw corrupt(subject, `the table of artifacts has a wrong ${field || 'line'}`);
    });
  }

  /** The lines of a frame, checked. */
  async function readFrame(stored: StoredBackup, place: FramePlace): Promise<readonly string[]> {
    const bytes = await readFrames(stored, [place]);
    return decodeFrame(`${stored.folder}/${INDEX_NAME}`, place, bytes);
  }

  /** The stored bytes of frames that follow one another in an index. */
  async function readFrames(stored: StoredBackup, places: readonly FramePlace[]): Promise<Buffer> {
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
    place: FramePlace,
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

  /** All lines of one section in order, with the row of the frame that holds each. */
  async function* walk(
    of: Link,
    section: FrameRow['section'],
  ): AsyncGenerator<{ line: string; row: FrameRow; number: number }> {
    for await (const { row, lines } of walkFrames(of, section)) {
      for (const [number, line] of lines.entries()) yield { line, row, number };
    }
  }

  /** The same frame by frame. */
  async function* walkFrames(
    of: Link,
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

  /** Frames of lines in order: neighbours in one request, and the next of them while these are used. */
  async function* readAhead(
    of: Link,
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

  function beginGroup(of: Link, rows: readonly FrameRow[]): Promise<readonly string[]>[] {
    const read = async () => {
      for (const row of rows) checkOrigin(of, row);
      const holder = await holderOf(of, rows[0]!);
      return { subject: `${holder.folder}/${INDEX_NAME}`, bytes: await readFrames(holder, rows) };
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

  function rowsBelow(of: Link, above: FrameRow, lines: readonly string[]): FrameRow[] {
    const subject = `${of.backup.folder}/${INDEX_NAME}`;
    const rows = lines.map((line) => parseRow(line, subject));
    if (rows.some(({ section, level }) => section !== above.section || level !== above.level - 1)) {
      throw corrupt(subject, 'the levels of the index do not fit');
    }
    return rows;
  }

  /** A frame's lines, from the cache or from the index that holds it. */
  async function readRow(of: Link, row: FrameRow): Promise<readonly string[]> {
    checkOrigin(of, row);
    return checkCount(of, row, await cachedFrame(of, row));
  }

  /** What a backup stores itself is described by itself: two links would wait for each other's opening. */
  function checkOrigin(of: Link, row: FrameRow): void {
    if (row.section === 'entries' || row.origin === originOf(of.backup.manifest.id)) return;
    throw corrupt(`${of.backup.folder}/${INDEX_NAME}`, `a frame of ${row.section} lies in another backup`);
  }

  function checkCount(of: Link, row: FrameRow, lines: readonly string[]): readonly string[] {
    if (lines.length > 0 && lines.length === row.lines) return lines;
    const subject = `${of.backup.folder}/${INDEX_NAME}`;
    throw corrupt(subject, 'a frame of the index has not as many lines as its row says');
  }

  /** A link that is being opened reads frames of its own: it must not wait for that very opening. */
  async function holderOf(of: Link, row: FrameRow): Promise<StoredBackup> {
    return row.origin === originOf(of.backup.manifest.id) ? of.backup : (await link(row.origin)).backup;
  }

  function cachedFrame(of: Link, row: FrameRow): Promise<readonly string[]> {
    const cached = frames.get(row.sha256);
    frames.delete(row.sha256);
    const lines = cached ?? holderOf(of, row).then((stored) => readFrame(stored, row));
    lines.catch(() => {});
    frames.set(row.sha256, lines);
    if (frames.size > CACHED_FRAMES) frames.delete(frames.keys().next().value as string);
    return lines;
  }

  /** The place of one block. Errors: `corrupt` where there is no such block. */
  async function place(origin: string, artifact: number, block: number): Promise<BlockPlace> {
    const of = await link(origin);
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
      return { ...parseBlockLine(line, subject), link: of, artifact };
    }
  }

  return { own, link, walk, walkFrames, place };
}

export type Chain = ReturnType<typeof createChain>;

/** Reads one block line. Errors: `corrupt`. */
export function parseBlockLine(text: string, subject: string): BlockLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw corrupt(subject, 'a block line is not JSON', cause);
  }
  if (!Array.isArray(value) || value.length !== 4) throw corrupt(subject, 'a block line is not well-formed');
  const [offset, stored, length, name] = value as unknown[];
  const sane = [offset, stored, length].every(
    (n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0,
  );
  if (
    !sane ||
    length === 0 ||
    (length as number) > MAX_BLOCK_BYTES ||
    (stored as number) > 2 * MAX_BLOCK_BYTES
  ) {
    throw corrupt(subject, 'a block line has impossible lengths');
  }
  if (typeof name !== 'string' || !/^[0-9a-f]{64}$/.test(name))
    throw corrupt(subject, 'a block line has no name');
  return { offset: offset as number, stored: stored as number, length: length as number, name };
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

/** The stored bytes `[offset, offset + length)` of an artifact, across its parts. */
export async function readArtifact(
  link: Link,
  artifact: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
  room?: Buffer,
): Promise<Buffer> {
  const entry = link.artifacts[artifact];
  if (!entry) throw corrupt(link.backup.folder, `there is no artifact ${artifact}`);
  if (offset + length > entry.stored_size) {
    throw corrupt(`${link.backup.folder}/${entry.name}`, 'a block lies outside of its artifact');
  }
  const pieces: Buffer[] = [];
  let start = 0;
  for (const object of artifactObjects(entry)) {
    const from = Math.max(offset, start);
    const to = Math.min(offset + length, start + object.size);
    if (from < to) {
      const rest = room?.subarray(from - offset);
      const key = `${link.backup.folder}/${object.name}`;
      pieces.push(await readRange(link.backup.storage, key, from - start, to - from, signal, rest));
    }
    start += object.size;
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
