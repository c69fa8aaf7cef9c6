import { broken } from './broken.ts';
import { checkDocument, TYPE } from './bson.ts';
import { parseDecimal } from './decimal128.ts';
import { BYTES_KEY } from './ejson-write.ts';
import { type Node, parseJsonText } from './json-text.ts';
import type { LargeLine } from './long-text.ts';
import { BsonWriter } from './writer.ts';

/**
 * Reads Extended JSON (canonical, and of the relaxed form plain numbers and dates) into the bytes of a document.
 */
export function jsonToDocument(text: string): Buffer {
  const out = new BsonWriter();
  writeJson(out, text);
  return out.written();
}

/** The same, behind what was written before. */
export function writeJson(out: BsonWriter, line: string | LargeLine): void {
  const node = parseJsonText(line);
  if (node.kind !== 'object') throw broken('a line is no object', 0);
  if (node.fields.length === 1 && node.fields[0]![0] === BYTES_KEY) writeRaw(out, node.fields[0]![1]);
  else writeObject(out, node.fields);
}

function writeObject(out: BsonWriter, fields: Iterable<readonly [string, Node]>): void {
  const start = out.skip(4);
  for (const [name, node] of fields) {
    if (name.includes('\0')) throw broken('a field name holds a zero byte', 0);
    const typeAt = out.skip(1);
    out.cstring(name);
    out.setByte(typeAt, writeValue(out, node));
  }
  out.byte(0);
  out.setInt32(start, out.at - start);
}

/** Writes a value, and returns its type. */
function writeValue(out: BsonWriter, node: Node): number {
  switch (node.kind) {
    case 'string':
      if (node.long === undefined) out.text(node.text);
      else out.longText(node.long);
      return TYPE.string;
    case 'word':
      if (node.value === null) return TYPE.null;
      out.byte(node.value ? 1 : 0);
      return TYPE.boolean;
    case 'number':
      return writeNumber(out, node.text);
    case 'array':
      writeObject(
        out,
        node.items.map((item, at) => [String(at), item] as const),
      );
      return TYPE.array;
    case 'object': {
      const type = writeWrapped(out, node);
      if (type !== undefined) return type;
      writeObject(out, node.fields);
      return TYPE.document;
    }
  }
}

/** An object of the notation's own, by its keys; undefined, and nothing written, for an ordinary one. */
function writeWrapped(out: BsonWriter, node: Extract<Node, { kind: 'object' }>): number | undefined {
  const [first, second] = node.fields;
  if (first === undefined || !first[0].startsWith('$')) return undefined;
  const [key, value] = first;
  if (
    node.fields.length === 2 &&
    key === '$code' &&
    second![0] === '$scope' &&
    second![1].kind === 'object'
  ) {
    const start = out.skip(4);
    out.text(textOf(value, key));
    writeObject(out, second![1].fields);
    out.setInt32(start, out.at - start);
    return TYPE.codeWithScope;
  }
  if (node.fields.length !== 1) return undefined;
  switch (key) {
    case '$numberDouble':
      out.bytes(double(textOf(value, key)));
      return TYPE.double;
    case '$numberInt':
      out.int32(integer(textOf(value, key), key, -(2 ** 31), 2 ** 31 - 1));
      return TYPE.int32;
    case '$numberLong':
      out.bytes(int64(textOf(value, key)));
      return TYPE.int64;
    case '$numberDecimal': {
      const bytes = parseDecimal(textOf(value, key));
      if (bytes === undefined) throw broken(`${textOf(value, key)} is no decimal`, 0);
      out.bytes(bytes);
      return TYPE.decimal128;
    }
    case '$oid':
      out.bytes(objectId(value));
      return TYPE.objectId;
    case '$date':
      out.bytes(date(value));
      return TYPE.date;
    case '$timestamp': {
      const part = (name: string) => integer(numberOf(member(value, name), name), name, 0, 2 ** 32 - 1);
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE(part('i'), 0);
      bytes.writeUInt32LE(part('t'), 4);
      out.bytes(bytes);
      return TYPE.timestamp;
    }
    case '$binary':
      writeBinary(out, value);
      return TYPE.binary;
    case '$regularExpression': {
      const part = (name: string) => {
        const text = textOf(member(value, name), name);
        if (text.includes('\0')) throw broken('a regular expression holds a zero byte', 0);
        return `${text}\0`;
      };
      out.bytes(Buffer.from(part('pattern') + part('options')));
      return TYPE.regex;
    }
    case '$dbPointer':
      out.text(textOf(member(value, '$ref'), '$ref'));
      out.bytes(oidOf(member(value, '$id')));
      return TYPE.dbPointer;
    case '$code':
      out.text(textOf(value, key));
      return TYPE.code;
    case '$symbol':
      out.text(textOf(value, key));
      return TYPE.symbol;
    case '$undefined':
      return TYPE.undefined;
    case '$minKey':
      return TYPE.minKey;
    case '$maxKey':
      return TYPE.maxKey;
    default:
      return undefined;
  }
}

