import { describe, expect, it } from 'vitest';
import { holdReadLease } from '../../src/core/reading.ts';
import { makeWorld, objectsOf } from './world.ts';

/** Two backups, of which the older one is being read, and what would prune it. */
async function readingOldOfTwo() {
  const world = await makeWorld();
  world.write({ a: 'a' });
  await world.backup();
  world.at('2026-03-02T12:00:00Z');
  await world.backup();
  const { entries } = await world.catalog();
  const old = entries[1]!;
  const lease = await holdReadLease(old, entries, 'restore', world.runtime);
  const prune = () => world.prune({ policy: { keep_last: 1, auto_delete: true } });
  return { world, oldId: old.manifest!.id, lease, prune };
}

describe('a reading lease', () => {
  it('keeps prune away from what is being restored, and is gone afterwards', async () => {
    const { world, oldId, lease, prune } = await readingOldOfTwo();
    const { plan, removed } = await prune();
    expect(removed).toEqual([]);
    expect(plan.find(({ id }) => id === oldId)!.reasons.join()).toMatch(/being read/);
    await lease.release();
    expect((await objectsOf(world.storage)).some(({ key }) => /lease-read|deleting/.test(key))).toBe(false);
    expect((await prune()).removed).toEqual([oldId]);
  });

  it('of a reader that was killed holds for two and a half hours, not for ever', async () => {
    const { world, oldId, prune } = await readingOldOfTwo();
    world.at('2026-03-02T14:20:00Z');
    expect((await prune()).removed).toEqual([]);
    world.at('2026-03-02T15:00:00Z');
    expect((await prune()).removed).toEqual([oldId]);
  });
});
