import { isOrigin } from '../../plan/naming.ts';
import type { BlockLine } from '../blocks.ts';
import { type ContentEntry, type EntryRecord, isEntryKind, type Slice } from '../entry.ts';
import { corrupt, MAX_BLOCK_BYTES } from '../format.ts';
import { fromText } from '../paths.ts';
import { parsePlainFile } from './plain-line.ts';

/** An entry line as read back: an entry, or the continuation of the one before it. */
export type ParsedLine =
  | { readonly entry: ContentEntry }
  | { readonly continues: string; readonly from: number; readonly slices: readonly Slice[] };

/** Reads one entry line as hostile input. Errors: `corrupt` naming `subject`. */
export function parseEntryLine(text: string, subject: string): ParsedLine {
  const plain = parsePlainFile(text);
  if (plain !== undefined) return { entry: plain };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw corrupt(subject, 'an index line is not JSON', cause);
  }
  if (parsed === null || typeof parsed !== 'object') throw corrupt(subject, 'an index line is not an object');
  const line = readFields(parsed as Record<string, unknown>, subject);
  const { value, bad, bytesOf, count } = line;
  const path = bytesOf('path');
  if (path === undefined) throw bad('path');
  const slices = value['at'] === undefined ? [] : parseSlices(value['at'], bad);
  if (value['from'] !== undefined) {
    // Without content of its own, one line could follow itself without end.
    if (slices.length === 0) throw bad('at');
    return { continues: path, from: count('from'), slices };
  }
  const { kind } = value;
  if (kind === 'table') return { entry: parseTable(line, path) };
  if (kind === 'stream') {
    const { media, format } = value;
    if (typeof media !== 'string' || typeof format !== 'string') throw bad('media');
    return { entry: { type: 'stream', path, kind, size: count('size'), media, format, slices } };
  }
  if (!isEntryKind(kind)) throw bad('kind');
  return { entry: parseTreeEntry(line, path, kind, slices) };
}

type Line = ReturnType<typeof readFields>;

/** The fields of a line, each looked at as it is read. */
function readFields(value: Record<string, unknown>, subject: string) {
  const bad = (field: string) => corrupt(subject, `an index line has a wrong ${field}`);
  return {
    value,
    bad,
    bytesOf(field: string): string | undefined {
      const plain = value[field];
      if (typeof plain === 'string') return fromText(plain);
      const coded = value[`${field}_b64`];
      return typeof coded === 'string' ? Buffer.from(coded, 'base64').toString('latin1') : undefined;
    },
    count(field: string): number {
      const number = value[field];
      if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) throw bad(field);
      return number;
    },
    big(field: string): bigint {
      const digits = value[field];
      if (typeof digits !== 'string' || !/^-?\d{1,30}$/.test(digits)) throw bad(field);
      return BigInt(digits);
    },
  };
}

function parseTable({ value, bad, bytesOf, count }: Line, path: string): ContentEntry {
  const member = bytesOf('member');
  const table = bytesOf('table');
  if (member === undefined || table === undefined) throw bad('table');
  const rows = value['rows'] === undefined ? {} : { rows: count('rows') };
  return { type: 'table', path, kind: 'table', member, table, ...rows };
}

function parseTreeEntry(
  { value, bad, bytesOf, count, big }: Line,
  path: string,
  kind: EntryRecord['kind'],
  slices: readonly Slice[],
): ContentEntry {
  const record: EntryRecord & { type: 'tree'; slices: readonly Slice[] } = {
    type: 'tree',
    path,
    kind,
    size: count('size'),
    mtimeNs: big('mtime'),
    ctimeNs: big('ctime'),
    ino: big('ino'),
    dev: big('dev'),
    mode: count('mode') & 0o7777,
    uid: count('uid'),
    gid: count('gid'),
    slices,
  };
  const user = bytesOf('user');
  const group = bytesOf('group');
  const link = bytesOf('link');
  if (user !== undefined) record.user = user;
  if (group !== undefined) record.group = group;
  if (link !== undefined) record.link = link;
  if (value['links'] !== undefined) record.linkGroup = count('links');
  if (value['sparse'] === true) record.sparse = true;
  if (value['unsure'] === true) record.unsure = true;
  if (typeof value['sha256'] === 'string') record.sha256 = value['sha256'];
  if (value['device'] !== undefined) record.device = parseDevice(value['device'], bad);
  if (Array.isArray(value['xattrs'])) record.xattrs = parseXattrs(value['xattrs'], bad);
  return record;
}

function parseDevice(value: unknown, bad: Line['bad']): { major: number; minor: number } {
  const [major, minor] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isDeviceNumber(major) || !isDeviceNumber(minor)) throw bad('device');
  return { major, minor };
}

function parseXattrs(pairs: readonly unknown[], bad: Line['bad']): { name: string; value: Buffer }[] {
  return pairs.map((pair) => {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string')
      throw bad('xattrs');
    return {
      name: Buffer.from(pair[0], 'base64').toString('latin1'),
      value: Buffer.from(pair[1], 'base64'),
    };
  });
}

/** Linux has 12 bits of major and 20 of minor numbers. */
function isDeviceNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

function parseSlices(value: unknown, bad: Line['bad']): Slice[] {
  if (!Array.isArray(value) || value.length > 256) throw bad('at');
  return value.map((item: unknown) => {
    if (!Array.isArray(item) || item.length !== 5) throw bad('at');
    const [origin, artifact, block, offset, length] = item as unknown[];
    const numbers = [artifact, block, offset, length];
    if (typeof origin !== 'string' || !isOrigin(origin)) throw bad('origin');
    if (!numbers.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0)) throw bad('at');
    if (length === 0) throw bad('at');
    return { origin, artifact, block, offset, length } as Slice;
  });
}

/** Reads what `blockLine` wrote, as hostile input. Errors: `corrupt` naming `subject`. */
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
