import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { openServer } from '../../../src/engines/mongodb/server/connection.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { DguardError } from '../../../src/errors.ts';
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
import { type Cut, openProxy } from './support-proxy.ts';

const swaps = mongodbEngine.swaps!;

type Row = { _id: number; f?: string };

describeWithMongodb('mongodb: restore', (server) => {
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

  it('cut off at any command that writes, the target answers, and recover makes it all old or all new', async () => {
    const run = async (cut?: Cut) => {
      await old();
      const before = await picture(target);
      const proxy = await openProxy(server().port, cut);
      try {
        const { user, password } = server();
        const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
        const uri = new Secret(
          `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=150&directConnection=true`,
        );
        const { host: _, port: __, ...options } = bench.source('dgx_target').options;
        const source = { ...bench.source('dgx_target'), options: { ...options, ...credentials, uri } };
        const result = await mongodbEngine
          .restore(content, bench.request('dgx_target', { source, overwrite: true }))
          .then(
            () => 'done',
            (error: unknown) => error as DguardError,
          );
        return { before, result, commands: proxy.commands };
      } finally {
        await proxy.close();
      }
    };
    const whole = await run();
    expect(whole.result).toBe('done');
    expect(await picture(target)).toEqual(after);
    const { commands } = whole;
    // Before the mark says `swap` all is taken back, from then on all is finished.
    const swapAt = commands.indexOf('update __dguard') + 1;
    expect(swapAt).toBeGreaterThan(5);
    expect(commands.length).toBeGreaterThan(12);
    let reverted = 0;
    let finished = 0;
    for (let at = 1; at <= commands.length; at++) {
      for (const when of ['before', 'after'] as const) {
        if (when === 'before' && at !== swapAt && at % 3 !== 0) continue;
        const { before, result } = await run({ at, when });
        const told = `${when} ${at} of ${commands.length}: ${commands[at - 1]}`;
        if (at === commands.length && when === 'after') continue;
        expect(result, told).toMatchObject({ code: 'target_failed' });
        const done = at > swapAt || (at === swapAt && when === 'after');
        if (!done) {
          expect(await target.collection<Row>('a').findOne({ _id: 1 }), told).toEqual({ _id: 1, f: 'old' });
          const { __dguard: _, ...now } = await picture(target);
          expect(now, told).toEqual(before);
        }
        await swaps.recover(bench.target('dgx_target'));
        const now = await picture(target);
        expect(now, told).toEqual(done ? after : before);
        const own = await ownNames(target);
        if (!done) {
          expect(own, told).toEqual([]);
          reverted++;
        } else {
          expect(
            own.filter((name) => name.includes('_new_')),
            told,
          ).toEqual([]);
          finished++;
          if (finished % 3 === 0) {
            await swaps.undo(bench.target('dgx_target'));
            expect(await picture(target), told).toEqual(before);
          }
        }
      }
    }
    expect(reverted).toBeGreaterThan(5);
    expect(finished).toBeGreaterThan(5);
  }, 280_000);

  it('an interrupt at any command that writes leaves it all old or all new at once', async () => {
    const { user, password } = server();
    const { host: _, port: __, ...options } = bench.source('dgx_target').options;
    const run = async (at: number, when: Cut['when'], isUndo: boolean) => {
      await old();
      const before = await picture(target);
      if (isUndo) await mongodbEngine.restore(content, bench.request('dgx_target', { overwrite: true }));
      const own = await ownNames(target);
      const stop = new AbortController();
      const { signal } = stop;
      const proxy = await openProxy(server().port, { at, when, act: () => stop.abort() });
      try {
        const uri = new Secret(`mongodb://127.0.0.1:${proxy.port}/dgx_target?directConnection=true`);
        const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
        const source = {
          ...bench.source('dgx_target'),
          options: { ...options, ...credentials, uri },
          signal,
        };
        const work = isUndo
          ? swaps.undo({ ...bench.target('dgx_target'), source, signal })
          : mongodbEngine.restore(content, bench.request('dgx_target', { source, signal, overwrite: true }));
        const result = await work.then(
          () => 'done',
          (error: unknown) => (error as DguardError).code,
        );
        const told = `${isUndo ? 'undo' : 'restore'}, ${when} ${at}: ${proxy.commands[at - 1]}`;
        expect(['done', 'interrupted'], told).toContain(result);
        expect(await picture(target), told).toEqual((result === 'done') === isUndo ? before : after);
        if (result === 'done') {
          expect(await swaps.undoCopies(bench.target('dgx_target')), told).toHaveLength(1);
          expect((await ownNames(target)).join(), told).not.toContain('__dg_new_');
        } else expect(await ownNames(target), told).toEqual(own);
        return { result, commands: proxy.commands };
      } finally {
        await proxy.close();
      }
    };
    for (const isUndo of [false, true]) {
      const { commands } = await run(Number.POSITIVE_INFINITY, 'before', isUndo);
      const results = new Set<string>();
      for (let at = 1; at <= commands.length; at++) {
        const isSwap = /^(rename|update)/.test(commands[at - 1]!);
        if (isUndo && !isSwap) continue;
        results.add((await run(at, at % 2 === 0 ? 'before' : 'after', isUndo)).result);
      }
      expect(results).toEqual(new Set(['done', 'interrupted']));
    }
  }, 280_000);

  it('a connection that the server has just closed keeps no command from ending', async () => {
    const { user, password } = server();
    const { host: _, port: __, ...options } = bench.source('dgx_target').options;
    const proxy = await openProxy(server().port, { at: 2, when: 'before' });
    const uri = new Secret(
      `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=150&directConnection=true`,
    );
    const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
    const source = { ...bench.source('dgx_target'), options: { ...options, ...credentials, uri } };
    const [idle, busy] = [await openServer(source), await openServer(source)];
    await idle.client.db('dgx_target').collection('a').findOne({});
    const marks = busy.client.db('dgx_target').collection('__dguard');
    await marks.insertOne({});
    await expect(marks.insertOne({})).rejects.toThrow('closed');
    await busy.close();
    await idle.close();
    await proxy.close();
  });

  it('an undo that is cut off is finished by the next command', async () => {
    const before = await picture(target);
    await mongodbEngine.restore(content, bench.request('dgx_target', { overwrite: true }));
    const { user, password } = server();
    let isOld = false;
    for (const at of [6, 12, 17, 21, 26]) {
      const proxy = await openProxy(server().port, { at, when: at % 2 === 0 ? 'before' : 'after' });
      const uri = new Secret(
        `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=150&directConnection=true`,
      );
      const { host: _, port: __, ...options } = bench.source('dgx_target').options;
      const source = {
        ...bench.source('dgx_target'),
        options: { ...options, uri, username: user, password: new Secret(password), auth_source: 'admin' },
      };
      await errorOf(swaps.undo({ ...bench.target('dgx_target'), source }));
      await proxy.close();
      await swaps.recover(bench.target('dgx_target'));
      const { commands } = proxy;
      const arrived = at % 2 === 0 ? commands.slice(0, -1) : commands;
      if (arrived.includes('update __dguard')) isOld = !isOld;
      else expect(at).toBeLessThan(12);
      expect(await picture(target), `${at}`).toEqual(isOld ? before : after);
      expect(await swaps.undoCopies(bench.target('dgx_target'))).toHaveLength(1);
    }
  });

  it('refuses what is not empty, replaces all of it when told to, and takes it back', async () => {
    const before = await picture(target);
    expect(await errorOf(mongodbEngine.restore(content, bench.request('dgx_target')))).toMatchObject({
      code: 'target_refused',
    });
    const dry = await mongodbEngine.restore(
      content,
      bench.request('dgx_target', { overwrite: true, dryRun: true }),
    );
    expect(dry.plan!.join()).toMatch(/keep 5 of 5/);
    expect(await picture(target)).toEqual(before);
    const restored = await mongodbEngine.restore(content, bench.request('dgx_target', { overwrite: true }));
    expect(restored.undo).toMatch(/^__dg_undo_[0-9a-f]{8}$/);
    expect(await picture(target)).toEqual(after);
    const [copy] = await swaps.undoCopies(bench.target('dgx_target'));
    expect(copy).toMatchObject({ name: restored.undo, backupId: expect.stringMatching(/^full-/) });
    // What dguard keeps is in no backup.
    const again = await backUp(bench.source('dgx_target'));
    expect(again.facts).toMatchObject({ tables_count: 5, schema_sha256: content.facts.schema_sha256 });
    const undone = await swaps.undo(bench.target('dgx_target'));
    expect(undone.restored.name).toBe(restored.undo);
    expect(await picture(target)).toEqual(before);
    await swaps.undo(bench.target('dgx_target'));
    expect(await picture(target)).toEqual(after);
    expect(await swaps.dropUndo(bench.target('dgx_target'), 1)).toHaveLength(0);
    expect(await swaps.dropUndo(bench.target('dgx_target'), 0)).toHaveLength(1);
    expect(await ownNames(target)).toEqual([]);
    expect(await errorOf(swaps.undo(bench.target('dgx_target')))).toMatchObject({ code: 'nothing_there' });
  });

  it('puts chosen collections in the place of their counterparts, and takes them back', async () => {
    const before = await picture(target);
    const request = bench.request('dgx_target', {
      only: ['a', 'dot.ted', 'dgx_new.only_n*'],
      overwrite: true,
    });
    const { tables } = await mongodbEngine.restore(content, request);
    expect(tables).toEqual([
      { name: 'a', rows: 1500 },
      { name: 'dot.ted', rows: 2 },
      { name: 'only_new', rows: 1 },
    ]);
    const { a, only_new, 'dot.ted': dotted } = after;
    expect(await picture(target)).toEqual({ ...before, a, only_new, 'dot.ted': dotted });
    await swaps.undo(bench.target('dgx_target'));
    expect(await picture(target)).toEqual(before);
    await mongodbEngine.restore(content, { ...request, deleteExtra: true });
    expect(Object.keys(await picture(target))).toEqual(['a', 'dot.ted', 'only_new']);
    expect(
      await errorOf(
        mongodbEngine.restore(content, bench.request('dgx_target', { only: ['none'], overwrite: true })),
      ),
    ).toMatchObject({ code: 'nothing_there' });
  });

  it('what a restore added is taken back, and brought again, also where it replaced nothing', async () => {
    const before = await picture(target);
    const only = (...names: string[]) => bench.request('dgx_target', { only: names, overwrite: true });
    const undo = () => swaps.undo(bench.target('dgx_target'));
    const added = await mongodbEngine.restore(content, only('only_new', 'dot.new'));
    expect(added.undo).toMatch(/^__dg_undo_/);
    const { only_new, 'dot.new': dotted } = after;
    expect(await picture(target)).toEqual({ ...before, only_new, 'dot.new': dotted });
    // What was written to it since is not lost.
    await target.collection<Row>('only_new').insertOne({ _id: 2 });
    await undo();
    expect(await picture(target)).toEqual(before);
    await undo();
    expect(await target.collection('only_new').countDocuments()).toBe(2);
    await undo();
    expect(await picture(target)).toEqual(before);
    expect(await swaps.dropUndo(bench.target('dgx_target'), 0)).toHaveLength(1);
    expect(await ownNames(target)).toEqual([]);
  });

  it('an undo takes the newest restore back, also one to a database that was empty but for undo copies', async () => {
    await mongodbEngine.restore(content, bench.request('dgx_target', { overwrite: true }));
    for (const name of Object.keys(after)) await target.dropCollection(name);
    await mongodbEngine.restore(content, bench.request('dgx_target'));
    expect(await picture(target)).toEqual(after);
    await swaps.undo(bench.target('dgx_target'));
    expect(await picture(target)).toEqual({});
    await swaps.dropUndo(bench.target('dgx_target'), 0);
    // Where nothing of ours is, nothing is left either.
    await mongodbEngine.restore(content, bench.request('dgx_target'));
    expect(await ownNames(target)).toEqual([]);
    expect(await errorOf(swaps.undo(bench.target('dgx_target')))).toMatchObject({
      code: 'nothing_there',
      hint: expect.stringContaining('empty database'),
    });
  });

  it('restores a part of a database beside what is there', async () => {
    const part = await backUp(bench.source('dgx_new'), { include: ['b'] });
    await mongodbEngine.restore(part, bench.request('dgx_target', { overwrite: true }));
    const now = await picture(target);
    expect(now['b']).toEqual(after['b']);
    expect(Object.keys(now)).toEqual(['a', 'b', 'dot.old', 'dot.ted', 'only_old']);
  });

  it('what an application writes while its collection is swapped is kept', async () => {
    let done = false;
    const rows: number[] = [];
    const application = (async () => {
      for (let i = 10_000; !done; i++) {
        await target
          .collection<Row>('a')
          .insertOne({ _id: i })
          .then(
            () => rows.push(i),
            () => {},
          );
      }
    })();
    await mongodbEngine.restore(content, bench.request('dgx_target', { overwrite: true }));
    done = true;
    await application;
    const found = new Set<number>();
    const names = (await target.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    for (const name of names) {
      if (name === '__dguard') continue;
      for (const { _id } of await target
        .collection<Row>(name)
        .find({ _id: { $gte: 10_000 } })
        .toArray())
        found.add(_id);
    }
    expect(rows.filter((row) => !found.has(row))).toEqual([]);
    expect(rows.length).toBeGreaterThan(3);
  });

  it('a test restore reads every document back, and leaves nothing', async () => {
    const { target: place, tables } = await mongodbEngine.restore(
      content,
      bench.request('dgx_new', { scratch: true }),
    );
    expect(place).toMatch(/^dgx_new__dg_scratch_[0-9a-f]{8}$/);
    expect(tables!.map(({ rows }) => rows)).toEqual([1500, 1, 1, 2, 1]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    const otherSchema = { ...content, facts: { ...content.facts, schema_sha256: 'a'.repeat(64) } };
    expect(
      await errorOf(mongodbEngine.restore(otherSchema, bench.request('dgx_new', { scratch: true }))),
    ).toMatchObject({ code: 'corrupt' });
    await expect(bench.names()).resolves.not.toContainEqual(expect.stringContaining('__dg_'));
  });

  it('a test restore that is stopped while its mark is written leaves nothing', async () => {
    const { user, password } = server();
    const { host: _, port: __, ...options } = bench.source('dgx_new').options;
    for (const waitMs of [0, 2, 5, 10, 20]) {
      const proxy = await openProxy(server().port);
      const uri = new Secret(`mongodb://127.0.0.1:${proxy.port}/dgx_new?directConnection=true`);
      const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
      const stop = new AbortController();
      const { signal } = stop;
      const source = { ...bench.source('dgx_new'), options: { ...options, ...credentials, uri }, signal };
      const restored = errorOf(
        mongodbEngine.restore(content, bench.request('dgx_new', { source, signal, scratch: true })),
      );
      while (proxy.commands.length === 0) await turn();
      await sleep(waitMs);
      stop.abort();
      expect(await restored).toMatchObject({ code: 'interrupted' });
      await proxy.close();
      expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    }
  });

  it('removes what killed test restores left, and nothing without a mark, or in use', async () => {
    const dead = { host: bench.request('x').host.name, bootId: 'test', pid: 2 ** 22 + 1 };
    const elsewhere = { ...dead, host: 'elsewhere' };
    const mark = (owner: object, ms: number) => ({
      ...{ dguard: 1, role: 'scratch', target: 'dgx_new', backupId: 'x', createdAt: '', parts: [], owner },
      leaseUntil: new Date(Date.now() + ms),
    });
    const place = (n: number) => `dgx_new__dg_scratch_0000000${n}`;
    await bench.db(place(1)).collection('__dguard').insertOne(mark(dead, 60_000));
    await bench.db(place(2)).collection('__dguard').insertOne(mark(elsewhere, 60_000));
    await bench.db(place(3)).collection('__dguard').insertOne(mark(elsewhere, -60_000));
    await bench.db(place(4)).collection('theirs').insertOne({ a: 1 });
    await bench
      .db(place(5))
      .collection('__dguard')
      .insertOne({ ...mark(dead, 0), target: 'another' });
    const removed = await swaps.dropScratch!(bench.target('dgx_new'));
    expect(removed).toHaveLength(2);
    expect((await bench.names()).filter((name) => name.includes('__dg_')).sort()).toEqual([
      place(2),
      place(4),
      place(5),
    ]);
    // Of a datasource that names no single database it is about all of them.
    const all = bench.source([], { all_databases: true });
    expect(await swaps.dropScratch!({ ...bench.target('dgx_new'), source: all })).toHaveLength(1);
    for (const n of [2, 4]) await bench.db(place(n)).dropDatabase();
  });

  it('a restore that runs elsewhere is left alone, one that died is cleaned up', async () => {
    const owner = { host: 'elsewhere', bootId: 'x', pid: 1 };
    const mark = {
      ...{ _id: 'm' as never, dguard: 1, role: 'new', target: 'dgx_target', backupId: 'x', createdAt: '' },
    };
    const parts = [{ name: 'a', staged: '__dg_new_m_a' }];
    const marks = target.collection('__dguard');
    await marks.insertOne({ ...mark, parts, owner, leaseUntil: new Date(Date.now() + 60_000) });
    await target.collection('__dg_new_m_a').insertOne({ x: 1 });
    await target.collection('__dg_new_unmarked').insertOne({ x: 1 });
    expect(await swaps.recover(bench.target('dgx_target'))).toEqual([]);
    await marks.updateOne({ _id: 'm' as never }, { $set: { leaseUntil: new Date(Date.now() - 60_000) } });
    expect(await swaps.recover(bench.target('dgx_target'))).toHaveLength(1);
    expect(await ownNames(target)).toEqual(['__dg_new_unmarked']);
    // It has no mark: it is somebody's.
    expect((await backUp(bench.source('dgx_target'))).facts.tables_count).toBe(6);
  });

  it('no backup is made of collections while they are swapped, by whichever host', async () => {
    const marks = target.collection<{ _id: string; [field: string]: unknown }>('__dguard');
    const owner = { host: 'elsewhere', bootId: 'x', pid: 1 };
    const leaseUntil = new Date(Date.now() + 60_000);
    const moving = { dguard: 1, target: 'dgx_target', backupId: 'other', createdAt: '', owner, leaseUntil };
    const refused = { code: 'locked', message: expect.stringContaining('other') };
    const open = () => mongodbEngine.dump(bench.source('dgx_target'), dumpRequest());
    for (const [role, parts] of [
      ['swap', [{ name: 'a', copied: true }]],
      ['revert', [{ name: 'a', copied: true }]],
      ['new', [{ name: 'a', inPlace: true }]],
    ] as const) {
      await marks.insertOne({ _id: 'm', ...moving, role, parts });
      expect(await errorOf(open()), role).toMatchObject(refused);
      await marks.deleteOne({ _id: 'm' });
    }
    const dump = await open();
    try {
      for await (const member of dump.members()) {
        if (member.kind !== 'stream') continue;
        for await (const _ of member.open());
      }
      await marks.insertOne({ _id: 'm', ...moving, role: 'swap', parts: [] });
      expect(await errorOf(dump.facts())).toMatchObject(refused);
    } finally {
      await dump.close();
    }
  });

  it('a load that fails, and one that is stopped, leave nothing and touch nothing', async () => {
    const before = await picture(target);
    const failing: BackupContent = {
      ...content,
      async *read(entry) {
        let first = true;
        for await (const chunk of content.read(entry)) {
          if (!first || !entry.path.endsWith('b.bson')) yield chunk;
          else throw new Error('the storage is gone');
          first = false;
        }
      },
    };
    const error = await errorOf(
      mongodbEngine.restore(failing, bench.request('dgx_target', { overwrite: true })),
    );
    expect(error).toMatchObject({ code: 'target_failed', message: 'the storage is gone' });
    const stop = new AbortController();
    const stopping: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk.subarray(0, chunk.length / 2);
          if (entry.path.endsWith('.bson')) stop.abort();
          yield chunk.subarray(chunk.length / 2);
        }
      },
    };
    const stopped = bench.request('dgx_target', { overwrite: true, signal: stop.signal });
    expect(await errorOf(mongodbEngine.restore(stopping, stopped))).toMatchObject({ code: 'interrupted' });
    expect(await picture(target)).toEqual(before);
    expect(await ownNames(target)).toEqual([]);
    const warnings = bench.warnings.map(({ message }) => message);
    expect(warnings.filter((message) => !message.includes('cannot rename'))).toEqual([]);
  });

  it('what an application makes meanwhile of a name that is loaded in place is not dropped', async () => {
    await target.dropDatabase();
    const read: BackupContent['read'] = async function* (entry) {
      const isLoaded = Buffer.from(entry.path).toString().endsWith('/a.bson');
      if (isLoaded) await target.collection<Row>('dot.ted').insertOne({ _id: 77 });
      yield* content.read(entry);
    };
    const error = await errorOf(
      mongodbEngine.restore({ ...content, database: 'dgx_target', read }, bench.request('dgx_target')),
    );
    expect(error).toMatchObject({ code: 'target_failed' });
    expect(await target.collection('dot.ted').find().toArray()).toEqual([{ _id: 77 }]);
    expect((await target.listCollections().toArray()).map(({ name }) => name)).toEqual(['dot.ted']);
  });

  it('a restore whose mark somebody took away changes nothing, and does not say that it did', async () => {
    const before = await picture(target);
    const read: BackupContent['read'] = async function* (entry) {
      if (Buffer.from(entry.path).toString().endsWith('/only_new.bson')) {
        for (const name of await ownNames(target))
          if (name.includes('_new_') || name === '__dguard') await target.dropCollection(name);
      }
      yield* content.read(entry);
    };
    const error = await errorOf(
      mongodbEngine.restore(
        { ...content, database: 'dgx_target', read },
        bench.request('dgx_target', { overwrite: true }),
      ),
    );
    expect(error.message).toContain('the mark');
    expect(await picture(target)).toEqual(before);
  });

  it('an index that cannot be built, and a document that is refused, fail the restore', async () => {
    const lying = (change: (text: string) => string): BackupContent => ({
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          const text = Buffer.from(chunk).toString('latin1');
          yield Buffer.from(entry.path.endsWith('a.metadata.json') ? change(text) : text, 'latin1');
        }
      },
    });
    const unique = lying((text) =>
      text
        .replace('"name":"by_f"', '"unique":true,"name":"by_f"')
        .replace(/,"_id":\{"\$numberInt":"-1"\}/, ''),
    );
    const error = await errorOf(
      mongodbEngine.restore(unique, bench.request('dgx_target', { overwrite: true })),
    );
    expect(error.message).toMatch(/unique index by_f of a cannot be built/);
    expect(await ownNames(target)).toEqual([]);
  });

  it('documents that a unique index would not have side by side are named, and come by option', async () => {
    const shared = bench.db('dgx_shared');
    const t = shared.collection('t');
    await t.insertMany([
      { _id: 1 as never, mail: 'a@x', list: [1, 2], one: 1, some: 'y' },
      { _id: 2 as never, mail: 'b@x', list: [2, 3], two: 1, some: 'y', on: true },
      { _id: 'x' as never, mail: 'a@x', list: [9, 9], one: 7, two: 1, some: 'y', on: true },
    ]);
    await t.createIndex({ one: 1 }, { name: 'good', unique: true });
    const dumped = await backUp(bench.source('dgx_shared'));
    const with_ = (...indexes: object[]): BackupContent => ({
      ...dumped,
      database: 'dgx_shared_copy',
      async *read(entry) {
        for await (const chunk of dumped.read(entry)) {
          const text = Buffer.from(chunk).toString('latin1');
          const more = indexes.map((one) => JSON.stringify({ v: { $numberInt: '2' }, unique: true, ...one }));
          yield Buffer.from(
            entry.path.endsWith('.metadata.json')
              ? text.replace('"indexes":[', `"indexes":[${more.map((one) => `${one},`).join('')}`)
              : text,
            'latin1',
          );
        }
      },
    });
    const asc = { $numberInt: '1' };
    for (const [index, said] of [
      [{ key: { mail: asc }, name: 'i' }, /_ids (.*1.* and "x"|"x" and .*1.*) have the same mail = "a@x"/],
      [{ key: { list: asc }, name: 'i' }, /_ids .*1.* and .*2.* have the same list = .*2/],
      [
        { key: { two: asc, some: asc }, name: 'i', partialFilterExpression: { on: true } },
        /_ids .*2.* and "x" .* some = "y"/,
      ],
    ] as const) {
      const error = await errorOf(mongodbEngine.restore(with_(index), bench.request('dgx_shared_copy')));
      expect(error).toMatchObject({
        code: 'target_failed',
        hint: expect.stringContaining('--allow-duplicates'),
      });
      expect(error.message).toContain('the unique index i of t cannot be built');
      expect(error.message).toMatch(said);
      expect(error.message).toContain('read without a snapshot');
    }
    expect(await picture(bench.db('dgx_shared_copy'))).toEqual({});

    bench.warnings.length = 0;
    await mongodbEngine.restore(
      with_({ key: { mail: asc }, name: 'bad' }, { key: { two: asc, mail: asc }, name: 'fine' }),
      bench.request('dgx_shared_copy', { allowDuplicates: true }),
    );
    const copy = bench.db('dgx_shared_copy').collection('t');
    expect(await copy.countDocuments()).toBe(3);
    const unique = (await copy.indexes()).map(({ name, unique: is }) => [name, is === true]);
    expect(unique.filter(([name]) => name !== '_id_').sort()).toEqual([
      ['bad', false],
      ['fine', true],
      ['good', true],
    ]);
    expect(bench.warnings.filter(({ partial }) => partial)).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(/index bad of t is NOT unique now: .*"a@x"/),
      }),
    ]);
  });

  it('doctor says what a backup is worth, what is missing, and what was left', async () => {
    const owner = { host: 'elsewhere', bootId: 'x', pid: 1 };
    const mark = { dguard: 1, target: 'dgx_target', backupId: 'x', createdAt: '', parts: [], owner };
    const marks = target.collection('__dguard');
    await marks.insertMany([
      { ...mark, _id: 'aaaaaaaa' as never, role: 'new', leaseUntil: new Date(0) },
      { ...mark, _id: 'bbbbbbbb' as never, role: 'new', leaseUntil: new Date(Date.now() + 60_000) },
    ]);
    const source = bench.source(['dgx_target', 'dgx_missing']);
    const findings = await mongodbEngine.diagnose!(source, { job: 'nightly' });
    const about = (topic: string) => findings.filter((finding) => finding.topic === topic);
    expect(about('connection')).toEqual([
      { severity: 'problem', topic: 'connection', subject: 'dgx_missing', message: expect.any(String) },
    ]);
    expect(about('leftovers')).toMatchObject([
      { subject: expect.stringContaining('aaaaaaaa'), fix: { lines: ['dguard restore nightly --recover'] } },
    ]);
    if (server().pid !== undefined) {
      expect(about('consistency')).toMatchObject([{ severity: 'warning' }]);
      expect(about('support')).toMatchObject([{ message: expect.stringMatching(/dot\.old, dot\.ted/) }]);
    }
    await marks.drop();
  });
});
