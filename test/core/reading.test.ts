import { describe, expect, it } from 'vitest';
import { holdReadLease } from '../../src/core/reading.ts';
import { makeWorld, objectsOf } from './world.ts';

describe('a reading lease', () => {
  it('keeps prune away from what is being restored, and is gone afterwards', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const { entries } = await world.catalog();
    const old = entries[1]!;
    const lease = await holdReadLease(old, entries, 'restore', world.runtime);
    const policy = { keep_last: 1, auto_delete: true };
    const { plan, removed } = await world.prune({ policy });
    expect(removed).toEqual([]);
    expect(plan.find(({ id }) => id === old.manifest!.id)!.reasons.join()).toMatch(/being read/);
    await lease.release();
    expect((await objectsOf(world.storage)).some(({ key }) => /lease-read|deleting/.test(key))).toBe(false);
    expect((await world.prune({ policy })).removed).toEqual([old.manifest!.id]);
  });

  it('of a reader that was killed holds for two and a half hours, not for ever', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const { entries } = await world.catalog();
    await holdReadLease(entries[1]!, entries, 'restore', world.runtime);
    world.at('2026-03-02T15:00:00Z');
    expect((await world.prune({ policy: { keep_last: 1, auto_delete: true } })).removed).toHaveLength(1);
  });
});
