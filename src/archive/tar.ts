import type { EntryKind, EntryRecord } from './entry.ts';
import { isAscii, isUtf8Path } from './paths.ts';

/**
 * The tar header of an entry: ustar (POSIX.1-1988) where the entry fits, preceded by a pax extended header
 * (POSIX.1-2001) where it does not. Content and `tarPadding(size)` follow a file's. A socket has no tar
 * form: the buffer is empty, the entry lives in the index alone.
 */
export function tarHeader(entry: EntryRecord): Buffer {
  const header = Buffer.allocUnsafe(BLOCK_BYTES);
  return writeTarHeader(entry, header, 0) ? header : longHeader(entry);
}

/** Writes the header of an entry where it is the one block of ustar; false: it is not, and nothing was written. */
export function writeTarHeader(entry: EntryRecord, into: Uint8Array, at: number): boolean {
  const type = TYPE_FLAGS[entry.kind];
  if (type === undefined) return false;
  const name = memberName(entry);
  const link = entry.link ?? '';
  const split = isAscii(name) ? splitName(name) : -1;
  const seconds = Number(floorSeconds(entry.mtimeNs));
  if (split < 0 || !fitsUstar(entry, link, seconds)) return false;
  writeUstar(into, at, entry, type, name, split, link, seconds, entry.size);
  return true;
}

function longHeader(entry: EntryRecord): Buffer {
  const type = TYPE_FLAGS[entry.kind];
  if (type === undefined) return EMPTY;
  const name = memberName(entry);
  const split = isAscii(name) ? splitName(name) : -1;
  return extendedHeader(entry, type, name, split, entry.link ?? '', Number(floorSeconds(entry.mtimeNs)));
}

/** The zero bytes that fill content up to a whole tar block. Shared: not to be written to. */
export function tarPadding(sizeBytes: number): Buffer {
  const over = sizeBytes % BLOCK_BYTES;
  return over === 0 ? EMPTY : ZEROS.subarray(0, BLOCK_BYTES - over);
}

/** What ends a tar: two blocks of zeros. Shared: not to be written to. */
export function tarEnd(): Buffer {
  return ZEROS;
}

/** The unit of a tar: headers, and what content is padded to. */
export const BLOCK_BYTES = 512;
const EMPTY = Buffer.alloc(0);
const ZEROS = Buffer.alloc(2 * BLOCK_BYTES);
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** 32 bytes, the last of them NUL. */
const OWNER_NAME_BYTES = 31;
/** Seven octal digits: uid, gid. */
const MAX_ID = 0o7777777;
/** Eleven octal digits: size, mtime. */
const MAX_NUMBER = 0o77777777777;

/** POSIX.1 ustar type flags. */
const TYPE_FLAGS: Readonly<Partial<Record<EntryKind, number>>> = {
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char_device: 0x33,
  block_device: 0x34,
  directory: 0x35,
  fifo: 0x36,
};
const PAX_TYPE_FLAG = 0x78;
/** A pax header itself belongs to nobody: only these fields of a record are looked at. */
const PAX_OWNER: EntryRecord = {
  path: '',
  kind: 'file',
  size: 0,
  mtimeNs: 0n,
  ctimeNs: 0n,
  ino: 0n,
  dev: 0n,
  mode: 0o644,
  uid: 0,
  gid: 0,
};

/** Everything that is the same in all headers: magic, version, eight spaces for the checksum. */
const TEMPLATE = Buffer.alloc(BLOCK_BYTES);
TEMPLATE.write('        ', 148, 'latin1');
TEMPLATE.write('ustar\x0000', 257, 'latin1');
for (const field of [329, 337]) TEMPLATE.write('0000000', field, 'latin1');

/** One header is put together here and copied out: its words can be summed four bytes at a time. */
const SCRATCH_WORDS = new Int32Array(BLOCK_BYTES / 4);
const SCRATCH = Buffer.from(SCRATCH_WORDS.buffer);

type Common = Pick<EntryRecord, 'mode' | 'uid' | 'gid' | 'user' | 'group'>;
/** The template with the fields that neighbours nearly always share, and what they hold now. */
const COMMON_WORDS = new Int32Array(BLOCK_BYTES / 4);
const COMMON = Buffer.from(COMMON_WORDS.buffer);
let common: Common = { mode: -1, uid: -1, gid: -1 };

