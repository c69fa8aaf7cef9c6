import type { EntryRecord } from '../entry.ts';
import { isAscii, isUtf8Path } from '../paths.ts';
import {
  BLOCK_BYTES,
  fitsOwner,
  type HeaderFields,
  MAX_ID,
  MAX_NUMBER,
  NAME_BYTES,
  NS_PER_SECOND,
  writeUstar,
} from './ustar.ts';

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

/** The pax header with all that ustar cannot say, then the entry's own header with what it can. */
export function extendedHeader(fields: HeaderFields): Buffer {
  const { entry, name, split, link, seconds } = fields;
  const records = Buffer.concat(paxRecords(fields));
  const recordsEnd = BLOCK_BYTES + Math.ceil(records.length / BLOCK_BYTES) * BLOCK_BYTES;
  const header = Buffer.alloc(recordsEnd + BLOCK_BYTES);
  const lastName = plain(entry.path.slice(entry.path.lastIndexOf('/') + 1)).slice(0, 80);
  const paxName = `PaxHeaders/${lastName}`;
  writeUstar(
    {
      entry: PAX_OWNER,
      type: PAX_TYPE_FLAG,
      name: paxName,
      split: 0,
      link: '',
      seconds,
      size: records.length,
    },
    header,
    0,
  );
  header.set(records, BLOCK_BYTES);
  const fitting = {
    ...fields,
    entry: withoutLongOwners(entry),
    name: split >= 0 ? name : plain(name.slice(0, NAME_BYTES)),
    split: Math.max(split, 0),
    link: plain(link.slice(0, NAME_BYTES)),
  };
  writeUstar(fitting, header, recordsEnd);
  return header;
}

function withoutLongOwners(entry: EntryRecord): EntryRecord {
  if (fitsOwner(entry.user) && fitsOwner(entry.group)) return entry;
  const rest = { ...entry };
  if (!fitsOwner(entry.user)) delete rest.user;
  if (!fitsOwner(entry.group)) delete rest.group;
  return rest;
}

/** The records that say what ustar cannot. pax counts bytes as UTF-8 unless `hdrcharset` says otherwise. */
function paxRecords({ entry, name, split, link, seconds }: HeaderFields): readonly Buffer[] {
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
