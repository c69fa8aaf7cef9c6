import type { EntryKind, EntryRecord } from '../entry.ts';
import { onceForNeighbours } from '../neighbours.ts';
import { isAscii } from '../paths.ts';

/** The unit of a tar: headers, and what content is padded to. */
export const BLOCK_BYTES = 512;
export const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** 32 bytes, the last of them NUL. */
const OWNER_NAME_BYTES = 31;
/** Seven octal digits: uid, gid. */
export const MAX_ID = 0o7777777;
/** Eleven octal digits: size, mtime. */
export const MAX_NUMBER = 0o77777777777;

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
/** Everything that is the same in all headers: magic, version, eight spaces for the checksum. */
const TEMPLATE = Buffer.alloc(BLOCK_BYTES);
TEMPLATE.write('        ', 148, 'latin1');
TEMPLATE.write('ustar\x0000', 257, 'latin1');
for (const field of [329, 337]) TEMPLATE.write('0000000', field, 'latin1');

/** One header is put together here and copied out: its words can be summed four bytes at a time. */
const SCRATCH_WORDS = new Int32Array(BLOCK_BYTES / 4);
const SCRATCH = Buffer.from(SCRATCH_WORDS.buffer);

/** The template with the fields that neighbours share. */
const SHARED_WORDS = new Int32Array(BLOCK_BYTES / 4);
const SHARED = Buffer.from(SHARED_WORDS.buffer);

const sharedWords = onceForNeighbours(({ mode, uid, gid, user, group }) => {
  SHARED.set(TEMPLATE);
  writeOctal(SHARED, 100, 7, mode);
  writeOctal(SHARED, 108, 7, uid <= MAX_ID ? uid : 0);
  writeOctal(SHARED, 116, 7, gid <= MAX_ID ? gid : 0);
  if (user !== undefined) SHARED.write(user, 265, OWNER_NAME_BYTES, 'latin1');
  if (group !== undefined) SHARED.write(group, 297, OWNER_NAME_BYTES, 'latin1');
  return SHARED_WORDS;
});

/** What one header block says. */
export interface HeaderFields {
  /** Whose mode, owner and device it has. */
  readonly entry: EntryRecord;
  readonly type: number;
  readonly name: string;
  /** Where the name is divided into prefix and name, as `splitName` tells it. */
  readonly split: number;
  readonly link: string;
  /** Since 1970, rounded down. */
  readonly seconds: number;
  readonly size: number;
}

/** Undefined for what has no tar form: a socket. */
export function headerFields(entry: EntryRecord): HeaderFields | undefined {
  const type = TYPE_FLAGS[entry.kind];
  if (type === undefined) return undefined;
  const name = memberName(entry);
  return {
    entry,
    type,
    name,
    split: isAscii(name) ? splitName(name) : -1,
    link: entry.link ?? '',
    seconds: Number(floorSeconds(entry.mtimeNs)),
    size: entry.size,
  };
}

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

/** Does one block say all of it? */
export function fitsUstar({ entry, split, link, seconds }: HeaderFields): boolean {
  return (
    split >= 0 &&
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

export function fitsOwner(name: string | undefined): boolean {
  return name === undefined || (name.length <= OWNER_NAME_BYTES && isAscii(name));
}

/** Writes the one block; what it has no room for is cut, or 0. */
export function writeUstar(fields: HeaderFields, into: Uint8Array, at: number): void {
  const { entry, type, name, split, link, seconds, size } = fields;
  SCRATCH_WORDS.set(sharedWords(entry));
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

export const NS_PER_SECOND = 1_000_000_000n;

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / NS_PER_SECOND;
  return ns < 0n && ns % NS_PER_SECOND !== 0n ? seconds - 1n : seconds;
}