function writeRaw(out: BsonWriter, node: Node): void {
  const start = out.at;
  writeBase64(out, node, BYTES_KEY);
  const bytes = out.written(start);
  checkDocument(bytes);
  if (bytes.readInt32LE(0) !== bytes.length) throw broken('its bytes are more than a document', 0);
}

function oidOf(node: Node): Buffer {
  return objectId(member(node, '$oid'));
}

function objectId(node: Node): Buffer {
  const text = textOf(node, '$oid');
  if (!/^[0-9a-f]{24}$/i.test(text)) throw broken(`${text} is no object id`, 0);
  return Buffer.from(text, 'hex');
}

function date(node: Node): Buffer {
  if (node.kind === 'object') return int64(textOf(member(node, '$numberLong'), '$numberLong'));
  const ms = node.kind === 'number' ? Number(node.text) : Date.parse(textOf(node, '$date'));
  if (!Number.isSafeInteger(ms)) throw broken('a date cannot be read', 0);
  return int64(String(ms));
}

function writeBinary(out: BsonWriter, node: Node): void {
  const content = member(node, 'base64');
  const subType = textOf(member(node, 'subType'), 'subType');
  if (!/^[0-9a-f]{1,2}$/i.test(subType)) throw broken('a binary value has no sub-type', 0);
  const type = Number.parseInt(subType, 16);
  const lengthAt = out.skip(4);
  out.byte(type);
  const start = out.at;
  // Sub-type 2 has its length once more inside.
  if (type === 2) out.skip(4);
  writeBase64(out, content, 'base64');
  if (type === 2) out.setInt32(start, out.at - start - 4);
  out.setInt32(lengthAt, out.at - start);
}

function writeBase64(out: BsonWriter, node: Node, name: string): void {
  if (node.kind === 'string' && node.long !== undefined) out.longBase64(node.long);
  else out.base64(textOf(node, name));
}

function double(text: string): Buffer {
  const bytes = Buffer.alloc(8);
  const value = text === 'NaN' ? Number.NaN : Number(text);
  if (text !== 'NaN' && (Number.isNaN(value) || text.trim() === '')) throw broken(`${text} is no number`, 0);
  bytes.writeDoubleLE(value);
  return bytes;
}

function writeNumber(out: BsonWriter, text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || Object.is(value, -0)) {
    out.bytes(double(text));
    return TYPE.double;
  }
  if (value >= -(2 ** 31) && value < 2 ** 31) {
    out.int32(value);
    return TYPE.int32;
  }
  out.bytes(int64(text));
  return TYPE.int64;
}

function int64(text: string): Buffer {
  if (!/^-?\d{1,20}$/.test(text)) throw broken(`${text} is no whole number`, 0);
  const value = BigInt(text);
  if (BigInt.asIntN(64, value) !== value) throw broken(`${text} does not fit into 64 bits`, 0);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

function integer(text: string, name: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < min || value > max)
    throw broken(`${name} is out of range: ${text}`, 0);
  return value;
}

function member(node: Node, name: string): Node {
  const found = node.kind === 'object' ? node.fields.find(([key]) => key === name) : undefined;
  if (found === undefined) throw broken(`${name} is missing`, 0);
  return found[1];
}

function textOf(node: Node, name: string): string {
  if (node.kind !== 'string') throw broken(`${name} is no text`, 0);
  return node.text;
}

function numberOf(node: Node, name: string): string {
  if (node.kind !== 'number') throw broken(`${name} is no number`, 0);
  return node.text;
}
