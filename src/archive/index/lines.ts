import { isUtf8 } from 'node:buffer';
import type { BlockLine } from '../blocks.ts';
import type { EntryRecord, Slice } from '../entry.ts';
import { onceForNeighbours } from '../neighbours.ts';

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

const sharedText = onceForNeighbours(({ dev, mode, uid, gid, user, group }) => {
  let text = `,"dev":"${dev}","mode":${mode},"uid":${uid},"gid":${gid}`;
  if (user !== undefined) text += `,${textField('user', user)}`;
  if (group !== undefined) text += `,${textField('group', group)}`;
  return text;
});

/** The line of a tree's entry up to its slices. */
export function treeHead(entry: EntryRecord): string {
  const { kind, size, mtimeNs, ctimeNs, ino } = entry;
  let line =
    `{${textField('path', entry.path)},"kind":"${kind}","size":${size},"mtime":"${mtimeNs}","ctime":"${ctimeNs}",` +
    `"ino":"${ino}"${sharedText(entry)}`;
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

export function blockLine({ offset, stored, length, name }: BlockLine): string {
  return `[${offset},${stored},${length},"${name}"]`;
}