function memberName(entry: EntryRecord): string {
  if (entry.kind !== 'directory') return entry.path;
  return entry.path === '' ? './' : `${entry.path}/`;
}

/**
 * Where a name is divided into prefix and name: 0 where it needs no prefix, the position of the dividing
 * slash where it does, -1 where it fits in neither way.
 */
function splitName(name: string): number {
  if (name.length <= NAME_BYTES) return 0;
  if (name.length > PREFIX_BYTES + 1 + NAME_BYTES) return -1;
  // The last slash of a folder's name is part of the name: it cannot divide.
  const slash = name.indexOf('/', name.length - NAME_BYTES - 1);
  return slash > 0 && slash <= PREFIX_BYTES && slash < name.length - 1 ? slash : -1;
}

function fitsUstar(entry: EntryRecord, link: string, seconds: number): boolean {
  return (
    entry.size <= MAX_NUMBER &&
    entry.uid <= MAX_ID &&
    entry.gid <= MAX_ID &&
    seconds >= 0 &&
    seconds <= MAX_NUMBER &&
    link.length <= NAME_BYTES &&
    isAscii(link) &&
    fitsOwner(entry.user) &&
    fitsOwner(entry.group) &&
    (entry.xattrs === undefined || entry.xattrs.length === 0)
  );
}

function fitsOwner(name: string | undefined): boolean {
  return name === undefined || (name.length <= OWNER_NAME_BYTES && isAscii(name));
}

function setCommon(entry: Common): void {
  const { mode, uid, gid, user, group } = entry;
  if (
    mode === common.mode &&
    uid === common.uid &&
    gid === common.gid &&
    user === common.user &&
    group === common.group
  )
    return;
  COMMON.set(TEMPLATE);
  writeOctal(COMMON, 100, 7, mode);
  writeOctal(COMMON, 108, 7, uid <= MAX_ID ? uid : 0);
  writeOctal(COMMON, 116, 7, gid <= MAX_ID ? gid : 0);
  if (user !== undefined) COMMON.write(user, 265, OWNER_NAME_BYTES, 'latin1');
  if (group !== undefined) COMMON.write(group, 297, OWNER_NAME_BYTES, 'latin1');
  common = { mode, uid, gid, ...(user !== undefined && { user }), ...(group !== undefined && { group }) };
}

function writeUstar(
  into: Uint8Array,
  at: number,
  entry: EntryRecord,
  type: number,
  name: string,
  split: number,
  link: string,
  seconds: number,
  size: number,
): void {
  setCommon(entry);
  SCRATCH_WORDS.set(COMMON_WORDS);
  if (split > 0) {
    SCRATCH.write(name.slice(split + 1), 0, NAME_BYTES, 'latin1');
    SCRATCH.write(name.slice(0, split), 345, PREFIX_BYTES, 'latin1');
  } else {
    SCRATCH.write(name, 0, NAME_BYTES, 'latin1');
  }
  writeOctal(SCRATCH, 124, 11, size <= MAX_NUMBER ? size : 0);
  writeOctal(SCRATCH, 136, 11, seconds < 0 ? 0 : Math.min(seconds, MAX_NUMBER));
  SCRATCH[156] = type;
  if (link !== '') SCRATCH.write(link, 157, NAME_BYTES, 'latin1');
  if (entry.device !== undefined) {
    writeOctal(SCRATCH, 329, 7, entry.device.major);
    writeOctal(SCRATCH, 337, 7, entry.device.minor);
  }
  // The sum of all bytes with the checksum field as spaces: six digits, NUL, space.
  writeOctal(SCRATCH, 148, 6, scratchSum());
  SCRATCH[154] = 0;
  into.set(SCRATCH, at);
}

/** `digits` octal digits and a NUL. */
function writeOctal(into: Buffer, at: number, digits: number, value: number): void {
  let rest = value;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    if (rest > 0x7fffffff) {
      into[place] = 0x30 + (rest % 8);
      rest = Math.floor(rest / 8);
    } else {
      into[place] = 0x30 + (rest & 7);
      rest >>>= 3;
    }
  }
}

