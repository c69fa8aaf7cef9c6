import { DguardError } from '../../../errors.ts';

/**
 * BSON as bytes: documents are walked, cut out and put together without ever becoming JavaScript values, so
 * that types, the order of fields, -0, NaN's payload and keys that stand twice are what they were.
 * https://bsonspec.org/spec.html
 */
export const TYPE = {
  double: 0x01,
  string: 0x02,
  document: 0x03,
  array: 0x04,
  binary: 0x05,
  undefined: 0x06,
  objectId: 0x07,
  boolean: 0x08,
  date: 0x09,
  null: 0x0a,
  regex: 0x0b,
  dbPointer: 0x0c,
  code: 0x0d,
  symbol: 0x0e,
  codeWithScope: 0x0f,
  int32: 0x10,
  timestamp: 0x11,
  int64: 0x12,
  decimal128: 0x13,
  minKey: 0xff,
  maxKey: 0x7f,
} as const;

/** The largest document that a server stores, and what it allows beside that in its own answers. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
export const MAX_WIRE_DOCUMENT_BYTES = MAX_DOCUMENT_BYTES + 16 * 1024;
export const MIN_DOCUMENT_BYTES = 5;
/** MongoDB stores 200 levels, FerretDB more. */
const MAX_DEPTH = 1000;

export interface Element {
  readonly type: number;
  readonly name: string;
  /** Where its type byte stands, where its value begins, and where it ends, in the bytes that were walked. */
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** The elements of a document that begins at `at`. Throws `corrupt` for bytes that are none. */
export function* elements(bytes: Buffer, at = 0): Generator<Element> {
  const end = documentEnd(bytes, at) - 1;
  for (let position = at + 4; position < end; ) {
    const type = bytes[position]!;
    const nameEnd = bytes.indexOf(0, position + 1);
    if (nameEnd < 0 || nameEnd >= end) throw broken('a field name does not end', position);
    const start = nameEnd + 1;
    const valueEnd = start + valueLength(bytes, type, start, end);
    if (valueEnd > end) throw broken('a value ends behind its document', position);
    yield { type, name: bytes.toString('utf8', position + 1, nameEnd), at: position, start, end: valueEnd };
    position = valueEnd;
  }
}

/** Where the document at `at` ends. Throws `corrupt`. */
export function documentEnd(bytes: Buffer, at = 0, limit = bytes.length): number {
  if (at + MIN_DOCUMENT_BYTES > limit) throw broken('a document is cut short', at);
  const end = at + bytes.readInt32LE(at);
  if (end < at + MIN_DOCUMENT_BYTES || end > limit) throw broken('a document has an impossible length', at);
  if (bytes[end - 1] !== 0) throw broken('a document does not end with a zero byte', at);
  return end;
}

/** Walks a document with all that is in it. Throws `corrupt`. */
export function checkDocument(bytes: Buffer, at = 0, depth = 0): void {
  if (depth > MAX_DEPTH) throw broken('documents lie too deep in each other', at);
  for (const { type, start, end } of elements(bytes, at)) {
    if (type === TYPE.document || type === TYPE.array) checkDocument(bytes, start, depth + 1);
    else if (type === TYPE.codeWithScope)
      checkDocument(bytes, start + 8 + bytes.readInt32LE(start + 4), depth + 1);
    else if (type === TYPE.boolean && bytes[start]! > 1) throw broken('a boolean is neither 0 nor 1', start);
    else if (type === TYPE.string && bytes[end - 1] !== 0) throw broken('a text does not end', start);
  }
}

/** The first element of that name, or undefined. */
export function field(bytes: Buffer, name: string): Element | undefined {
  for (const element of elements(bytes)) if (element.name === name) return element;
  return undefined;
}

/** The bytes of an embedded document or array; undefined for anything else. */
export function subdocument(bytes: Buffer, name: string): Buffer | undefined {
  const element = field(bytes, name);
  if (element?.type !== TYPE.document && element?.type !== TYPE.array) return undefined;
  return bytes.subarray(element.start, element.end);
}

/** A text; undefined for anything else. */
export function textField(bytes: Buffer, name: string): string | undefined {
  const element = field(bytes, name);
  if (element?.type !== TYPE.string) return undefined;
  return bytes.toString('utf8', element.start + 4, element.end - 1);
}

export function booleanField(bytes: Buffer, name: string): boolean | undefined {
  const element = field(bytes, name);
  return element?.type === TYPE.boolean ? bytes[element.start] === 1 : undefined;
}

/** A whole element: type, name and value bytes. */
export function element(type: number, name: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), Buffer.from(`${name}\0`), value]);
}

