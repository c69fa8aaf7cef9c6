import type { Db } from 'mongodb';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { MongodbServer } from '../../services/mongodb.mjs';
import { type Bench, backUp, makeBench, picture } from './support.ts';

export type Row = { _id: number; f?: string };

/** A backup, and before each test a target that holds something else, some of it under the same names. */
export function useReplaced(server: () => MongodbServer) {
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, unknown>;
  let target: Db;

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgx_');
    const source = bench.db('dgx_new');
    await source
      .collection<Row>('a')
      .insertMany(Array.from({ length: 1500 }, (_, i) => ({ _id: i, f: 'new' })));
    await source.collection<Row>('b').insertOne({ _id: 1, f: 'new' });
    await source.collection<Row>('only_new').insertOne({ _id: 1 });
    await source.collection('a').createIndex({ f: 1, _id: -1 }, { name: 'by_f' });
    // FerretDB cannot rename what has a dot in its name: it is copied, as no server can rename a time series.
    await source.collection<Row>('dot.ted').insertMany([{ _id: 1, f: 'new' }, { _id: 2 }]);
    await source.collection('dot.ted').createIndex({ f: -1 }, { name: 'dot_f' });
    await source.collection<Row>('dot.new').insertOne({ _id: 7 });
    content = await backUp(bench.source('dgx_new'));
    after = await picture(source);
    target = bench.db('dgx_target');
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    await old();
  });
  afterAll(() => bench?.remove());

  /** The target as it was before a restore. */
  async function old(): Promise<void> {
    await target.dropDatabase();
    await target.collection<Row>('a').insertOne({ _id: 1, f: 'old' });
    await target.collection<Row>('b').insertMany([{ _id: 1, f: 'old' }, { _id: 2 }]);
    await target.collection<Row>('only_old').insertOne({ _id: 1 });
    await target.collection('b').createIndex({ f: 1 }, { name: 'old_f' });
    await target.collection<Row>('dot.ted').insertMany([
      { _id: 1, f: 'old' },
      { _id: 5, f: 'old' },
    ]);
    await target.collection<Row>('dot.old').insertOne({ _id: 1 });
  }
  return {
    get bench() {
      return bench;
    },
    get content() {
      return content;
    },
    /** What the target is after a restore. */
    get after() {
      return after;
    },
    get target() {
      return target;
    },
    old,
  };
}
