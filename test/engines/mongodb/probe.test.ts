import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { type Bench, describeWithMongodb, makeBench } from './support.ts';

describeWithMongodb('mongodb: what a server tells before anything is dumped', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgp_');
    await bench.db('dgp_all').collection('one').insertOne({ a: 1 });
  });
  afterAll(() => bench?.remove());

  it('lists databases, without the server’s own and without those of test restores', async () => {
    const all = await mongodbEngine.databases!(bench.source([], { all_databases: true }));
    expect(all).toContain('dgp_all');
    for (const name of ['admin', 'config', 'local']) expect(all).not.toContain(name);
    await bench
      .db('dgp_x__dg_scratch_00000001')
      .collection('__dguard')
      .insertOne({ dguard: 1, role: 'scratch' });
    await bench.db('dgp_x__dg_scratch_00000002').collection('theirs').insertOne({ a: 1 });
    const later = await mongodbEngine.databases!(bench.source([], { all_databases: true }));
    expect(later).toContain('dgp_x__dg_scratch_00000002');
    expect(later).not.toContain('dgp_x__dg_scratch_00000001');
    expect(await mongodbEngine.databases!(bench.source(['b', 'a']))).toEqual(['b', 'a']);
  });

  it('a health check tells who does not answer from who does not let in', async () => {
    const status = async (more: object) => {
      const health = await mongodbEngine.probe(bench.source('dgp_all', more));
      expect(JSON.stringify(health)).not.toContain('hunter2');
      return health;
    };
    expect(await status({})).toMatchObject({
      status: 'ok',
      serverVersion: expect.stringMatching(/\d/),
      sizeBytes: expect.any(Number),
    });
    expect(await status({ password: new Secret('hunter2') })).toMatchObject({ status: 'auth_failed' });
    expect(await status({ username: undefined, password: undefined })).toMatchObject({
      status: 'auth_failed',
    });
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as { port: number };
    const uri = (at: number) =>
      new Secret(`mongodb://u:hunter2@127.0.0.1:${at}/?serverSelectionTimeoutMS=700&connectTimeoutMS=500`);
    const by = (at: number) =>
      status({ uri: uri(at), host: undefined, port: undefined, username: undefined, password: undefined });
    expect(await by(port)).toMatchObject({ status: 'timeout' });
    silent.close();
    expect(await by(port)).toMatchObject({ status: 'unreachable' });
    expect(await status({ uri: new Secret('mongo:hunter2'), host: undefined })).toMatchObject({
      status: 'error',
    });
  });
});
