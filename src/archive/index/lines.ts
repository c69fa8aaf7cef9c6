import { isUtf8 } from 'node:buffer';
import type { BlockLine } from '../blocks.ts';
import type { ContentEntry, EntryRecord, Slice } from '../entry.ts';
import { corrupt, MAX_BLOCK_BYTES } from '../format.ts';
import { fromText } from '../paths.ts';

/**
 * The text of index lines. It is fixed: field order, no spaces, nanoseconds as strings, what tells an
 * unchanged file first, so that unchanged entries are recognised by comparing bytes.
 */

/** What JSON writes as it is. */
const PLAIN = /^[\x20!#-[\]-~]*$/;

/** `"path":"…"`, or `"path_b64":"…"` where the byte string is not UTF-8. */
export function textField(key: string, byteString: string): string {
  if (PLAIN.test(byteString)) return `"${key}":"${byteString}"`;
  if (/^[\x20-\x7e]*$/.test(byteString)) return `"${key}":${JSON.stringify(byteString)}`;
  const bytes = Buffer.from(byteString, 'latin1');
  if (isUtf8(bytes)) return `"${key}":${JSON.stringify(bytes.toString('utf8'))}`;
  return `"${key}_b64":"${bytes.toString('base64')}"`;
}

type Common = Pick<EntryRecord, 'dev' | 'mode' | 'uid' | 'gid' | 'user' | 'group'>;
/** The fields that neighbours nearly always share, and their text. */
let common: Common = { dev: -1n, mode: -1, uid: -1, gid: -1 };
let text = '';

function commonText(entry: Common): string {
  const { dev, mode, uid, gid, user, group } = entry;
  if (
    mode === common.mode &&
    uid === common.uid &&
    gid === common.gid &&
    user === common.user &&
    group === common.group &&
    dev === common.dev
  )
    return text;
  text = `,"dev":"${dev}","mode":${mode},"uid":${uid},"gid":${gid}`;
  if (user !== undefined) text += `,${textField('user', user)}`;
  if (group !== undefined) text += `,${textField('group', group)}`;
  common = {
    dev,
    mode,
    uid,
    gid,
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
  };
  return text;
}

/** The line of a tree's entry up to its slices. */
export function treeHead(entry: EntryRecord): string {
  const { kind, size, mtimeNs, ctimeNs, ino } = entry;
  let line =
    `{${textField('path', entry.path)},"kind":"${kind}","size":${size},"mtime":"${mtimeNs}","ctime":"${ctimeNs}",` +
    `"ino":"${ino}"${commonText(entry)}`;
  if (entry.link !== undefined) line += `,${textField('link', entry.link)}`;
  if (entry.linkGroup !== undefined) line += `,"links":${entry.linkGroup}`;
  if (entry.device) line += `,"device":[${entry.device.major},${entry.device.minor}]`;
  if (entry.sparse) line += ',"sparse":true';
  if (entry.xattrs?.length) {
    const pairs = entry.xattrs.map(({ name, value }) => [
      Buffer.from(name, 'latin1').toString('base64'),
      Buffer.from(value).toString('base64'),
    ]);
    line += `,"xattrs":${JSON.stringify(pairs)}`;
  }
  if (entry.sha256) line += `,"sha256":"${entry.sha256}"`;
  if (entry.unsure) line += ',"unsure":true';
  return line;
}

export function streamHead(entry: { path: string; size: number; media: string; format: string }): string {
  const rest = JSON.stringify({ kind: 'stream', size: entry.size, media: entry.media, format: entry.format });
  return `{${textField('path', entry.path)},${rest.slice(1, -1)}`;
}

export function tableLine(entry: { path: string; member: string; table: string; rows?: number }): string {
  const rows = entry.rows === undefined ? '' : `,"rows":${entry.rows}`;
  return `{${textField('path', entry.path)},"kind":"table",${textField('member', entry.member)},${textField('table', entry.table)}${rows}}`;
}

export function continuationHead(path: string, from: number): string {
  return `{${textField('path', path)},"from":${from}`;
}

export function slicesText(slices: readonly Slice[]): string {
  const texts = slices.map((s) => `["${s.origin}",${s.artifact},${s.block},${s.offset},${s.length}]`);
  return `,"at":[${texts.join(',')}]}`;
}

/** An entry line as read back: an entry, or the continuation of the one before it. */
export type ParsedLine =
  | { readonly entry: ContentEntry }
  | { readonly continues: string; readonly from: number; readonly slices: readonly Slice[] };

const KINDS = new Set([
  'directory',
  'file',
  'symlink',
  'hardlink',
  'fifo',
  'socket',
  'char_device',
  'block_device',
]);

/** Reads one entry line as hostile input. Errors: `corrupt` naming `subject`. */
export function parseEntryLine(text: string, subject: string): ParsedLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw corrupt(subject, 'an index line is not JSON', cause);
  }
  if (parsed === null || typeof parsed !== 'object') throw corrupt(subject, 'an index line is not an object');
  const value = parsed as Record<string, unknown>;
  const bad = (field: string) => corrupt(subject, `an index line has a wrong ${field}`);
  const bytesOf = (field: string): string | undefined => {
    const plain = value[field];
    if (typeof plain === 'string') return fromText(plain);
    const coded = value[`${field}_b64`];
    return typeof coded === 'string' ? Buffer.from(coded, 'base64').toString('latin1') : undefined;
  };
  const count = (field: string): number => {
    const number = value[field];
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) throw bad(field);
    return number;
  };
  const big = (field: string): bigint => {
    const digits = value[field];
    if (typeof digits !== 'string' || !/^-?\d{1,30}$/.test(digits)) throw bad(field);
    return BigInt(digits);
  };
  const path = bytesOf('path');
  if (path === undefined) throw bad('path');
  const slices = value['at'] === undefined ? [] : parseSlices(value['at'], bad);
  if (value['from'] !== undefined) {
    // Without content of its own, one line could follow itself without end.
    if (slices.length === 0) throw bad('at');
    return { continues: path, from: count('from'), slices };
  }
  const kind = value['kind'];
  if (kind === 'table') {
    const member = bytesOf('member');
    const table = bytesOf('table');
    if (member === undefined || table === undefined) throw bad('table');
    return {
      entry: {
        type: 'table',
        path,
        kind,
        member,
        table,
        ...(value['rows'] === undefined ? {} : { rows: count('rows') }),
      },
    };
  }
  if (kind === 'stream') {
    const { media, format } = value;
    if (typeof media !== 'string' || typeof format !== 'string') throw bad('media');
    return { entry: { type: 'stream', path, kind, size: count('size'), media, format, slices } };
  }
  if (typeof kind !== 'string' || !KINDS.has(kind)) throw bad('kind');
  const record: EntryRecord & { type: 'tree'; slices: readonly Slice[] } = {
    type: 'tree',
    path,
    kind: kind as EntryRecord['kind'],
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
  const device = value['device'];
  if (device !== undefined) {
    const [major, minor] = Array.isArray(device) ? (device as unknown[]) : [];
    if (!isDeviceNumber(major) || !isDeviceNumber(minor)) throw bad('device');
    record.device = { major, minor };
  }
  const xattrs = value['xattrs'];
  if (Array.isArray(xattrs)) {
    record.xattrs = xattrs.map((pair: unknown) => {
      if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string')
        throw bad('xattrs');
      return {
        name: Buffer.from(pair[0], 'base64').toString('latin1'),
        value: Buffer.from(pair[1], 'base64'),
      };
    });
  }
  return { entry: record };
}

/** Linux has 12 bits of major and 20 of minor numbers. */
function isDeviceNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

function parseSlices(value: unknown, bad: (field: string) => Error): Slice[] {
  if (!Array.isArray(value) || value.length > 256) throw bad('at');
  return value.map((item: unknown) => {
    if (!Array.isArray(item) || item.length !== 5) throw bad('at');
    const [origin, artifact, block, offset, length] = item as unknown[];
    const numbers = [artifact, block, offset, length];
    if (typeof origin !== 'string' || !/^[a-z2-7]{8}$/.test(origin)) throw bad('origin');
    if (!numbers.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0)) throw bad('at');
    if (length === 0) throw bad('at');
    return { origin, artifact, block, offset, length } as Slice;
  });
}

export function blockLine({ offset, stored, length, name }: BlockLine): string {
  return `[${offset},${stored},${length},"${name}"]`;
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
