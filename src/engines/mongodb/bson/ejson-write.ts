import { isUtf8 } from 'node:buffer';
import { checkDocument, documentEnd, elements, TYPE } from './bson.ts';
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
  const out = new JsonText(Number.POSITIVE_INFINITY);
  writeDocument(out, bytes, at);
  return out.text;
}

/** Documents as lines of JSON, in pieces of some 256 KB: of a very large one there never is a text, only its bytes. */
export function* documentLines(documents: Buffer): Generator<Buffer> {
  const out = new JsonText(PIECE_CHARS);
  for (let at = 0; at < documents.length; at = documentEnd(documents, at)) {
    writeDocument(out, documents, at);
    out.add('\n');
    yield* out.take();
  }
  out.flush();
  yield* out.take();
}

const PIECE_CHARS = 256 * 1024;
/** Of base64: whole groups of three bytes. */
const BINARY_BYTES = 3 * 64 * 1024;

/** JSON while it is written: a text that becomes bytes whenever it is `flushChars` long. */
class JsonText {
  readonly #flushChars: number;
  #pieces: (Buffer | (() => Generator<string>))[] = [];
  text = '';

  constructor(flushChars: number) {
    this.#flushChars = flushChars;
  }

  /** Whole characters. */
  add(text: string): void {
    this.text += text;
    if (this.text.length >= this.#flushChars) this.flush();
  }

  flush(): void {
    if (this.text !== '') this.#pieces.push(Buffer.from(this.text));
    this.text = '';
  }

  /** A long value in parts, made when they are taken. */
  addLong(parts: () => Generator<string>): void {
    if (this.#flushChars === Number.POSITIVE_INFINITY) {
      for (const part of parts()) this.text += part;
      return;
    }
    this.flush();
    this.#pieces.push(parts);
  }

  /** What became bytes; long values are read now, so that they have to be there still. */
  *take(): Generator<Buffer> {
    const pieces = this.#pieces;
    this.#pieces = [];
    for (const piece of pieces) {
      if (Buffer.isBuffer(piece)) yield piece;
      else for (const part of piece()) yield Buffer.from(part);
    }
  }

  /** Returns how to forget all that is written from here on. */
  mark(): () => void {
    const [text, count] = [this.text, this.#pieces.length];
    return () => {
      this.text = text;
      this.#pieces.length = count;
    };
  }
}

function writeDocument(out: JsonText, bytes: Buffer, at: number): void {
  const forget = out.mark();
  try {
    writeObject(out, bytes, at, 0);
  } catch (error) {
    if (error !== UNSAYABLE) throw error;
    forget();
    checkDocument(bytes, at);
    out.add(`{"${BYTES_KEY}":"`);
    writeBase64(out, bytes, at, at + bytes.readInt32LE(at));
    out.add('"}');
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

function writeObject(out: JsonText, bytes: Buffer, at: number, depth: number): void {
  if (depth > MAX_DEPTH) throw UNSAYABLE;
  let before = '{';
  for (const element of elements(bytes, at)) {
    if (before === '{' && WRAPPERS.has(element.name)) throw UNSAYABLE;
    out.add(before);
    writeText(out, bytes, element.at + 1, element.start - 1);
    out.add(':');
    writeValue(out, bytes, element.type, element.start, element.end, depth);
    before = ',';
  }
  out.add(before === '{' ? '{}' : '}');
}

function writeArray(out: JsonText, bytes: Buffer, at: number, depth: number): void {
  if (depth > MAX_DEPTH) throw UNSAYABLE;
  let count = 0;
  for (const { type, name, start, end } of elements(bytes, at)) {
    if (name !== String(count)) throw UNSAYABLE;
    out.add(count === 0 ? '[' : ',');
    writeValue(out, bytes, type, start, end, depth);
    count++;
  }
  out.add(count === 0 ? '[]' : ']');
}

function writeValue(
  out: JsonText,
  bytes: Buffer,
  type: number,
  start: number,
  end: number,
  depth: number,
): void {
  switch (type) {
    case TYPE.double:
      out.add(`{"$numberDouble":"${doubleText(bytes, start)}"}`);
      break;
    case TYPE.string:
      writeTextValue(out, bytes, start, end);
      break;
    case TYPE.document:
      writeObject(out, bytes, start, depth + 1);
      break;
    case TYPE.array:
      writeArray(out, bytes, start, depth + 1);
      break;
    case TYPE.binary:
      writeBinary(out, bytes, start, end);
      break;
    case TYPE.undefined:
      out.add('{"$undefined":true}');
      break;
    case TYPE.objectId:
      out.add(`{"$oid":"${bytes.toString('hex', start, end)}"}`);
      break;
    case TYPE.boolean:
      if (bytes[start]! > 1) throw UNSAYABLE;
      out.add(bytes[start] === 1 ? 'true' : 'false');
      break;
    case TYPE.date:
      out.add(`{"$date":{"$numberLong":"${bytes.readBigInt64LE(start)}"}}`);
      break;
    case TYPE.null:
      out.add('null');
      break;
    case TYPE.regex: {
      const middle = bytes.indexOf(0, start);
      out.add('{"$regularExpression":{"pattern":');
      writeText(out, bytes, start, middle);
      out.add(',"options":');
      writeText(out, bytes, middle + 1, end - 1);
      out.add('}}');
      break;
    }
    case TYPE.dbPointer:
      out.add('{"$dbPointer":{"$ref":');
      writeTextValue(out, bytes, start, end - 12);
      out.add(`,"$id":{"$oid":"${bytes.toString('hex', end - 12, end)}"}}}`);
      break;
    case TYPE.code:
      out.add('{"$code":');
      writeTextValue(out, bytes, start, end);
      out.add('}');
      break;
    case TYPE.symbol:
      out.add('{"$symbol":');
      writeTextValue(out, bytes, start, end);
      out.add('}');
      break;
    case TYPE.codeWithScope: {
      const scopeAt = start + 8 + bytes.readInt32LE(start + 4);
      out.add('{"$code":');
      writeTextValue(out, bytes, start + 4, scopeAt);
      out.add(',"$scope":');
      // Two objects of JSON lie in each other.
      writeObject(out, bytes, scopeAt, depth + 2);
      out.add('}');
      break;
    }
    case TYPE.int32:
      out.add(`{"$numberInt":"${bytes.readInt32LE(start)}"}`);
      break;
    case TYPE.timestamp:
      out.add(`{"$timestamp":{"t":${bytes.readUInt32LE(start + 4)},"i":${bytes.readUInt32LE(start)}}}`);
      break;
    case TYPE.int64:
      out.add(`{"$numberLong":"${bytes.readBigInt64LE(start)}"}`);
      break;
    case TYPE.decimal128: {
      const value = bytes.subarray(start, end);
      const text = decimalText(value);
      if (!parseDecimal(text)?.equals(value)) throw UNSAYABLE;
      out.add(`{"$numberDecimal":"${text}"}`);
      break;
    }
    case TYPE.minKey:
      out.add('{"$minKey":1}');
      break;
    case TYPE.maxKey:
      out.add('{"$maxKey":1}');
      break;
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

function writeBinary(out: JsonText, bytes: Buffer, start: number, end: number): void {
  const subType = bytes[start + 4]!;
  let from = start + 5;
  if (subType === OLD_BINARY) {
    if (end - from < 4 || bytes.readInt32LE(from) !== end - from - 4) throw UNSAYABLE;
    from += 4;
  }
  out.add('{"$binary":{"base64":"');
  writeBase64(out, bytes, from, end);
  out.add(`","subType":"${subType.toString(16).padStart(2, '0')}"}}`);
}

function writeBase64(out: JsonText, bytes: Buffer, from: number, end: number): void {
  if (end - from <= BINARY_BYTES) out.add(bytes.toString('base64', from, end));
  else out.addLong(() => base64Parts(bytes, from, end));
}

function* base64Parts(bytes: Buffer, from: number, end: number): Generator<string> {
  for (let at = from; at < end; at += BINARY_BYTES)
    yield bytes.toString('base64', at, Math.min(end, at + BINARY_BYTES));
}

function writeTextValue(out: JsonText, bytes: Buffer, start: number, end: number): void {
  if (bytes[end - 1] !== 0) throw UNSAYABLE;
  writeText(out, bytes, start + 4, end - 1);
}

/** A text of so few bytes is looked at byte by byte faster than it is handed over. */
const SHORT_BYTES = 48;

/** UTF-8 bytes as a JSON text. */
function writeText(out: JsonText, bytes: Buffer, start: number, end: number): void {
  let plain = end - start <= SHORT_BYTES;
  for (let at = start; plain && at < end; at++) {
    const byte = bytes[at]!;
    plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
  }
  if (plain) {
    out.add(`"${bytes.toString('latin1', start, end)}"`);
    return;
  }
  if (!isUtf8(bytes.subarray(start, end))) throw UNSAYABLE;
  if (end - start <= PIECE_CHARS) {
    out.add(JSON.stringify(bytes.toString('utf8', start, end)));
    return;
  }
  out.add('"');
  out.addLong(() => textParts(bytes, start, end));
  out.add('"');
}

function* textParts(bytes: Buffer, start: number, end: number): Generator<string> {
  for (let from = start; from < end; ) {
    let to = Math.min(end, from + PIECE_CHARS);
    // Not within a character.
    while (to < end && (bytes[to]! & 0xc0) === 0x80) to--;
    yield JSON.stringify(bytes.toString('utf8', from, to)).slice(1, -1);
    from = to;
  }
}
