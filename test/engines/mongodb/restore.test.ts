import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { markOwner } from '../../../src/engines/mongodb/restore/marks.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithMongodb, ownNames, picture } from './support.ts';
import { openMongodbProxy } from './support-proxy.ts';
import { useReplaced } from './support-restore.ts';

const swaps = mongodbEngine.swaps!;

describeWithMongodb('mongodb: restore', (server) => {
  const replaced = useReplaced(server);
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, unknown>;
  let target: Db;
  beforeAll(() => {
    ({ bench, content, after, target } = replaced);
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
      only: ['a', 'dot.ted', 'dgx_new.only_n*', 'typo'],
      overwrite: true,
    });
    const { tables } = await mongodbEngine.restore(content, request);
    expect(tables).toEqual([
      { name: 'a', rows: 1500 },
      { name: 'dot.ted', rows: 2 },
      { name: 'only_new', rows: 1 },
    ]);
    expect(bench.warnings.map(({ message }) => message)).toContain(
      "no collection matches the pattern 'typo'",
    );
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

  it('restores a part of a database beside what is there', async () => {
    const part = await backUp(bench.source('dgx_new'), { include: ['b'] });
    await mongodbEngine.restore(part, bench.request('dgx_target', { overwrite: true }));
    const now = await picture(target);
    expect(now['b']).toEqual(after['b']);
    expect(Object.keys(now)).toEqual(['a', 'b', 'dot.old', 'dot.ted', 'only_old']);
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
      const proxy = await openMongodbProxy(server().port);
      const uri = new Secret(`mongodb://127.0.0.1:${proxy.port}/dgx_new?directConnection=true`);
      const credentials = { username: user, password: new Secret(password), auth_source: 'admin' };
      const stop = new AbortController();
      const { signal } = stop;
      const source = { ...bench.source('dgx_new'), options: { ...options, ...credentials, uri }, signal };
      const restored = errorOf(
        mongodbEngine.restore(content, bench.request('dgx_new', { source, signal, scratch: true })),
      );
      while (proxy.statements.length === 0) await turn();
      await sleep(waitMs);
      stop.abort();
      expect(await restored).toMatchObject({ code: 'interrupted' });
      await proxy.close();
      expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    }
  });

  it('removes what killed test restores left, and nothing without a mark, or in use', async () => {
    const { host } = bench.request('x');
    const dead = markOwner({ ...host, pid: 2 ** 22 + 1 });
    const elsewhere = { ...dead, host: 'elsewhere' };
    // In another container the number of this very process is that of another.
    const inContainer = markOwner({ ...host, pidNamespace: 'pid:[2]' });
    const mark = (owner: object, ms: number) => ({
      ...{ dguard: 1, role: 'scratch', target: 'dgx_new', backupId: 'x', createdAt: '', parts: [], owner },
      leaseUntil: new Date(Date.now() + ms),
    });
    const place = (n: number) => `dgx_new__dg_scratch_0000000${n}`;
    await bench.db(place(1)).collection('__dguard').insertOne(mark(dead, 60_000));
    await bench.db(place(2)).collection('__dguard').insertOne(mark(elsewhere, 60_000));
    await bench.db(place(3)).collection('__dguard').insertOne(mark(elsewhere, -60_000));
    await bench.db(place(6)).collection('__dguard').insertOne(mark(inContainer, 60_000));
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
      place(6),
    ]);
    // Of a datasource that names no single database it is about all of them.
    const all = bench.source([], { all_databases: true });
    expect(await swaps.dropScratch!({ ...bench.target('dgx_new'), source: all })).toHaveLength(1);
    for (const n of [2, 4, 6]) await bench.db(place(n)).dropDatabase();
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

  it('a restore names the collections whose documents the server may remove at once', async () => {
    const source = bench.db('dgx_expiring');
    await source.collection('kept').insertOne({ a: new Date(0) });
    await source.collection('kept').createIndex({ a: 1 });
    await source.collection('sessions').insertOne({ seen: new Date() });
    await source.collection('sessions').createIndex({ seen: 1 }, { expireAfterSeconds: 3600 });
    const expiring = await backUp(bench.source('dgx_expiring'));
    await mongodbEngine.restore(expiring, bench.request('dgx_expiring', { scratch: true }));
    expect(bench.warnings.filter(({ message }) => message.includes('expire'))).toEqual([]);
    await mongodbEngine.restore(expiring, bench.request('dgx_expiring', { toDatabase: 'dgx_expired' }));
    expect(bench.warnings).toContainEqual({
      message: expect.stringMatching(/^documents expire in sessions \(TTL\)/),
      subject: 'dgx_expired',
      partial: false,
    });
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
