import {
  Binary,
  BSON,
  Code,
  DBRef,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { document, element, TYPE } from '../../../src/engines/mongodb/bson/bson.ts';

function text(value: string, encoding: BufferEncoding = 'utf8'): Buffer {
  const bytes = Buffer.concat([Buffer.from(value, encoding), Buffer.alloc(1)]);
  const length = Buffer.alloc(4);
  length.writeInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function bits(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

function encode(value: object): Buffer {
  return Buffer.from(BSON.serialize(value, { ignoreUndefined: false }));
}

const id = new ObjectId('0123456789abcdef01234567');
let next = 0;

/** A document of its own with that as its `v`. */
function withValue(type: number, value: Buffer): Buffer {
  return document([element(TYPE.int32, '_id', int32(++next)), element(type, 'v', value)]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** Every type of BSON, and what a re-encoding would lose: each a document with an `_id` of its own. */
export const DOCUMENTS: Readonly<Record<string, Buffer>> = {
  common: encode({
    _id: id,
    double: new Double(1.5),
    wholeDouble: new Double(3),
    minusZero: new Double(-0),
    infinity: new Double(Number.POSITIVE_INFINITY),
    minusInfinity: new Double(Number.NEGATIVE_INFINITY),
    nan: new Double(Number.NaN),
    tiny: new Double(5e-324),
    large: new Double(1.7976931348623157e308),
    int32: new Int32(3),
    least: new Int32(-(2 ** 31)),
    int64: Long.fromString('9007199254740993'),
    smallInt64: Long.fromNumber(3),
    minInt64: Long.fromString('-9223372036854775808'),
    decimal: Decimal128.fromString('1.00'),
    decimalLarge: Decimal128.fromString('-9.999999999999999999999999999999999E+6144'),
    decimalTiny: Decimal128.fromString('1E-6176'),
    decimalNaN: Decimal128.fromString('NaN'),
    decimalInfinity: Decimal128.fromString('-Infinity'),
    decimalMinusZero: Decimal128.fromString('-0.0'),
    string: 'Grüße "\\\n\u0001\u2028😀',
    empty: '',
    document: { b: 1, a: { c: [] } },
    emptyDocument: {},
    array: [1, 'two', null, [[]], { x: true }],
    binary: new Binary(Buffer.from([0, 1, 2, 255])),
    uuid: new Binary(Buffer.alloc(16, 7), 4),
    userDefined: new Binary(Buffer.from('x'), 0x80),
    emptyBinary: new Binary(Buffer.alloc(0)),
    objectId: id,
    true: true,
    false: false,
    date: new Date(0),
    before: new Date('0001-01-01T00:00:00.123Z'),
    null: null,
    regex: new BSON.BSONRegExp('^a/b"\\d+$', 'im'),
    ref: new DBRef('other', id, 'elsewhere'),
    code: new Code('function () { return "x"; }'),
    scoped: new Code('f', { y: 1 }),
    timestamp: new Timestamp({ t: 4_000_000_000, i: 7 }),
    emptyTimestamp: new Timestamp({ t: 0, i: 0 }),
    minKey: new MinKey(),
    maxKey: new MaxKey(),
    'with.dot': 1,
    $dollar: 2,
    '': 'empty name',
    '10': 'after',
    '2': 'order of names like numbers',
  }),
  undefined: withValue(TYPE.undefined, Buffer.alloc(0)),
  symbol: withValue(TYPE.symbol, text('sym')),
  dbPointer: withValue(TYPE.dbPointer, Buffer.concat([text('db.c'), Buffer.alloc(12, 5)])),
  oldBinary: withValue(TYPE.binary, Buffer.concat([int32(6), bits('02'), int32(2), bits('abcd')])),
  nanWithPayload: withValue(TYPE.double, bits('010000000000f87f')),
  signallingNaN: withValue(TYPE.double, bits('010000000000f07f')),
  twiceTheSameKey: document([
    element(TYPE.int32, '_id', int32(++next)),
    element(TYPE.int32, 'a', int32(1)),
    element(TYPE.string, 'a', text('again')),
  ]),
  likeExtendedJson: encode({ _id: ++next, v: { $numberInt: '5' }, w: { $oid: 'x', y: 1 }, x: { $date: {} } }),
  operators: encode({ _id: ++next, v: { $jsonSchema: { $and: [{ $ref: 1 }] } } }),
  arrayWithOtherKeys: withValue(
    TYPE.array,
    document([element(TYPE.int32, '5', int32(1)), element(TYPE.int32, 'x', int32(2))]),
  ),
  decimalBeyond: withValue(TYPE.decimal128, bits('ffffffffffffffffffffffffffff6300')),
  farDate: withValue(TYPE.date, bits('ffffffffffffff7f')),
};

/** Documents that servers may refuse to store, and a file may hold nevertheless. */
export const ODD_DOCUMENTS: Readonly<Record<string, Buffer>> = {
  notUtf8: withValue(TYPE.string, text('\xff\xfe', 'latin1')),
  ownKey: encode({ $dguardBson: 'x', b: 1 }),
  noFields: document([]),
  scopesInScopes: scopes(150),
};

/** Code whose scope holds code, and so on: in Extended JSON twice as deep as in BSON. */
function scopes(depth: number): Buffer {
  if (depth === 0) return document([]);
  const [code, scope] = [text('f'), scopes(depth - 1)];
  const value = Buffer.concat([int32(4 + code.length + scope.length), code, scope]);
  return document([element(TYPE.codeWithScope, 'f', value)]);
}
