import { BSON, Double, Int32 } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { StreamMember } from '../../../src/engines/member.ts';
import { document, element, TYPE } from '../../../src/engines/mongodb/bson/bson.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { errorOf } from '../../error-of.ts';
import {
  type Bench,
  backUp,
  contentOf,
  contentOfMembers,
  describeWithMongodb,
  dumpRequest,
  makeBench,
} from './support.ts';
import { openMongodbProxy } from './support-proxy.ts';

describeWithMongodb('mongodb: what changes while it is dumped', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgc_');
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  it('says that nothing binds collections together where the server has no snapshots, and holds what was there when it began', async () => {
    const pairs = bench.db('dgc_pairs');
    const row = (i: number) => ({ _id: i as never, filler: 'x'.repeat(2000) });
    for (const name of ['left', 'right'])
      await pairs.collection(name).insertMany(Array.from({ length: 2000 }, (_, i) => row(i)));
    let next = 2000;
    let writing = true;
    const writer = (async () => {
      while (writing) {
        for (const name of ['left', 'right']) await pairs.collection(name).insertOne(row(next));
        next++;
      }
    })();
    const content = await backUp(bench.source('dgc_pairs'));
    writing = false;
    await writer;
    expect(next).toBeGreaterThan(2000);
    expect(content.facts.consistency).toBe(server().pid === undefined ? content.facts.consistency : 'none');
    await mongodbEngine.restore(content, bench.request('dgc_pairs_back'));
    for (const name of ['left', 'right']) {
      const found = await bench.db('dgc_pairs_back').collection(name).countDocuments();
      expect(found).toBeGreaterThanOrEqual(2000);
      expect(
        await bench
          .db('dgc_pairs_back')
          .collection(name)
          .countDocuments({ _id: { $lt: 2000 as never } }),
      ).toBe(2000);
    }
    if (content.facts.consistency === 'snapshot') {
      const count = (name: string) => bench.db('dgc_pairs_back').collection(name).countDocuments();
      expect(Math.abs((await count('left')) - (await count('right')))).toBeLessThanOrEqual(1);
    }
  });

  it('a document that was replaced while it was read, and is there twice, is restored as it was later', async () => {
    const bson = (documents: object[]) => Buffer.concat(documents.map((one) => BSON.serialize(one)));
    const content = await contentOfMembers([
      stream('dgc_twice/c.bson', bson([{ _id: 1, f: 'before' }, { _id: 2 }, { _id: 1, f: 'after' }])),
    ]);
    await mongodbEngine.restore(content, bench.request('dgc_twice'));
    const found = await bench.db('dgc_twice').collection('c').find().sort({ _id: 1 }).toArray();
    expect(found).toEqual([{ _id: 1, f: 'after' }, { _id: 2 }]);
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^1 document\(s\) of c/),
    ]);
    await mongodbEngine.restore(content, bench.request('dgc_twice', { scratch: true }));
    const exact = { ...content, facts: { ...content.facts, consistency: 'snapshot' as const } };
    expect(
      await errorOf(mongodbEngine.restore(exact, bench.request('dgc_twice', { overwrite: true }))),
    ).toMatchObject({ code: 'target_failed', message: expect.stringMatching(/refused documents of .*c/) });
    expect(await bench.db('dgc_twice').collection('c').countDocuments()).toBe(2);
  });

  it('a document whose _id the driver cannot ask for takes no other one with it', async () => {
    const at = (ms: bigint, f: string) => {
      const date = Buffer.alloc(8);
      date.writeBigInt64LE(ms);
      return document([element(TYPE.date, '_id', date), element(TYPE.boolean, f, Buffer.from([1]))]);
    };
    const far = 2n ** 62n;
    const content = await contentOfMembers([
      stream('dgc_far/c.bson', Buffer.concat([at(0n, 'of1970'), at(far, 'before'), at(far, 'after')])),
    ]);
    expect(await errorOf(mongodbEngine.restore(content, bench.request('dgc_far')))).toMatchObject({
      code: 'target_failed',
      message: expect.stringContaining('"4611686018427387904"'),
    });
  });

  it('of what mongodump wrote nothing is taken for recorded, whatever it is called', async () => {
    const content = await contentOfMembers(
      ['__proto__', 'constructor'].flatMap((name): StreamMember[] => [
        stream(`dgc_names/${name}.bson`, Buffer.from(BSON.serialize({ _id: 1 }))),
        stream(`dgc_names/${name}.metadata.json`, Buffer.from(`{"options":{},"collectionName":"${name}"}`)),
      ]),
    );
    const { tables } = await mongodbEngine.restore(content, bench.request('dgc_names'));
    expect(tables).toEqual([
      { name: '__proto__', rows: 1 },
      { name: 'constructor', rows: 1 },
    ]);
  });

  it('the later one is there also when the earlier one reaches the server after it', async () => {
    const filler = (from: number) =>
      Array.from({ length: 700 }, (_, i) => ({ _id: `${from + i}`, filler: 'x'.repeat(1000) }));
    const [before, after] = ['before', 'after'];
    const documents = [
      { _id: new Int32(1), before },
      { _id: 'once', before },
      { _id: 'thrice', before },
      { _id: 'same', n: 1 },
      ...filler(0),
      { _id: 'thrice', between: 1 },
      { _id: 'same', n: 2 },
      ...filler(1000),
      // To a server 1 and 1.0 are the same.
      { _id: new Double(1), after },
      { _id: 'thrice', after },
    ];
    const bytes = Buffer.concat(documents.map((one) => BSON.serialize(one)));
    const content = await contentOfMembers([stream('dgc_late/c.bson', bytes)]);
    const proxy = await openMongodbProxy(server().port, undefined, /^insert .*c$/);
    bench.warnings.length = 0;
    try {
      const through = bench.request('dgc_late', { source: bench.source('dgc_late', { port: proxy.port }) });
      await mongodbEngine.restore(content, through);
    } finally {
      await proxy.close();
    }
    const found = bench.db('dgc_late').collection<{ _id: unknown }>('c');
    expect(
      await found
        .find({ filler: { $exists: false } })
        .sort({ _id: 1 })
        .toArray(),
    ).toEqual([
      { _id: 1, after },
      { _id: 'once', before },
      { _id: 'same', n: 2 },
      { _id: 'thrice', after },
    ]);
    expect(await found.countDocuments()).toBe(1404);
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^4 document\(s\) of c/),
    ]);
  });

  it.each(['dropped', 'replaced'])('a collection %s while it is dumped fails the dump', async (how) => {
    const gone = bench.db('dgc_gone');
    await gone.dropDatabase();
    const rows = Array.from({ length: 3000 }, (_, i) => ({ _id: i as never, filler: 'x'.repeat(4000) }));
    await gone.collection('victim').insertMany(rows);
    await gone.collection('witness').insertMany(rows);
    const dump = await mongodbEngine.dump(bench.source('dgc_gone'), dumpRequest({ parallelJobs: 1 }));
    try {
      const error = await errorOf(
        contentOf({
          ...dump,
          async *members() {
            for await (const member of dump.members()) {
              if (member.kind !== 'stream' || !member.path.endsWith('victim.bson')) yield member;
              else
                yield {
                  ...member,
                  async *open() {
                    let first = true;
                    for await (const chunk of member.open()) {
                      yield chunk;
                      if (first) {
                        await gone.collection('victim').drop();
                        if (how === 'replaced')
                          await gone.collection('victim').insertOne({ _id: 1 as never });
                      }
                      first = false;
                    }
                  },
                };
            }
          },
        }),
      );
      expect(error).toMatchObject({ code: 'source_failed' });
      expect(error.subject).toMatch(/dgc_gone/);
    } finally {
      await dump.close();
    }
  });

  it('a server that stops in the middle fails the dump, and says so', async () => {
    if (server().pid === undefined) return;
    const rows = Array.from({ length: 3000 }, (_, i) => ({ _id: i as never, filler: 'x'.repeat(8000) }));
    await bench.db('dgc_stop').collection('large').insertMany(rows);
    const dump = await mongodbEngine.dump(bench.source('dgc_stop'), dumpRequest());
    try {
      const error = await errorOf(
        contentOf({
          ...dump,
          async *members() {
            for await (const member of dump.members()) {
              yield {
                ...(member as StreamMember),
                async *open() {
                  for await (const chunk of (member as StreamMember).open()) {
                    if (server().pid !== undefined) await server().halt();
                    yield chunk;
                  }
                },
              };
            }
          },
        }),
      );
      expect(error).toMatchObject({ code: 'source_failed', subject: expect.stringContaining('dgc_stop') });
    } finally {
      await dump.close();
      await server().resume();
    }
  });
});

function stream(path: string, bytes: Buffer): StreamMember {
  return {
    kind: 'stream',
    path,
    media: 'application/octet-stream',
    format: 'bson',
    async *open() {
      yield bytes;
    },
  };
}
