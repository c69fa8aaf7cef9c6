import { isUtf8 } from 'node:buffer';
import { DguardError } from '../../../errors.ts';

/**
 * How SQLite's values stand in JSON, so that storage class and value survive. Plain wherever JSON can hold
 * the value, because other tools read these files too.
 */
export const VALUE_ENCODING = {
  null: 'null',
  integer: 'a number without fraction; beyond 2^53-1 {"$int":"decimal digits"}',
  real: 'a number; integral ones (written 1.0) outside of columns with REAL affinity, and what JSON cannot hold, {"$real":"text"}',
  text: 'a string; text that is not valid in the encoding of the database {"$text_base64":"its bytes"}',
  blob: '{"$base64":"its bytes"}',
} as const;

/** Text whose bytes are not valid in the encoding of the database. */
export interface RawText {
  readonly rawText: Buffer;
}

/** What a column holds: NULL, INTEGER, REAL, TEXT, BLOB, or text that is none. */
export type SqlValue = null | bigint | number | string | Buffer | RawText;

export type TextEncoding = 'UTF-8' | 'UTF-16le' | 'UTF-16be';

/** The JSON text of a value. `realColumn`: the column's affinity is REAL, so that every number in it is one. */
export function encodeValue(value: SqlValue, realColumn: boolean): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return encodeInteger(value, realColumn);
  if (typeof value === 'number') return encodeReal(value, realColumn);
  if (Buffer.isBuffer(value)) return `{"$base64":"${value.toString('base64')}"}`;
  return `{"$text_base64":"${value.rawText.toString('base64')}"}`;
}

function encodeInteger(value: bigint, realColumn: boolean): string {
  const exact = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
  return exact && !realColumn ? value.toString() : `{"$int":"${value}"}`;
}

function encodeReal(value: number, realColumn: boolean): string {
  if (!Number.isFinite(value)) return `{"$real":"${value}"}`;
  if (Object.is(value, -0)) return '{"$real":"-0.0"}';
  const digits = value.toString();
  if (!Number.isInteger(value)) return digits;
  const text = /[.e]/.test(digits) ? digits : `${digits}.0`;
  return realColumn ? text : `{"$real":"${text}"}`;
}

/** The value of a parsed JSON text; throws `corrupt` for what `encodeValue` never writes. */
export function decodeValue(json: unknown, realColumn: boolean): SqlValue {
  if (json === null || typeof json === 'string') return json;
  if (typeof json === 'number') {
    return realColumn || !Number.isInteger(json) ? json : BigInt(json);
  }
  if (typeof json === 'object') {
    const [[key, text] = [], ...others] = Object.entries(json as object);
    if (others.length === 0 && typeof text === 'string') {
      if (key === '$base64') return Buffer.from(text, 'base64');
      if (key === '$text_base64') return { rawText: Buffer.from(text, 'base64') };
      if (key === '$int' && /^-?\d{1,19}$/.test(text)) return BigInt(text);
      if (key === '$real' && !Number.isNaN(Number(text))) return Number(text);
    }
  }
  throw new DguardError('corrupt', `not a value of an SQLite table: ${JSON.stringify(json)?.slice(0, 80)}`);
}

/** Text out of its bytes: a string where that loses nothing. */
export function decodeText(bytes: Buffer, encoding: TextEncoding): string | RawText {
  if (encoding === 'UTF-8') return isUtf8(bytes) ? bytes.toString('utf8') : { rawText: bytes };
  if (bytes.length % 2 !== 0) return { rawText: bytes };
  const little = encoding === 'UTF-16le' ? bytes : Buffer.from(bytes).swap16();
  const text = little.toString('utf16le');
  return /\p{Surrogate}/u.test(text) ? { rawText: bytes } : text;
}

/** Section 3.1 of https://sqlite.org/datatype3.html: does a column of this declared type turn numbers into REAL? */
export function hasRealAffinity(declaredType: string): boolean {
  if (/INT|CHAR|CLOB|TEXT|BLOB/i.test(declaredType)) return false;
  return /REAL|FLOA|DOUB/i.test(declaredType);
}
