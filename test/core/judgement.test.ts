import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/types.ts';
import { newestGoodRun } from '../../src/core/job-runs.ts';
import { putMark } from '../../src/core/marks.ts';
import { makeWorld, newest, objectsOf, type World } from './world.ts';

const policy = ', retention: { keep_last: 1, auto_delete: true }';
const full = Buffer.alloc(40_000, 'text ');

function sameSource({ config }: World): Config {
  return { ...config, jobs: { prod: { ...config.jobs['prod']!, same_source: true } } };
}

describe('identity', () => {
  it('a source that comes back after another is said, and nothing is pruned until that is settled', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    const as = (name: string, time: string) => {
      world.at(time);
      const config = { ...world.config, defaults: { ...world.config.defaults, host: name } };
      return makeBackup(world, config);
    };
    await as('alpha', '2026-03-01T12:00:00Z');
    await as('beta', '2026-03-02T12:00:00Z');
    expect(messages(world)).toMatch(/another than before/);
    await as('alpha', '2026-03-03T12:00:00Z');
    expect(messages(world)).toMatch(/two sources write under one name/);
    await expect(world.prune({ policy: { keep_last: 1, auto_delete: true } })).rejects.toMatchObject({
      code: 'config_invalid',
      exitStatus: 2,
    });
    const { entries } = await world.catalog();
    expect(entries).toHaveLength(3);
    const now = world.runtime.now();
    expect(() => newestGoodRun(entries, 'prod', { now })).toThrow(/two sources write under this name/);
    expect(newestGoodRun(entries, 'prod', { now, config: sameSource(world) }).copies[0]).toBe(entries[0]);
    const { removed } = await world.prune({ policy: { keep_last: 1, auto_delete: true }, sameSource: true });
    expect(removed).toHaveLength(2);
  });
});

describe('clock', () => {
  it('refuses to back up and to prune when it lies over an hour behind the newest manifest', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    await world.backup();
    world.at('2026-03-01T10:59:00Z');
    const { outcomes } = await world.backup();
    expect(outcomes[0]).toMatchObject({ status: 'failed', error: { exitStatus: 1 } });
    expect(outcomes[0]!.error!.message).toMatch(
      /the clock says 2026-03-01T10:59.*newest backup is of 2026-03-01T12:00/,
    );
    await expect(world.prune()).rejects.toThrow(/nothing is pruned/);
    expect((await world.backup({ ignoreClock: true })).outcomes[0]!.status).toBe('completed');
    await world.prune({ ignoreClock: true });
    // What is dated ahead is shown, but is not the newest good one.
    const { entries } = await world.catalog();
    expect(entries).toHaveLength(2);
    const [chosen] = newestGoodRun(entries, 'prod', { now: world.runtime.now() }).copies;
    expect(chosen!.manifest!.created_at).toBe('2026-03-01T10:59:00.000Z');
    // Where nothing else is there, it is said why.
    expect(() => newestGoodRun(entries.slice(0, 1), 'prod', { now: world.runtime.now() })).toThrow(
      expect.objectContaining({
        hint: expect.stringMatching(/^that of 2026-03-01T12:00.* is dated ahead of/),
      }),
    );
  });
});

