import { describe, expect, it, vi } from 'vitest';
import type { CatalogEntry } from '../../src/core/catalog.ts';
import { holdReadLease } from '../../src/core/reading.ts';
import type { HostFacts } from '../../src/runtime.ts';
import { readObject } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld, objectsOf } from './world.ts';

/** Two backups, of which the older one is being read, and what would prune it. */
async function readingOldOfTwo(reader: Partial<HostFacts> = {}) {
  const world = await makeWorld();
  world.write({ a: 'a' });
  await world.backup();
  world.at('2026-03-02T12:00:00Z');
  await world.backup();
  const { entries } = await world.catalog();
  const old = entries[1]!;
  const lease = await holdReadLease(old, entries, 'restore', {
    ...world.runtime,
    host: { ...world.runtime.host, ...reader },
  });
  const prune = () => world.prune({ policy: { keep_last: 1, auto_delete: true } });
  return { world, oldId: old.manifest!.id, lease, prune };
}

describe('a reading lease', () => {
  it('keeps prune away from what is being restored, and is gone afterwards', async () => {
    const { world, oldId, lease, prune } = await readingOldOfTwo();
    const { plan, removed } = await prune();
    expect(removed).toEqual([]);
    expect(plan.find(({ id }) => id === oldId)!.reasons.join()).toMatch(
      `being read (restore, verify or sync), by process ${process.pid} on testhost; its lease ends at 2026-03-02T14:30:00.000Z`,
    );
    await lease.release();
    expect((await objectsOf(world.storage)).some(({ key }) => /lease-read|deleting/.test(key))).toBe(false);
    expect((await prune()).removed).toEqual([oldId]);
  });

  it('of a process of this host that has ended is over', async () => {
    // No process of that number started then.
    const { world, oldId, prune } = await readingOldOfTwo({ pidStart: 'never' });
    expect((await prune()).removed).toEqual([oldId]);
    expect((await objectsOf(world.storage)).some(({ key }) => /lease-read|deleting/.test(key))).toBe(false);
  });

  it('of a process of another container, that is not seen from here, is not over', async () => {
    const { world, oldId, prune } = await readingOldOfTwo({ pidStart: 'never' });
    const { key } = (await objectsOf(world.storage)).find((object) => object.key.includes('/lease-read-'))!;
    const { signal } = world.runtime;
    const said = JSON.parse((await readObject(world.storage, key, 10_000, signal)).toString());
    expect(said.pid_namespace).toMatch(/^pid:/);
    await world.storage.delete(key);
    await putBytes(world.storage, key, Buffer.from(JSON.stringify({ ...said, pid_namespace: 'pid:[1]' })));
    expect((await prune()).removed).toEqual([]);
    world.at('2026-03-02T15:00:00Z');
    expect((await prune()).removed).toEqual([oldId]);
  });

  it.each<Partial<HostFacts>>([
    { name: 'elsewhere', pidStart: 'never' },
    { bootId: '' },
    { bootId: 'of another machine of this name' },
  ])('of a reader that was killed holds for two and a half hours, not for ever: %j', async (reader) => {
    const { world, oldId, prune } = await readingOldOfTwo(reader);
    world.at('2026-03-02T14:20:00Z');
    expect((await prune()).removed).toEqual([]);
    world.at('2026-03-02T15:00:00Z');
    expect((await prune()).removed).toEqual([oldId]);
  });

  it('is said anew every hour: who reads for longer than that is spared all the while', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { world, oldId, lease, prune } = await readingOldOfTwo();
      const said = async () =>
        (await objectsOf(world.storage)).filter(({ key }) => key.includes('/lease-read-')).length;
      expect(await said()).toBe(1);
      for (const hour of [13, 14, 15]) {
        world.at(`2026-03-02T${hour}:00:00Z`);
        vi.advanceTimersByTime(60 * 60 * 1000);
        await vi.waitFor(async () => expect(await said()).toBe(hour - 11), 60_000);
      }
      world.at('2026-03-02T16:00:00Z');
      expect((await prune()).removed).toEqual([]);
      await lease.release();
      expect(await said()).toBe(0);
      expect((await prune()).removed).toEqual([oldId]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('that is just being said anew when the reader ends is taken away too', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { world, lease } = await readingOldOfTwo();
      await lease.release();
      const { entries } = await world.catalog();
      let open = () => {};
      let gate: Promise<void> | undefined;
      const storage: Storage = {
        ...world.storage,
        put: async (...args) => {
          await gate;
          return world.storage.put(...args);
        },
      };
      const copy = { ...entries[1]!, destination: world.destination(storage) };
      const slow = await holdReadLease(copy, [copy], 'restore', world.runtime);
      gate = new Promise((resolve) => {
        open = resolve;
      });
      vi.advanceTimersByTime(60 * 60 * 1000);
      const ended = slow.release();
      // Whatever does not wait for that one is done by now.
      for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
      open();
      await ended;
      for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
      expect((await objectsOf(world.storage)).filter(({ key }) => key.includes('/lease-read-'))).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('lies beside all that the backup refers to: without them it cannot be read', async () => {
    const { world, lease } = await readingOldOfTwo();
    await lease.release();
    const { entries } = await world.catalog();
    const [child, parent] = entries as [CatalogEntry, CatalogEntry];
    const references = [{ id: parent.manifest!.id, root_sha256: parent.manifest!.index!.root.sha256 }];
    const copy = { ...child, manifest: { ...child.manifest!, references } };
    const held = await holdReadLease(copy, [copy, parent], 'verify', world.runtime);
    const places = (await objectsOf(world.storage)).flatMap(({ key }) =>
      key.includes('/lease-read-') ? [key.slice(0, key.lastIndexOf('/'))] : [],
    );
    expect(places.sort()).toEqual([parent.folder, copy.folder].sort());
    await held.release();
  });
});
