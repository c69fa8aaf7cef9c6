import { isUtf8 } from 'node:buffer';

/** What Linux takes for a whole path (PATH_MAX without its NUL) and for one name in it (NAME_MAX). */
export const MAX_PATH_BYTES = 4095;
export const MAX_NAME_BYTES = 255;

/**
 * The order of entries: that of a sorted depth-first walk. Byte strings, compared by bytes with `/` below
 * all others, so that a folder's content follows it at once (`a`, `a/x`, `a-b`); the root `''` is first.
 */
export function compareEntryPaths(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at += 1) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left === right) continue;
    if (left === SLASH) return -1;
    if (right === SLASH) return 1;
    return left < right ? -1 : 1;
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}

/** The bytes of a byte string. */
export function toBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Bytes as a byte string: one char code per byte. */
export function fromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** A text (as users type it and Node hands it over) as a byte string: its UTF-8 bytes. */
export function fromText(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** A path as users type it (`./a`, `/a`, `a/`), as a backup has it; still a text. */
export function withoutEnds(path: string): string {
  return path.replace(/^\.?\//, '').replace(/\/+$/, '');
}

/** True where every byte is below 0x80. */
export function isAscii(path: string): boolean {
  for (let at = 0; at < path.length; at += 1) if (path.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** True where the bytes are valid UTF-8. */
export function isUtf8Path(path: string): boolean {
  return isAscii(path) || isUtf8(toBytes(path));
}

/**
 * A byte string for people: UTF-8 decoded where it is valid, other bytes as `\xNN`, control characters and
 * those that reorder or break a terminal's line escaped.
 */
export function displayPath(path: string): string {
  if (PRINTABLE.test(path)) return path;
  return path.replace(UTF8_UNIT, showUnit);
}

/**
 * May this path of a backup be created below a target? Relative, no empty, `.` or `..` part, no NUL, within
 * the system's lengths. The root `''` is not such a path: a caller decides about it.
 */
export function isSafeEntryPath(path: string): boolean {
  if (path.length === 0 || path.length > MAX_PATH_BYTES || UNSAFE_CHARACTER.test(path)) return false;
  let start = 0;
  while (start <= path.length) {
    const slash = path.indexOf('/', start);
    const end = slash === -1 ? path.length : slash;
    const length = end - start;
    if (length === 0 || length > MAX_NAME_BYTES) return false;
    if (path.charCodeAt(start) === DOT) {
      if (length === 1 || (length === 2 && path.charCodeAt(start + 1) === DOT)) return false;
    }
    start = end + 1;
  }
  return true;
}

/** The path of the folder that holds an entry; `''` for what lies at the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

const SLASH = 0x2f;
const DOT = 0x2e;
const PRINTABLE = /^[\x20-\x7e]*$/;
/** NUL, and char codes that are no bytes: such a string is no byte string. */
const UNSAFE_CHARACTER = /[\x00\u0100-\uffff]/;
/** One well-formed UTF-8 sequence (RFC 3629, section 4), or else one byte. */
const UTF8_UNIT =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[^\x20-\x7e]/g;
/** C1 controls, line separators, zero-width and bidirectional controls, byte order mark. */
const DECEPTIVE = /[\u0080-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

function showUnit(unit: string): string {
  if (unit.length > 1) {
    const character = Buffer.from(unit, 'latin1').toString('utf8');
    return DECEPTIVE.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character;
  }
  if (unit === '\n') return '\\n';
  if (unit === '\r') return '\\r';
  if (unit === '\t') return '\\t';
  return `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