/** The value of a text. */
export function textValue(text: string): Buffer {
  const bytes = Buffer.from(`${text}\0`);
  const length = Buffer.alloc(4);
  length.writeInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A document of whole elements. */
export function document(parts: readonly Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, MIN_DOCUMENT_BYTES);
  const head = Buffer.alloc(4);
  head.writeInt32LE(size);
  return Buffer.concat([head, ...parts, Buffer.alloc(1)], size);
}

/** An array of documents. */
export function arrayOf(documents: readonly Buffer[]): Buffer {
  return document(documents.map((one, at) => element(TYPE.document, String(at), one)));
}

/** The documents of an array. */
export function documentsOf(array: Buffer): Buffer[] {
  return [...elements(array)].map(({ start, end }) => array.subarray(start, end));
}

/** The same document without some of its fields. */
export function without(bytes: Buffer, names: readonly string[]): Buffer {
  const kept = [...elements(bytes)].filter(({ name }) => !names.includes(name));
  return document(kept.map(({ at, end }) => bytes.subarray(at, end)));
}

function valueLength(bytes: Buffer, type: number, at: number, end: number): number {
  const int = (offset = 0) => {
    if (at + offset + 4 > end) throw broken('a value is cut short', at);
    const value = bytes.readInt32LE(at + offset);
    if (value < 0) throw broken('a value has a negative length', at);
    return value;
  };
  const text = (offset = 0) => {
    const length = int(offset);
    if (length < 1) throw broken('a text has no end', at);
    return 4 + length;
  };
  switch (type) {
    case TYPE.double:
    case TYPE.date:
    case TYPE.timestamp:
    case TYPE.int64:
      return 8;
    case TYPE.string:
    case TYPE.code:
    case TYPE.symbol:
      return text();
    case TYPE.document:
    case TYPE.array:
      return documentEnd(bytes, at, end) - at;
    case TYPE.binary:
      return 5 + int();
    case TYPE.objectId:
      return 12;
    case TYPE.boolean:
      return 1;
    case TYPE.undefined:
    case TYPE.null:
    case TYPE.minKey:
    case TYPE.maxKey:
      return 0;
    case TYPE.regex: {
      const pattern = bytes.indexOf(0, at);
      const flags = pattern < 0 ? -1 : bytes.indexOf(0, pattern + 1);
      if (flags < 0) throw broken('a regular expression does not end', at);
      return flags + 1 - at;
    }
    case TYPE.dbPointer:
      return text() + 12;
    case TYPE.codeWithScope: {
      const length = int();
      const code = text(4);
      if (4 + code + MIN_DOCUMENT_BYTES > length || at + length > end)
        throw broken('code has an impossible length', at);
      if (documentEnd(bytes, at + 4 + code, at + length) !== at + length)
        throw broken('code has no scope', at);
      return length;
    }
    case TYPE.int32:
      return 4;
    case TYPE.decimal128:
      return 16;
    default:
      throw broken(`a value has the unknown type ${type}`, at);
  }
}

/** What any bytes that are no BSON throw: `corrupt`. */
export function broken(why: string, at: number): DguardError {
  return new DguardError('corrupt', `not BSON: ${why} (byte ${at})`, { operation: 'read documents' });
}