/** The sum of the scratch block's bytes: four at a time, two per half-word lane. */
function scratchSum(): number {
  let lanes = 0;
  for (let word = 0; word < SCRATCH_WORDS.length; word += 1) {
    const four = SCRATCH_WORDS[word]!;
    lanes += (four & 0xff00ff) + ((four >>> 8) & 0xff00ff);
  }
  return (lanes & 0xffff) + (lanes >>> 16);
}

function extendedHeader(
  entry: EntryRecord,
  type: number,
  name: string,
  split: number,
  link: string,
  seconds: number,
): Buffer {
  const records = Buffer.concat(paxRecords(entry, name, split, link, seconds));
  const total = BLOCK_BYTES + records.length + tarPadding(records.length).length + BLOCK_BYTES;
  const header = Buffer.alloc(total);
  const paxName = `PaxHeaders/${plain(entry.path.slice(entry.path.lastIndexOf('/') + 1)).slice(0, 80)}`;
  writeUstar(header, 0, PAX_OWNER, PAX_TYPE_FLAG, paxName, 0, '', seconds, records.length);
  header.set(records, BLOCK_BYTES);
  let body = entry;
  if (!fitsOwner(entry.user) || !fitsOwner(entry.group)) {
    body = { ...entry };
    if (!fitsOwner(entry.user)) delete body.user;
    if (!fitsOwner(entry.group)) delete body.group;
  }
  const cutName = split >= 0 ? name : plain(name.slice(0, NAME_BYTES));
  const cutLink = plain(link.slice(0, NAME_BYTES));
  writeUstar(
    header,
    total - BLOCK_BYTES,
    body,
    type,
    cutName,
    Math.max(split, 0),
    cutLink,
    seconds,
    entry.size,
  );
  return header;
}

/** The records that say what ustar cannot. pax counts bytes as UTF-8 unless `hdrcharset` says otherwise. */
function paxRecords(
  entry: EntryRecord,
  name: string,
  split: number,
  link: string,
  seconds: number,
): readonly Buffer[] {
  const texts: [string, string][] = [];
  if (split < 0) texts.push(['path', name]);
  if (link.length > NAME_BYTES || !isAscii(link)) texts.push(['linkpath', link]);
  if (entry.user !== undefined && !fitsOwner(entry.user)) texts.push(['uname', entry.user]);
  if (entry.group !== undefined && !fitsOwner(entry.group)) texts.push(['gname', entry.group]);
  const records: Buffer[] = [];
  if (!texts.every(([, value]) => isUtf8Path(value))) records.push(paxRecord('hdrcharset', 'BINARY'));
  for (const [key, value] of texts) records.push(paxRecord(key, value));
  if (entry.size > MAX_NUMBER) records.push(paxRecord('size', String(entry.size)));
  if (entry.uid > MAX_ID) records.push(paxRecord('uid', String(entry.uid)));
  if (entry.gid > MAX_ID) records.push(paxRecord('gid', String(entry.gid)));
  if (seconds < 0 || seconds > MAX_NUMBER || entry.mtimeNs % NS_PER_SECOND !== 0n) {
    records.push(paxRecord('mtime', decimalSeconds(entry.mtimeNs)));
  }
  for (const { name: xattr, value } of entry.xattrs ?? []) {
    // As GNU tar does it: a keyword cannot hold the sign that ends it.
    const key = xattr.replaceAll('%', '%25').replaceAll('=', '%3D');
    records.push(paxRecord(`SCHILY.xattr.${key}`, value));
  }
  return records;
}

/** `length key=value\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const rest = key.length + bytes.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), bytes, NEWLINE]);
}

const NEWLINE = Buffer.from('\n');
const NS_PER_SECOND = 1_000_000_000n;

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / NS_PER_SECOND;
  return ns < 0n && ns % NS_PER_SECOND !== 0n ? seconds - 1n : seconds;
}

function decimalSeconds(ns: bigint): string {
  const absolute = ns < 0n ? -ns : ns;
  const fraction = (absolute % NS_PER_SECOND).toString().padStart(9, '0').replace(/0+$/, '');
  const whole = (absolute / NS_PER_SECOND).toString();
  return `${ns < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** For fields that a reader of pax records never looks at. */
function plain(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '_');
}
