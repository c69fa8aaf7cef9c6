import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Db } from 'mongodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { renamedInfo } from '../../../src/engines/mongodb/server/catalog.ts';
import { maxNamespaceBytes, scratchNames } from '../../../src/engines/mongodb/server/names.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import {
  type Bench,
  backUp,
  describeWithMongodb,
  dumpRequest,
  makeBench,
  ownNames,
  picture,
} from './support.ts';

describe('mongodb: what collections are called in a scratch database', () => {
  const database = 'd'.repeat(63);

  it('those that every server has room for keep their names, the others get different ones', () => {
    const long = ['x'.repeat(60), 'ü'.repeat(90), '__dguard', '__dg_long_1'];
    const names = scratchNames(database, ['a', 'a.b', ...long]);
    expect(names.get('a')).toBe('a');
    expect(names.get('a.b')).toBe('a.b');
    expect(names.get('__dg_long_1')).toBe('__dg_long_1');
    const values = [...names.values()];
    expect(new Set(values).size).toBe(6);
    for (const name of values) {
      expect(name).not.toBe('__dguard');
      expect(Buffer.byteLength(`${database}.system.buckets.${name}`)).toBeLessThanOrEqual(120);
    }
  });

  it('a view is on the collection that was called otherwise, and back', async () => {
    const { BSON } = await import('mongodb');
    const options = { viewOn: 'x'.repeat(200), pipeline: [{ $match: { a: 1 } }] };
    const info = {
      name: 'v',
      type: 'view',
      options: Buffer.from(BSON.serialize(options)),
      indexes: [],
    } as const;
    const names = scratchNames(database, ['v', options.viewOn]);
    const there = renamedInfo(info, names);
    expect(BSON.deserialize(there.options)).toEqual({ ...options, viewOn: '__dg_long_0' });
    const back = renamedInfo(there, new Map([...names].map(([name, scratch]) => [scratch, name])));
    expect(back).toEqual(info);
  });
});

describeWithMongodb("mongodb: names that are long, and dguard's own", (server) => {
  let bench: Bench;
  let source: Db;
  let target: Db;
  const name = 'dgl_s';
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgl_');
    source = bench.db(name);
    target = bench.db('dgl_t');
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    await source.dropDatabase();
    await target.dropDatabase();
  });
  afterAll(() => bench?.remove());

  async function longestName(): Promise<string> {
    const { versionArray, ferretdb } = await bench.client.db('admin').command({ buildInfo: 1 });
    const max = maxNamespaceBytes(ferretdb === undefined ? 'MongoDB' : 'FerretDB', versionArray);
    return 'x'.repeat(max - name.length - 1);
  }

  it('collections with the longest names are proven by a test restore, and restored', async () => {
    const longest = await longestName();
    await source.collection(longest).insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
    await source.collection(longest).createIndex({ a: 1 }, { name: 'by_a', unique: true, sparse: true });
    await source.collection(`${longest.slice(1)}y`).insertOne({ _id: 3 as never });
    const content = await backUp(bench.source(name));
    const scratch = await mongodbEngine.restore(content, bench.request(name, { scratch: true }));
    expect(scratch.tables).toEqual([
      { name: longest, rows: 2 },
      { name: `${longest.slice(1)}y`, rows: 1 },
    ]);
    expect(await bench.names()).toEqual([name]);
    await mongodbEngine.restore(content, bench.request('dgl_t', { toDatabase: 'dgl_t' }));
    expect(await picture(target)).toEqual(await picture(source));
  });

  it('a database in which the names have no room is refused before anything is loaded', async () => {
    await source.collection(await longestName()).insertOne({ _id: 1 as never });
    const content = await backUp(bench.source(name));
    const toDatabase = 'dgl_longer';
    const error = await errorOf(mongodbEngine.restore(content, bench.request(toDatabase, { toDatabase })));
    expect(error).toMatchObject({ code: 'target_refused', hint: expect.stringContaining('--to-database') });
    expect(await bench.names()).toEqual([name]);
  });

  it('an empty collection of marks that a killed command left is in no backup', async () => {
    await source.createCollection('__dguard');
    await source.collection('a').insertOne({ _id: 1 as never });
    const content = await backUp(bench.source(name));
    expect(content.facts.tables_count).toBe(1);
    await mongodbEngine.restore(content, bench.request('dgl_t', { toDatabase: 'dgl_t' }));
    expect(Object.keys(await picture(target))).toEqual(['a']);
    expect(await ownNames(target)).toEqual([]);
    expect(bench.warnings).toEqual([]);
  });

  it('documents of somebody else among the marks are not backed up, and it says so', async () => {
    await source.collection('__dguard').insertOne({ theirs: true });
    await source.collection('a').insertOne({ _id: 1 as never });
    const dump = await mongodbEngine.dump(bench.source(name), dumpRequest());
    await dump.close();
    expect(bench.warnings).toMatchObject([{ partial: true, message: expect.stringContaining('__dguard') }]);
  });

  it('a dump that mongodump made beside an undo copy brings neither that nor its journal', async () => {
    await source.collection('a').insertOne({ _id: 1 as never });
    const content = await backUp(bench.source(name));
    await target.collection('a').insertOne({ _id: 9 as never });
    await mongodbEngine.restore(content, bench.request('dgl_t', { toDatabase: 'dgl_t', overwrite: true }));
    expect(await ownNames(target)).toHaveLength(2);
    // As mongodump would write it: every collection, those of dguard too.
    const folder = join(bench.folder, 'dump', 'dgl_t');
    mkdirSync(folder, { recursive: true });
    const { BSON } = await import('mongodb');
    for (const { name: collection } of await target.listCollections().toArray()) {
      const documents = await target.collection(collection).find().toArray();
      writeFileSync(
        join(folder, `${collection}.bson`),
        Buffer.concat(documents.map((one) => BSON.serialize(one))),
      );
      const metadata = { options: {}, indexes: [], collectionName: collection, type: 'collection' };
      writeFileSync(join(folder, `${collection}.metadata.json`), JSON.stringify(metadata));
    }
    const { signal, warn } = bench.target('dgl_t');
    const opened = await mongodbEngine.openDump!(join(bench.folder, 'dump'), { signal, warn });
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/not restored, .*__dg_undo_[0-9a-f]{8}_a, __dguard/),
    ]);
    await mongodbEngine.restore(
      opened.content as BackupContent,
      bench.request('dgl_u', { toDatabase: 'dgl_u' }),
    );
    expect(await ownNames(bench.db('dgl_u'))).toEqual([]);
    expect(Object.keys(await picture(bench.db('dgl_u')))).toEqual(['a']);
  });
});
