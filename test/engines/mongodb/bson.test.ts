import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { BSON, Decimal128 } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { createFingerprint } from '../../../src/engines/jsonl/fingerprint.ts';
import { checkDocument, document, elements, field, without } from '../../../src/engines/mongodb/bson/bson.ts';
import { decimalText, parseDecimal } from '../../../src/engines/mongodb/bson/decimal128.ts';
import { jsonToDocument, writeJson } from '../../../src/engines/mongodb/bson/ejson-read.ts';
import { documentLines, documentToJson } from '../../../src/engines/mongodb/bson/ejson-write.ts';
import { jsonLines } from '../../../src/engines/mongodb/bson/json-lines.ts';
import { documentsOfPack, packDocuments } from '../../../src/engines/mongodb/bson/pack.ts';
import { BsonWriter } from '../../../src/engines/mongodb/bson/writer.ts';
import { readParts } from '../../../src/engines/mongodb/dump/content.ts';
import { openDumpFolder } from '../../../src/engines/mongodb/dump/folder.ts';
import { documentsPath } from '../../../src/engines/mongodb/dump/members.ts';
import { metadataText, parseMetadata } from '../../../src/engines/mongodb/server/metadata.ts';
import {
  besideCollection,
  fileStem,
  scratchDatabase,
  stemCollection,
} from '../../../src/engines/mongodb/server/names.ts';
import { commandValue } from '../../../src/engines/mongodb/server/raw.ts';
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

describe('mongodb: metadata of collections', () => {
  const options = (value: object) => Buffer.from(BSON.serialize(value));
  const CAPPED = { capped: true, size: 4096, max: new BSON.Long(10) };
  const KINDS: readonly (readonly [string, 'collection' | 'view' | 'timeseries', object])[] = [
    ['capped', 'collection', CAPPED],
    [
      'validated',
      'collection',
      { validator: { $jsonSchema: { required: ['a'] } }, validationLevel: 'strict' },
    ],
    ['collated', 'collection', { collation: { locale: 'de', strength: 1 } }],
    ['clustered', 'collection', { clusteredIndex: { v: 2, key: { _id: 1 }, name: 'c', unique: true } }],
    ['view', 'view', { viewOn: 'a', pipeline: [{ $match: { '10': 1, '2': { $gt: new BSON.Double(1) } } }] }],
    [
      'series',
      'timeseries',
      {
        timeseries: { timeField: 't', metaField: 'm', granularity: 'minutes' },
        expireAfterSeconds: BSON.Long.fromNumber(60),
      },
    ],
    ['images', 'collection', { changeStreamPreAndPostImages: { enabled: true } }],
  ];
  const INDEXES = [
    { v: 2, key: { _id: 1 }, name: '_id_' },
    {
      v: 2,
      key: new Map<string, unknown>([
        ['b', 1],
        ['10', -1],
        ['2', '2dsphere'],
      ]),
      name: 'compound',
      sparse: true,
    },
    {
      v: 2,
      key: { t: 1 },
      name: 'ttl',
      expireAfterSeconds: 5,
      partialFilterExpression: { a: { $exists: true } },
    },
    { v: 2, key: { _fts: 'text', _ftsx: 1 }, name: 'text', weights: { a: 10 }, textIndexVersion: 3 },
    { v: 2, key: { '$**': 1 }, name: 'wild', wildcardProjection: { a: 0 } },
  ].map(options);

  it.each(KINDS)(
    '%s: options and indexes come back byte for byte, with what was dumped',
    (name, type, value) => {
      const info = { name, type, options: options(value), indexes: INDEXES, uuid: 'a'.repeat(32) };
      const dumped = { documents: 7, bytes: 2 ** 40, sum: 'f'.repeat(32) };
      const parsed = parseMetadata(metadataText(info, dumped), 'x', undefined);
      expect(parsed).toEqual({ info, dumped });
      // Others read it as strictly as they can.
      BSON.EJSON.parse(metadataText(info, dumped), { relaxed: false });
    },
  );

  it('what a command is given has the same bytes', async () => {
    for (const bytes of [...INDEXES, ...KINDS.map(([, , value]) => options(value))]) {
      expect(Buffer.from(BSON.serialize(await commandValue(bytes)))).toEqual(bytes);
    }
    const { undefined: _, symbol: __, dbPointer: ___, ...values } = DOCUMENTS;
    const common = without(values['common']!, ['ref']);
    expect(Buffer.from(BSON.serialize(await commandValue(common))).toString('hex')).toBe(
      common.toString('hex'),
    );
    expect(field(common, 'ref')).toBeUndefined();
  });

  it('reads what mongodump of any age wrote', () => {
    const old = parseMetadata(
      '{"options":{},"indexes":[{"v":1,"key":{"_id":1},"name":"_id_","ns":"a.b"}]}',
      'x',
      'b',
    );
    expect(old.info).toMatchObject({ name: 'b', type: 'collection' });
    const view = parseMetadata('{"options":{"viewOn":"a","pipeline":[]},"indexes":[]}', 'x', 'v');
    expect(view.info.type).toBe('view');
    expect(() => parseMetadata('{}', 'x', undefined)).toThrow(/does not name its collection/);
    expect(() => parseMetadata('no', 'x', 'b')).toThrow(/not Extended JSON/);
  });
});

