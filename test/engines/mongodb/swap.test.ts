import type { Db } from 'mongodb';
import { beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { openServer } from '../../../src/engines/mongodb/server/connection.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import type { Cut } from '../support-proxy.ts';
import { type Bench, backUp, describeWithMongodb, dumpRequest, ownNames, picture } from './support.ts';
import { openMongodbProxy, SWAP } from './support-proxy.ts';
import { type Row, useReplaced } from './support-restore.ts';

const swaps = mongodbEngine.swaps!;

describeWithMongodb('mongodb: the swap of a restore', (server) => {
  const replaced = useReplaced(server);
  const { old } = replaced;
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, unknown>;
  let target: Db;
  beforeAll(() => {
    ({ bench, content, after, target } = replaced);
  });

  it('cut off at any command that writes, the target answers, and recover makes it all old or all new', async () => {
    const run = async (cut?: Cut) => {
      await old();
      const before = await picture(target);
      const proxy = await openMongodbProxy(server().port, cut);
      try {
        const { user, password } = server();
        const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
        const uri = new Secret(
          `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=1000&directConnection=true`,
        );
        const { host: _, port: __, ...options } = bench.source('dgx_target').options;
        const source = { ...bench.source('dgx_target'), options: { ...options, ...credentials, uri } };
        const result = await mongodbEngine
          .restore(content, bench.request('dgx_target', { source, overwrite: true }))
          .then(
            () => 'done',
            (error: unknown) => error as DguardError,
          );
        return { before, result, commands: proxy.statements };
      } finally {
        await proxy.close();
      }
    };
    const whole = await run();
    expect(whole.result).toBe('done');
    expect(await picture(target)).toEqual(after);
    const { commands } = whole;
    // Before the mark says `swap` all is taken back, from then on all is finished.
    const swapAt = commands.indexOf(SWAP) + 1;
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
  });

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
      const proxy = await openMongodbProxy(server().port, { at, when, act: () => stop.abort() });
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
        const told = `${isUndo ? 'undo' : 'restore'}, ${when} ${at}: ${proxy.statements[at - 1]}`;
        expect(['done', 'interrupted'], told).toContain(result);
        expect(await picture(target), told).toEqual((result === 'done') === isUndo ? before : after);
        if (result === 'done') {
          expect(await swaps.undoCopies(bench.target('dgx_target')), told).toHaveLength(1);
          expect((await ownNames(target)).join(), told).not.toContain('__dg_new_');
        } else expect(await ownNames(target), told).toEqual(own);
        return { result, commands: proxy.statements };
      } finally {
        await proxy.close();
      }
    };
    for (const isUndo of [false, true]) {
      const { commands } = await run(Number.POSITIVE_INFINITY, 'before', isUndo);
      const results = new Set<string>();
      for (let at = 1; at <= commands.length; at++) {
        const isSwap = /^(rename|update|swap)/.test(commands[at - 1]!);
        if (isUndo && !isSwap) continue;
        results.add((await run(at, at % 2 === 0 ? 'before' : 'after', isUndo)).result);
      }
      expect(results).toEqual(new Set(['done', 'interrupted']));
    }
  });

  it('a connection that the server has just closed keeps no command from ending', async () => {
    const { user, password } = server();
    const { host: _, port: __, ...options } = bench.source('dgx_target').options;
    const proxy = await openMongodbProxy(server().port, { at: 2, when: 'before' });
    const uri = new Secret(
      `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=1000&directConnection=true`,
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
      const proxy = await openMongodbProxy(server().port, { at, when: at % 2 === 0 ? 'before' : 'after' });
      const uri = new Secret(
        `mongodb://127.0.0.1:${proxy.port}/dgx_target?serverSelectionTimeoutMS=1000&directConnection=true`,
      );
      const { host: _, port: __, ...options } = bench.source('dgx_target').options;
      const source = {
        ...bench.source('dgx_target'),
        options: { ...options, uri, username: user, password: new Secret(password), auth_source: 'admin' },
      };
      await errorOf(swaps.undo({ ...bench.target('dgx_target'), source }));
      await proxy.close();
      await swaps.recover(bench.target('dgx_target'));
      const { statements: commands } = proxy;
      const arrived = at % 2 === 0 ? commands.slice(0, -1) : commands;
      if (arrived.includes(SWAP)) isOld = !isOld;
      else expect(at).toBeLessThan(12);
      expect(await picture(target), `${at}`).toEqual(isOld ? before : after);
      expect(await swaps.undoCopies(bench.target('dgx_target'))).toHaveLength(1);
    }
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
});
