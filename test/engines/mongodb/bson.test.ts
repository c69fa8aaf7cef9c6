import { BSON, Decimal128 } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { createFingerprint } from '../../../src/engines/jsonl/fingerprint.ts';
import { checkDocument, elements } from '../../../src/engines/mongodb/bson/bson.ts';
import { decimalText, parseDecimal } from '../../../src/engines/mongodb/bson/decimal128.ts';
import { jsonToDocument } from '../../../src/engines/mongodb/bson/ejson-read.ts';
import { documentToJson } from '../../../src/engines/mongodb/bson/ejson-write.ts';
import { documentsOfPack, packDocuments } from '../../../src/engines/mongodb/bson/pack.ts';
import { noise } from '../../archive/support.ts';
import { DOCUMENTS, ODD_DOCUMENTS } from './support-values.ts';

const ALL = { ...DOCUMENTS, ...ODD_DOCUMENTS };

describe('mongodb: BSON as bytes', () => {
  it.each(Object.entries(ALL))(
    '%s: walked to its end, and back from Extended JSON byte for byte',
    (_, bytes) => {
      checkDocument(bytes);
      expect([...elements(bytes)].at(-1)?.end ?? 4).toBe(bytes.length - 1);
      const json = documentToJson(bytes);
      expect(json).not.toContain('\n');
      JSON.parse(json);
      expect(jsonToDocument(json).toString('hex')).toBe(bytes.toString('hex'));
    },
  );

  it('writes the canonical form that other tools read, and reads what they write', () => {
    const readable = Object.entries(DOCUMENTS).filter(
      ([name, bytes]) =>
        !documentToJson(bytes).includes('$dguardBson') &&
        !['symbol', 'dbPointer', 'twiceTheSameKey', 'undefined'].includes(name),
    );
    expect(readable.length).toBeGreaterThan(3);
    for (const [name, bytes] of readable) {
      const foreign = BSON.EJSON.parse(documentToJson(bytes), { relaxed: false });
      const values = BSON.deserialize(bytes, { promoteValues: false, bsonRegExp: true });
      if (name === 'farDate') continue;
      expect(BSON.EJSON.stringify(foreign, { relaxed: false }), name).toBe(
        BSON.EJSON.stringify(values, { relaxed: false }),
      );
    }
    expect(
      jsonToDocument(
        '{"a": 5, "b": 5.5, "c": 5000000000, "d": {"$date": "2020-01-02T03:04:05Z"}, "e": -0.0}',
      ),
    ).toEqual(
      Buffer.from(
        BSON.serialize({
          a: new BSON.Int32(5),
          b: 5.5,
          c: BSON.Long.fromNumber(5e9),
          d: new Date('2020-01-02T03:04:05Z'),
          e: new BSON.Double(-0),
        }),
      ),
    );
  });

  it('only what the notation cannot say is written as bytes', () => {
    const asBytes = Object.entries(ALL).filter(([, bytes]) => documentToJson(bytes).includes('$dguardBson'));
    expect(asBytes.map(([name]) => name)).toEqual([
      'nanWithPayload',
      'signallingNaN',
      'likeExtendedJson',
      'arrayWithOtherKeys',
      'decimalBeyond',
      'notUtf8',
      'ownKey',
      'scopesInScopes',
    ]);
  });

  it('every decimal of ours is the driver’s, and what does not fit is refused, not rounded', () => {
    for (const text of [
      '0',
      '-0',
      '1.00',
      '1E+3',
      '0.001',
      '1E-7',
      '123456789012345678901234567890.1234',
      '0E-6176',
      '0E+6111',
      '1E+6144',
      '-1.5E-10',
    ])
      expect(parseDecimal(text)?.toString('hex'), text).toBe(
        Buffer.from(Decimal128.fromString(text).bytes).toString('hex'),
      );
    for (let seed = 1; seed <= 300; seed++) {
      const bytes = noise(16, seed);
      expect(decimalText(bytes), bytes.toString('hex')).toBe(new Decimal128(bytes).toString());
    }
    expect(parseDecimal('12345678901234567890123456789012345')).toBeUndefined();
    expect(parseDecimal('1E+6145')).toBeUndefined();
    expect(parseDecimal('x')).toBeUndefined();
  });

  it.each([
    '',
    '{',
    '[]',
    '{"a":}',
    '{"a":1,}',
    '{"a":1} x',
    '{"a":{"$numberInt":"2147483648"}}',
    '{"a":{"$numberLong":"9223372036854775808"}}',
    '{"a":{"$oid":"12"}}',
    '{"a":{"$binary":{"base64":"eA=="}}}',
    '{"a":{"$numberDouble":"wide"}}',
    '{"$dguardBson":"AAAA"}',
    `{"a":${'['.repeat(300)}${']'.repeat(300)}}`,
  ])('refuses %j', (text) => {
    expect(() => jsonToDocument(text)).toThrow(/not (Extended JSON|BSON)/);
  });

  it('a document that lies about its lengths, at any byte, is refused or walked, never read past its end', () => {
    const bytes = DOCUMENTS['common']!;
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0x00, 0x7f, 0xff]) {
        const broken = Buffer.from(bytes);
        broken[at] = value;
        try {
          checkDocument(broken);
        } catch (error) {
          expect(error).toMatchObject({ code: 'corrupt' });
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(200);
    const deep = (levels: number): Buffer =>
      levels === 0
        ? DOCUMENTS['undefined']!
        : Buffer.from(BSON.serialize({ a: BSON.deserialize(deep(levels - 1)) }));
    checkDocument(deep(20));
  });

  it('documents of a stream that is cut anywhere', async () => {
    const limits = { maxBytes: 100, maxDocuments: 3, room: 7 };
    const all = Buffer.concat(Object.values(ALL));
    for (const size of [1, 7, 4096]) {
      const found: string[] = [];
      for await (const pack of packDocuments(cut(all, size), limits))
        found.push(...[...documentsOfPack(pack)].map((one) => one.toString('hex')));
      expect(found).toEqual(Object.values(ALL).map((one) => one.toString('hex')));
    }
    const read = async (bytes: Buffer) => {
      for await (const _ of packDocuments(cut(bytes, 100), limits));
    };
    await expect(read(all.subarray(0, -1))).rejects.toThrow(/cut short/);
    await expect(read(Buffer.alloc(10))).rejects.toThrow(/document of 0 bytes/);
    await expect(read(Buffer.from('ffffff7f00', 'hex'))).rejects.toThrow(/document of 2147483647 bytes/);
  });

  it('the hash of a collection does not depend on the order, and on nothing else', () => {
    const sum = (documents: readonly Buffer[]) => {
      const print = createFingerprint();
      for (const one of documents) print.add(one);
      return print.sum();
    };
    const documents = Object.values(ALL);
    expect(sum([...documents].reverse())).toBe(sum(documents));
    expect(sum(documents.slice(1))).not.toBe(sum(documents));
    expect(sum([...documents, documents[0]!])).not.toBe(sum(documents));
    expect(sum([documents[0]!, documents[0]!])).not.toBe(sum([documents[1]!, documents[1]!]));
  });
});

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array[]> {
  // One buffer, overwritten: a chunk is only valid until the next is asked for.
  const chunk = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    const length = bytes.copy(chunk, 0, at, at + size);
    yield [chunk.subarray(0, length)];
  }
}