describe('verify after rot', () => {
  it('turns a backup from good to not good for everyone', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const rotten = await newest(world);
    const key = rotten.objects.find((object) => object.key.endsWith('.tar.zst'))!.key;
    const chunks: Uint8Array[] = [];
    for await (const chunk of world.storage.get(key)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    bytes[bytes.length >> 1]! ^= 1;
    await world.storage.delete(key);
    await world.storage.put(
      key,
      (async function* () {
        yield bytes;
      })(),
    );
    expect((await newest(world)).good).toBe(true); // nobody has looked yet
    expect((await world.verify(rotten)).overall).toBe('fail');
    const { entries } = await world.catalog();
    expect(entries.map(({ state, good }) => [state, good])).toEqual([
      ['verify failed', false],
      ['completed', true],
    ]);
    expect(newestGoodRun(entries, 'prod', { now: world.runtime.now() }).copies[0]).toBe(entries[1]);
    // Prune keeps the one that is good, though it is not the newest.
    world.at('2026-03-03T12:00:00Z');
    const { plan } = await world.prune({ policy: { keep_last: 1, auto_delete: true } });
    expect(plan.find(({ id }) => id === entries[1]!.manifest!.id)!.keep).toBe(true);

    // A lost part is seen by listing alone.
    await world.storage.delete(entries[1]!.objects.find((object) => object.key.endsWith('.tar.zst'))!.key);
    expect((await world.catalog()).entries.map(({ state }) => state)).toEqual(['verify failed', 'broken']);
  });

  it('a look at less takes back neither a failure nor a proof', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    await world.backup();
    const { folder, manifest, manifestBytes } = await newest(world);
    let minute = 0;
    const verified = async (level: string, result: 'pass' | 'fail', check?: string) => {
      world.at(`2026-03-02T12:${String(++minute).padStart(2, '0')}:00Z`);
      const fields = { id: manifest!.id, manifestBytes, level, result, ...(check && { check }) };
      await putMark(world.storage, folder, 'verified', fields, world.runtime);
      const entry = await newest(world);
      return [entry.state, entry.verified?.level, entry.proof?.level, entry.good];
    };
    expect(await verified('checksum', 'pass')).toEqual(['completed', 'checksum', undefined, true]);
    expect(await verified('restore', 'pass')).toEqual(['completed', 'restore', 'restore', true]);
    expect(await verified('checksum', 'pass')).toEqual(['completed', 'checksum', 'restore', true]);
    expect(await verified('content', 'pass')).toEqual(['completed', 'content', 'content', true]);
    const failed = ['verify failed', 'restore', undefined, false];
    expect(await verified('restore', 'fail', 'content')).toEqual(failed);
    expect(await verified('exists', 'pass')).toEqual(failed);
    expect(await verified('checksum', 'pass')).toEqual(failed);
    // What failed was the content: a test restore is not needed to see it right again.
    expect(await verified('content', 'pass')).toEqual(['completed', 'content', 'content', true]);
    expect(await verified('restore', 'fail', 'restore')).toEqual(failed);
    expect(await verified('content', 'pass')).toEqual(failed);
    expect(await verified('restore', 'pass')).toEqual(['completed', 'restore', 'restore', true]);
    expect(await verified('of-tomorrow', 'fail', 'of-tomorrow')).toEqual([
      'verify failed',
      'of-tomorrow',
      undefined,
      false,
    ]);
    expect(await verified('restore', 'pass')).toEqual(['completed', 'restore', 'restore', true]);
  });

  it('a garbled result does not hide an older one that failed', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    await world.backup();
    const entry = await newest(world);
    const fields = { id: entry.manifest!.id, manifestBytes: entry.manifestBytes, level: 'content' };
    await putMark(world.storage, entry.folder, 'verified', { ...fields, result: 'fail' }, world.runtime);
    const put = (name: string, text: string) =>
      world.storage.put(
        `${entry.folder}/${name}`,
        (async function* () {
          yield Buffer.from(text);
        })(),
      );
    await put('verified-9999-garbage.json', '{"result":"pass"');
    await put(
      'verified-9999-other.json',
      '{"result":"pass","level":"content","made_at":"x","manifest_sha256":"00"}',
    );
    expect((await newest(world)).state).toBe('verify failed');
  });
});

describe('pins', () => {
  it('a checkpoint is pinned until it is unpinned, anything else when it is pinned', async () => {
    const world = await makeWorld({ job: policy });
    world.write({ a: full });
    await world.backup({ type: 'checkpoint' });
    const checkpoint = await newest(world);
    expect(checkpoint.pinned).toBe(true);
    for (const day of [2, 3, 4]) {
      world.at(`2026-03-0${day}T12:00:00Z`);
      await world.backup();
    }
    expect((await world.catalog()).entries.map(({ manifest }) => manifest!.type)).toEqual([
      'full',
      'checkpoint',
    ]);
    const fields = { id: checkpoint.manifest!.id, manifestBytes: checkpoint.manifestBytes };
    await putMark(world.storage, checkpoint.folder, 'pinned', { ...fields, pinned: false }, world.runtime);
    world.at('2026-03-05T12:00:00Z');
    await world.backup();
    expect((await world.catalog()).entries.map(({ manifest }) => manifest!.type)).toEqual(['full']);
    expect((await objectsOf(world.storage)).every(({ key }) => !key.includes('checkpoint'))).toBe(true);
  });

  it('a checkpoint that failed is no more than the record of a failed run', async () => {
    const world = await makeWorld({ job: policy });
    rmSync(world.source, { recursive: true });
    expect((await world.backup({ type: 'checkpoint' })).outcomes[0]!.status).toBe('failed');
    expect(await newest(world)).toMatchObject({ state: 'failed', pinned: false });
  });
});

async function makeBackup(world: World, config: World['config']) {
  const { runJob } = await import('../../src/core/backup/job.ts');
  const options = {
    tags: [],
    only: [],
    exclude: [],
    waitLockMs: 0,
    ignoreClock: false,
    openDestination: async () => world.destination(),
  };
  return runJob(config, config.jobs['prod']!, options, world.runtime);
}

function messages(world: World): string {
  return world.events.map((event) => (event.type === 'log' ? event.message : '')).join('\n');
}
