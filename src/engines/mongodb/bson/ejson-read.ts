import { checkDocument, document, element, TYPE } from './bson.ts';
import { parseDecimal } from './decimal128.ts';
import { BYTES_KEY } from './ejson-write.ts';
import { broken, type Node, parseJsonText } from './json-text.ts';

/**
 * Reads Extended JSON (canonical, and of the relaxed form plain numbers and dates) into the bytes of a document.
 */
export function jsonToDocument(text: string): Buffer {
  const node = parseJsonText(text);
  if (node.kind !== 'object') throw broken('a line is no object', 0);
  if (node.fields.length === 1 && node.fields[0]![0] === BYTES_KEY) return rawBytes(node.fields[0]![1]);
  return encodeObject(node);
}

function encodeObject(node: Extract<Node, { kind: 'object' }>): Buffer {
  return document(node.fields.map(([name, value]) => encodeElement(name, value)));
}

function encodeElement(name: string, node: Node): Buffer {
  if (name.includes('\0')) throw broken('a field name holds a zero byte', 0);
  const { type, bytes } = encodeValue(node);
  return element(type, name, bytes);
}

interface Value {
  readonly type: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);

function encodeValue(node: Node): Value {
  switch (node.kind) {
    case 'string':
      return { type: TYPE.string, bytes: textBytes(node.text) };
    case 'word':
      if (node.value === null) return { type: TYPE.null, bytes: NOTHING };
      return { type: TYPE.boolean, bytes: Buffer.from([node.value ? 1 : 0]) };
    case 'number':
      return plainNumber(node.text);
    case 'array':
      return {
        type: TYPE.array,
        bytes: document(node.items.map((item, at) => encodeElement(String(at), item))),
      };
    case 'object':
      return wrapped(node) ?? { type: TYPE.document, bytes: encodeObject(node) };
  }
}

/** An object of the notation's own, by its keys; undefined for an ordinary one. */
function wrapped(node: Extract<Node, { kind: 'object' }>): Value | undefined {
  const [first, second] = node.fields;
  if (first === undefined || !first[0].startsWith('$')) return undefined;
  const [key, value] = first;
  if (
    node.fields.length === 2 &&
    key === '$code' &&
    second![0] === '$scope' &&
    second![1].kind === 'object'
  ) {
    const body = Buffer.concat([textBytes(textOf(value, key)), encodeObject(second![1])]);
    return { type: TYPE.codeWithScope, bytes: Buffer.concat([int32(body.length + 4), body]) };
  }
  if (node.fields.length !== 1) return undefined;
  switch (key) {
    case '$numberDouble':
      return { type: TYPE.double, bytes: double(textOf(value, key)) };
    case '$numberInt':
      return { type: TYPE.int32, bytes: int32(integer(textOf(value, key), key, -(2 ** 31), 2 ** 31 - 1)) };
    case '$numberLong':
      return { type: TYPE.int64, bytes: int64(textOf(value, key)) };
    case '$numberDecimal': {
      const bytes = parseDecimal(textOf(value, key));
      if (bytes === undefined) throw broken(`${textOf(value, key)} is no decimal`, 0);
      return { type: TYPE.decimal128, bytes };
    }
    case '$oid':
      return { type: TYPE.objectId, bytes: objectId(value) };
    case '$date':
      return { type: TYPE.date, bytes: date(value) };
    case '$timestamp': {
      const part = (name: string) => integer(numberOf(member(value, name), name), name, 0, 2 ** 32 - 1);
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE(part('i'), 0);
      bytes.writeUInt32LE(part('t'), 4);
      return { type: TYPE.timestamp, bytes };
    }
    case '$binary':
      return { type: TYPE.binary, bytes: binary(value) };
    case '$regularExpression': {
      const part = (name: string) => {
        const text = textOf(member(value, name), name);
        if (text.includes('\0')) throw broken('a regular expression holds a zero byte', 0);
        return `${text}\0`;
      };
      return { type: TYPE.regex, bytes: Buffer.from(part('pattern') + part('options')) };
    }
    case '$dbPointer':
      return {
        type: TYPE.dbPointer,
        bytes: Buffer.concat([textBytes(textOf(member(value, '$ref'), '$ref')), oidOf(member(value, '$id'))]),
      };
    case '$code':
      return { type: TYPE.code, bytes: textBytes(textOf(value, key)) };
    case '$symbol':
      return { type: TYPE.symbol, bytes: textBytes(textOf(value, key)) };
    case '$undefined':
      return { type: TYPE.undefined, bytes: NOTHING };
    case '$minKey':
      return { type: TYPE.minKey, bytes: NOTHING };
    case '$maxKey':
      return { type: TYPE.maxKey, bytes: NOTHING };
    default:
      return undefined;
  }
}

function rawBytes(node: Node): Buffer {
  const bytes = Buffer.from(textOf(node, BYTES_KEY), 'base64');
  checkDocument(bytes);
  if (bytes.readInt32LE(0) !== bytes.length) throw broken('its bytes are more than a document', 0);
  return bytes;
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

function binary(node: Node): Buffer {
  const content = Buffer.from(textOf(member(node, 'base64'), 'base64'), 'base64');
  const subType = textOf(member(node, 'subType'), 'subType');
  if (!/^[0-9a-f]{1,2}$/i.test(subType)) throw broken('a binary value has no sub-type', 0);
  const type = Number.parseInt(subType, 16);
  // Sub-type 2 has its length once more inside.
  const bytes = type === 2 ? Buffer.concat([int32(content.length), content]) : content;
  return Buffer.concat([int32(bytes.length), Buffer.from([type]), bytes]);
}

function double(text: string): Buffer {
  const bytes = Buffer.alloc(8);
  const value = text === 'NaN' ? Number.NaN : Number(text);
  if (text !== 'NaN' && (Number.isNaN(value) || text.trim() === '')) throw broken(`${text} is no number`, 0);
  bytes.writeDoubleLE(value);
  return bytes;
}

function plainNumber(text: string): Value {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && !Object.is(value, -0)) {
    if (value >= -(2 ** 31) && value < 2 ** 31) return { type: TYPE.int32, bytes: int32(value) };
    return { type: TYPE.int64, bytes: int64(text) };
  }
  return { type: TYPE.double, bytes: double(text) };
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
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

function textBytes(text: string): Buffer {
  const bytes = Buffer.from(`${text}\0`);
  return Buffer.concat([int32(bytes.length), bytes]);
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
