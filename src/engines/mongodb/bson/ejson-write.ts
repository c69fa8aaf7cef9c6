import { isUtf8 } from 'node:buffer';
import { checkDocument, elements, TYPE } from './bson.ts';
import { decimalText, parseDecimal } from './decimal128.ts';

/**
 * Extended JSON v2, canonical, straight from the bytes of a document.
 * https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md
 *
 * What that notation cannot say so that it reads back as the same bytes (a NaN with a payload, a text that is
 * not UTF-8, an array whose keys are not 0, 1, 2 …, a document that looks like one of the notation's own) is
 * written as one object with the document's bytes: `{"$dguardBson": "<base64>"}`.
 */
export const BYTES_KEY = '$dguardBson';

/** One line of JSON, without its end. Throws `corrupt` for bytes that are no document. */
export function documentToJson(bytes: Buffer, at = 0): string {
  try {
    return writeObject(bytes, at, 0);
  } catch (error) {
    if (error !== UNSAYABLE) throw error;
    checkDocument(bytes, at);
    const end = at + bytes.readInt32LE(at);
    return `{"${BYTES_KEY}":"${bytes.toString('base64', at, end)}"}`;
  }
}

/** What the notation's own objects begin with: an ordinary one that does could not be told from them. */
const WRAPPERS = new Set(
  ['$binary', '$code', '$date', '$dbPointer', '$maxKey', '$minKey', '$numberDecimal', '$numberDouble']
    .concat(['$numberInt', '$numberLong', '$oid', '$regularExpression', '$symbol', '$timestamp'])
    .concat(['$undefined', '$uuid', BYTES_KEY]),
);

const UNSAYABLE = Symbol('not in Extended JSON');
const MAX_DEPTH = 200;

function writeObject(bytes: Buffer, at: number, depth: number): string {
  if (depth > MAX_DEPTH) throw UNSAYABLE;
  let text = '{';
  let first = true;
  for (const element of elements(bytes, at)) {
    if (first && WRAPPERS.has(element.name)) throw UNSAYABLE;
    text += `${first ? '' : ','}${quote(bytes, element.at + 1, element.start - 1)}:`;
    text += writeValue(bytes, element.type, element.start, element.end, depth);
    first = false;
  }
  return `${text}}`;
}

function writeArray(bytes: Buffer, at: number, depth: number): string {
  if (depth > MAX_DEPTH) throw UNSAYABLE;
  const values: string[] = [];
  for (const { type, name, start, end } of elements(bytes, at)) {
    if (name !== String(values.length)) throw UNSAYABLE;
    values.push(writeValue(bytes, type, start, end, depth));
  }
  return `[${values.join(',')}]`;
}

function writeValue(bytes: Buffer, type: number, start: number, end: number, depth: number): string {
  switch (type) {
    case TYPE.double:
      return `{"$numberDouble":"${doubleText(bytes, start)}"}`;
    case TYPE.string:
      return textValue(bytes, start, end);
    case TYPE.document:
      return writeObject(bytes, start, depth + 1);
    case TYPE.array:
      return writeArray(bytes, start, depth + 1);
    case TYPE.binary:
      return binaryValue(bytes, start, end);
    case TYPE.undefined:
      return '{"$undefined":true}';
    case TYPE.objectId:
      return `{"$oid":"${bytes.toString('hex', start, end)}"}`;
    case TYPE.boolean:
      if (bytes[start]! > 1) throw UNSAYABLE;
      return bytes[start] === 1 ? 'true' : 'false';
    case TYPE.date:
      return `{"$date":{"$numberLong":"${bytes.readBigInt64LE(start)}"}}`;
    case TYPE.null:
      return 'null';
    case TYPE.regex: {
      const middle = bytes.indexOf(0, start);
      const options = quote(bytes, middle + 1, end - 1);
      return `{"$regularExpression":{"pattern":${quote(bytes, start, middle)},"options":${options}}}`;
    }
    case TYPE.dbPointer: {
      const id = bytes.toString('hex', end - 12, end);
      return `{"$dbPointer":{"$ref":${textValue(bytes, start, end - 12)},"$id":{"$oid":"${id}"}}}`;
    }
    case TYPE.code:
      return `{"$code":${textValue(bytes, start, end)}}`;
    case TYPE.symbol:
      return `{"$symbol":${textValue(bytes, start, end)}}`;
    case TYPE.codeWithScope: {
      const scopeAt = start + 8 + bytes.readInt32LE(start + 4);
      const code = textValue(bytes, start + 4, scopeAt);
      return `{"$code":${code},"$scope":${writeObject(bytes, scopeAt, depth + 1)}}`;
    }
    case TYPE.int32:
      return `{"$numberInt":"${bytes.readInt32LE(start)}"}`;
    case TYPE.timestamp:
      return `{"$timestamp":{"t":${bytes.readUInt32LE(start + 4)},"i":${bytes.readUInt32LE(start)}}}`;
    case TYPE.int64:
      return `{"$numberLong":"${bytes.readBigInt64LE(start)}"}`;
    case TYPE.decimal128: {
      const value = bytes.subarray(start, end);
      const text = decimalText(value);
      if (!parseDecimal(text)?.equals(value)) throw UNSAYABLE;
      return `{"$numberDecimal":"${text}"}`;
    }
    case TYPE.minKey:
      return '{"$minKey":1}';
    case TYPE.maxKey:
      return '{"$maxKey":1}';
    default:
      throw UNSAYABLE;
  }
}

/** The one NaN that Number reads back; others carry something. */
const PLAIN_NAN = 0x7ff8000000000000n;

function doubleText(bytes: Buffer, at: number): string {
  const value = bytes.readDoubleLE(at);
  if (Number.isNaN(value)) {
    if (bytes.readBigUInt64LE(at) !== PLAIN_NAN) throw UNSAYABLE;
    return 'NaN';
  }
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** Sub-type 2 has its length once more inside, which the notation leaves out. */
const OLD_BINARY = 2;

function binaryValue(bytes: Buffer, start: number, end: number): string {
  const subType = bytes[start + 4]!;
  let from = start + 5;
  if (subType === OLD_BINARY) {
    if (end - from < 4 || bytes.readInt32LE(from) !== end - from - 4) throw UNSAYABLE;
    from += 4;
  }
  const content = bytes.toString('base64', from, end);
  return `{"$binary":{"base64":"${content}","subType":"${subType.toString(16).padStart(2, '0')}"}}`;
}

function textValue(bytes: Buffer, start: number, end: number): string {
  if (bytes[end - 1] !== 0) throw UNSAYABLE;
  return quote(bytes, start + 4, end - 1);
}

/** A text of so few bytes is looked at byte by byte faster than it is handed over. */
const SHORT_BYTES = 48;

/** UTF-8 bytes as a JSON text. */
function quote(bytes: Buffer, start: number, end: number): string {
  let plain = end - start <= SHORT_BYTES;
  for (let at = start; plain && at < end; at++) {
    const byte = bytes[at]!;
    plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
  }
  if (plain) return `"${bytes.toString('latin1', start, end)}"`;
  if (!isUtf8(bytes.subarray(start, end))) throw UNSAYABLE;
  return JSON.stringify(bytes.toString('utf8', start, end));
}
