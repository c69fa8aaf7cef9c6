import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { BSON } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { field, without } from '../../../src/engines/mongodb/bson/bson.ts';
import { readParts } from '../../../src/engines/mongodb/dump/content.ts';
import { openDumpFolder } from '../../../src/engines/mongodb/dump/folder.ts';
import { metadataText, parseMetadata } from '../../../src/engines/mongodb/server/metadata.ts';
import { commandValue } from '../../../src/engines/mongodb/server/raw.ts';
import { DOCUMENTS } from './support-values.ts';

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
