/**
 * The head of a custom archive: its table of contents, before the data.
 * Format: src/bin/pg_dump/pg_backup_archiver.c (WriteHead, WriteToc), pg_backup_custom.c and
 * pg_backup_directory.c of PostgreSQL 12 to 18.
 */
export interface ArchiveContents {
  readonly entries: readonly ContentsEntry[];
  /** Where the head ends and the data begin. */
  readonly end: number;
}

export interface ContentsEntry {
  /** The dump's own number of it. */
  readonly id: number;
  /** Of the object in the server's catalog; of `TABLE DATA` the table's. */
  readonly oid: string;
  /** `TABLE DATA`, `BLOBS`, … */
  readonly kind: string;
  /** Its data are rows as `COPY … TO STDOUT` writes them. */
  readonly copied: boolean;
  readonly start: number;
  /** Where the archive says where its data is: the last 9 bytes of the entry. */
  readonly place: number;
  /** Whether it has data, and whether the archive says where. */
  readonly data: 'none' | 'somewhere' | 'known';
}

const MAGIC = Buffer.from('PGDMP');
const FORMAT_AT = 10;
const CUSTOM_FORMAT = 1;
/** What a directory's table of contents says: pg_dump gives both the same. */
const TAR_FORMAT = 3;
const PLACE_BYTES = 9;
/** A sign and four bytes. */
const INT_BYTES = 5;
const DATA_STATES = new Map([
  [1, 'somewhere'],
  [2, 'known'],
  [3, 'none'],
] as const);

/** Reads the head of an archive out of its first bytes; `more` where they are not all of it yet. */
function readContents(bytes: Buffer): ArchiveContents | 'more' | 'unknown' {
  const more = Symbol('more');
  let at = 0;
  const byte = (): number => {
    if (at >= bytes.length) throw more;
    return bytes[at++]!;
  };
  const int = (): number => {
    const negative = byte() !== 0;
    if (at + 4 > bytes.length) throw more;
    at += 4;
    const value = bytes.readUInt32LE(at - 4);
    return negative ? -value : value;
  };
  const text = (): string | undefined => {
    const length = int();
    if (length < 0) return undefined;
    if (at + length > bytes.length) throw more;
    at += length;
    return bytes.toString('latin1', at - length, at);
  };
  const times = (count: number, read: () => unknown) => {
    for (let i = 0; i < count; i++) read();
  };
  try {
    for (const expected of MAGIC) if (byte() !== expected) return 'unknown';
    const version = byte() * 100 + byte();
    byte();
    const [intBytes, offsetBytes, format] = [byte(), byte(), byte()];
    if (version < 114 || version > 116 || intBytes !== 4 || offsetBytes !== 8 || format !== CUSTOM_FORMAT)
      return 'unknown';
    // How it is compressed: an algorithm, once a level.
    const compression = version >= 115 ? byte() : int();
    if (compression !== 0) return 'unknown';
    times(7, int);
    times(3, text);
    const entries: ContentsEntry[] = [];
    for (let left = int(); left > 0; left--) {
      const start = at;
      const id = int();
      int();
      text();
      const oid = text() ?? '';
      text();
      const kind = text() ?? '';
      int();
      times(2, text);
      const copied = /^COPY .* FROM stdin;\n$/s.test(text() ?? '');
      times(3, text);
      if (version >= 116) int();
      times(2, text);
      while (text() !== undefined);
      const place = at;
      const data = DATA_STATES.get(byte() as 1 | 2 | 3);
      if (data === undefined) return 'unknown';
      times(PLACE_BYTES - 1, byte);
      entries.push({ id, oid, kind, copied, start, place, data });
    }
    return { entries, end: at };
  } catch (thrown) {
    if (thrown === more) return 'more';
    throw thrown;
  }
}

/** Larger than any table of contents that was met: what is not understood by then is not gathered further. */
const MAX_CONTENTS_BYTES = 64 * 1024 * 1024;

/** The first bytes of an archive, as many as were needed, with what they say. */
export interface ArchiveHead {
  readonly bytes: Buffer;
  readonly contents: ArchiveContents;
}

/**
 * Gathers the head of an archive out of its chunks, which are copied, up to the last (undefined). Returns undefined
 * while more of it is needed, `unknown` where it is none that is understood. It is looked at when it has doubled.
 */
export function createHeadReader(): (chunk: Uint8Array | undefined) => ArchiveHead | 'unknown' | undefined {
  let bytes = Buffer.alloc(0);
  let tryAt = 0;
  return (chunk) => {
    if (chunk) bytes = Buffer.concat([bytes, chunk]);
    if (chunk && bytes.length < tryAt) return undefined;
    const contents = readContents(bytes);
    if (contents === 'more' && chunk && bytes.length < MAX_CONTENTS_BYTES) {
      tryAt = bytes.length * 2;
      return undefined;
    }
    return typeof contents === 'object' ? { bytes, contents } : 'unknown';
  };
}

/**
 * No list of pg_restore's has them, and none leaves them out (`REQ_SPECIAL` in pg_backup_archiver.c): what encoding
 * the archive is in, how strings in it are quoted, which search path it was made for.
 */
const ALWAYS = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH']);

/** The head of an archive with some of its entries alone, in their order, as `--use-list` has it. */
export function chosenContents(
  head: Buffer,
  { entries, end }: ArchiveContents,
  wanted: ReadonlySet<number>,
): Buffer {
  const begin = entries[0]?.start ?? end;
  const chosen = entries.filter(({ id, kind }) => wanted.has(id) || ALWAYS.has(kind));
  const count = Buffer.alloc(INT_BYTES);
  count.writeUInt32LE(chosen.length, 1);
  return Buffer.concat([
    head.subarray(0, begin - INT_BYTES),
    count,
    ...chosen.map(({ start, place }) => head.subarray(start, place + PLACE_BYTES)),
  ]);
}

/** What the file of an entry's data is called in a directory. */
export function dataFileName(id: number): string {
  return `${id}.dat`;
}

/** The table of contents of a directory (`toc.dat`) that has what the archive has: files instead of places. */
export function directoryContents(head: Buffer, { entries, end }: ArchiveContents): Buffer {
  const first = Buffer.from(head.subarray(0, entries[0]?.start ?? end));
  first[FORMAT_AT] = TAR_FORMAT;
  const parts: Buffer[] = [first];
  for (const { id, start, place, data } of entries) {
    parts.push(head.subarray(start, place), fileNameText(data === 'none' ? '' : dataFileName(id)));
  }
  return Buffer.concat(parts);
}

function fileNameText(name: string): Buffer {
  const text = Buffer.alloc(5 + name.length);
  text.writeUInt32LE(name.length, 1);
  text.write(name, 5, 'latin1');
  return text;
}