describe('mongodb: names', () => {
  it.each([
    ['users', 'users'],
    ['fs.files', 'fs.files'],
    ['a b+c', 'a+b%2Bc'],
    ["it's (not) *!", 'it%27s+%28not%29+%2A%21'],
    ['ä/%', '%C3%A4%2F%25'],
    ['$x~_-', '%24x~_-'],
  ])('%s is the file %s, as mongodump calls it', (collection, stem) => {
    expect(fileStem(collection)).toBe(stem);
    expect(stemCollection(stem)).toBe(collection);
  });

  it('cuts what is longer than a file name as mongodump does', () => {
    const stem = fileStem('ü'.repeat(120));
    expect(stem).toHaveLength(238);
    expect(stem).toMatch(/%24[\w-]{27}$/);
    expect(stemCollection(stem)).toBeUndefined();
  });

  it('names beside others fit, and stay apart', () => {
    const database = 'd'.repeat(60);
    const names = ['a', 'a.b', 'a_b', 'ü'.repeat(100), `${'ü'.repeat(100)}x`].map((name) =>
      besideCollection(database, 'undo', '12345678', name),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) {
      expect(Buffer.byteLength(`${database}.${name}`)).toBeLessThanOrEqual(120);
      expect(name).toMatch(/^__dg_undo_12345678_[^.]+$/);
    }
    expect(Buffer.byteLength(scratchDatabase('ü'.repeat(31), '12345678'))).toBeLessThanOrEqual(63);
  });
});

describe('very large documents as lines', () => {
  const MIB = 1024 * 1024;
  const of = (value: object) => Buffer.from(BSON.serialize(value));
  const read = async (text: Buffer, step: number): Promise<Buffer[]> => {
    const out = new BsonWriter();
    const found: Buffer[] = [];
    async function* chunks() {
      for (let at = 0; at < text.length; at += step) yield text.subarray(at, at + step);
    }
    for await (const lines of jsonLines(chunks())) {
      for (const line of lines) {
        writeJson(out, line);
        found.push(Buffer.from(out.written()));
        out.clear();
      }
    }
    return found;
  };
  const documents = [
    of({ a: 1 }),
    of({ _id: 1, text: 'é😀 "quoted"\\ \n'.repeat(MIB / 12), after: [1, 'x'] }),
    of({ b: new BSON.Binary(noise(3 * MIB + 1, 1)), s: 'short', t: 'y'.repeat(70_000) }),
    of({ b: new BSON.Binary(noise(2 * MIB, 2), 2), ['n'.repeat(100_000)]: '\n'.repeat(2 * MIB) }),
    // A text that is not UTF-8: the document is its bytes.
    (() => {
      const bytes = of({ t: 'z'.repeat(2 * MIB), last: 'x' });
      bytes[bytes.length - 3] = 0xff;
      return bytes;
    })(),
    of({ many: Array.from({ length: 60_000 }, (_, i) => `text ${i}`) }),
    // Short texts that begin with a NUL.
    of({ b: noise(2 * MIB, 4).toString('latin1'), nul: '\0' + '0', other: ['\0' + '1', '\0'] }),
    of({ z: -0 }),
  ];

  it('are written piece by piece as they are as texts, and come back the same however they are cut', async () => {
    const pieces = [...documentLines(Buffer.concat(documents))];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2 * MIB);
    const lines = Buffer.concat(pieces);
    expect(lines.equals(Buffer.from(documents.map((one) => `${documentToJson(one)}\n`).join('')))).toBe(true);
    for (const step of [4 * MIB, 99_991, 256 * 1024]) {
      const back = await read(lines, step);
      expect(back.map((one, at) => one.equals(documents[at]!))).toEqual(documents.map(() => true));
    }
    expect(await read(lines.subarray(0, -1), MIB)).toHaveLength(documents.length);
  });

  it('as others write them: escaped slashes and pairs, wherever a piece ends', async () => {
    for (let shift = 0; shift < 12; shift++) {
      const pair = String.raw`\ud83d\ude00`;
      const text = `${'a'.repeat(shift)}${pair.repeat(100_000)}`;
      const base64 = noise(1_200_000, 3).toString('base64');
      const line = `{"t":"${text}","b":{"$binary":{"base64":"${base64.replaceAll('/', String.raw`\/`)}","subType":"00"}}}\n`;
      const [back] = await read(Buffer.from(line), MIB);
      const expected = of({ t: `${'a'.repeat(shift)}${'😀'.repeat(100_000)}`, b: noise(1_200_000, 3) });
      expect(back!.equals(expected), `${shift}`).toBe(true);
    }
  });

  it.each([
    ['a text that does not end', `{"a":"${'x'.repeat(2 * MIB)}`],
    ['an escape that is none', `{"a":"${'x'.repeat(2 * MIB)}\\q"}`],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(`{"a":"${'x'.repeat(2 * MIB)}`), Buffer.from([0xff, 0x22, 0x7d])]),
    ],
  ])('%s is corrupt', async (_, line) => {
    await expect(read(Buffer.from(line), MIB)).rejects.toMatchObject({ code: 'corrupt' });
  });
});

it('metadata of a dump that are much larger than their file are not taken into memory', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-metadata-'));
  try {
    writeFileSync(join(folder, 'x.bson'), '');
    // 96 MB in 100 KB.
    writeFileSync(join(folder, 'x.metadata.json.gz'), gzipSync(Buffer.alloc(96_000_000, ' ')));
    const signal = new AbortController().signal;
    const { content } = await openDumpFolder(folder, { signal, warn: () => {} });
    await expect(readParts(content)).rejects.toMatchObject({
      code: 'corrupt',
      message: 'it is too large',
      subject: `${basename(folder)}/x.metadata.json`,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('a time series whose name is cut in files has its documents in a file with a cut of its own', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-series-'));
  try {
    const name = '温度'.repeat(13);
    const info = { name, type: 'timeseries', options: document([]), indexes: [] } as const;
    const file = basename(documentsPath('x', info)!);
    expect(file).not.toContain(fileStem(name));
    writeFileSync(join(folder, file), '');
    const metadata = { indexes: [], collectionName: name, type: 'timeseries' };
    writeFileSync(join(folder, `${fileStem(name)}.metadata.json`), JSON.stringify(metadata));
    const signal = new AbortController().signal;
    const { content } = await openDumpFolder(folder, { signal, warn: () => {} });
    expect(await readParts(content)).toMatchObject([{ info: { name, type: 'timeseries' }, format: 'bson' }]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
