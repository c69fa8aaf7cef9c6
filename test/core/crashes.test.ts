import { describe, expect, it } from 'vitest';
import { deleteCopies } from '../../src/core/prune/delete.ts';
import { DguardError } from '../../src/errors.ts';
import type { Storage } from '../../src/storages/types.ts';
import { type Fault, withFaults } from '../../src/storages/wrap/faults.ts';
import { brokenPromises, makeWorld, objectsOf, type World } from './world.ts';

/** Above what Linux gives out. */
const DEAD_PID = 2 ** 22 + 1;
const keepTwo = { keep_last: 2, auto_delete: true };

/** How a storage can fail at its n-th call; the last two only at a put. */
const FAULTS: readonly [string, () => Fault][] = [
  ['dies', () => ({ kind: 'die' })],
  ['dies in the middle of a put', () => ({ kind: 'die', afterBytes: 100 })],
  ['dies after a put that it does not confirm', () => ({ kind: 'die', afterwards: true })],
  ['fails once (EIO)', () => ({ kind: 'throw', error: new DguardError('storage_failed', 'EIO') })],
  ['is full (ENOSPC)', () => ({ kind: 'full', afterBytes: 0 })],
];

const COMMANDS: readonly [string, (world: World, storage: Storage) => Promise<unknown>][] = [
  ['backup', (world, storage) => world.backup({ storage, runtime: world.runtime })],
  [
    'backup that prunes',
    async (world, storage) => {
      const job = world.config.jobs['prod']! as { retention: unknown; destinations: unknown };
      job.retention = keepTwo;
      job.destinations = [{ name: 'store', retention: keepTwo }];
      await world.backup({ storage, runtime: world.runtime });
    },
  ],
  [
    'prune',
    (world, storage) =>
      world.prune({ policy: { keep_last: 1, auto_delete: true }, destination: world.destination(storage) }),
  ],
  [
    'delete',
    async (world, storage) => {
      const { entries } = await world.catalog();
      const here = entries.map((entry) => ({ ...entry, destination: world.destination(storage) }));
      await deleteCopies([here[1]!], here, false, world.runtime);
    },
  ],
  [
    'verify',
    async (world, storage) => {
      const { verifyCopy } = await import('../../src/core/verify/verify.ts');
      const { entries } = await world.catalog();
      const here = entries.map((entry) => ({ ...entry, destination: world.destination(storage) }));
      await verifyCopy(here[0]!, here, 'content', world.runtime);
    },
  ],
];

async function threeBackups(): Promise<World> {
  const world = await makeWorld();
  world.write({ a: Buffer.alloc(3_000, 'a'), b: 'small' });
  for (const day of [1, 2, 3]) {
    world.at(`2026-03-0${day}T12:00:00Z`);
    await world.backup({ runtime: { ...world.runtime, host: { ...world.runtime.host, pid: DEAD_PID } } });
  }
  world.at('2026-03-04T12:00:00Z');
  return world;
}

describe.each(COMMANDS)('%s on a storage that, at any call,', (command, run) => {
  it.each(FAULTS)('%s: every good backup stays whole, and the next commands clean up', async (_, fault) => {
    const begun = await threeBackups();
    for (let call = 1; ; call++) {
      const world = await begun.fork();
      world.at('2026-03-04T12:00:00Z');
      // The process that meets the fault is dead afterwards; the one that runs the test is not.
      const host = { ...world.runtime.host, pid: DEAD_PID };
      const dead = { ...world, runtime: { ...world.runtime, host } };
      const newest = (await world.catalog()).entries[0]!.folder;
      let reached = false;
      const counting = withFaults(world.storage, { atCall: call, fault: fault() });
      let calls = 0;
      const counted = countCalls(counting, () => {
        calls++;
        reached ||= calls === call;
      });
      await run(dead, counted).catch(() => undefined);
      const when = `${command}, call ${call}`;
      expect(await brokenPromises(world), when).toEqual([]);
      const { entries } = await world.catalog();
      expect(entries.find(({ folder }) => folder === newest)?.good, `${when}: the newest good one`).toBe(
        true,
      );

      // A day later: the next backup and the next prune work, and leave no half thing behind.
      world.at('2026-03-06T12:00:00Z');
      const { outcomes } = await world.backup();
      expect(outcomes[0]?.status, `${when}: ${outcomes[0]?.error?.message}`).toBe('completed');
      const { swept } = await world.prune({ policy: keepTwo });
      expect(await brokenPromises(world), when).toEqual([]);
      const after = await world.catalog();
      expect(after.unfinished, `${when}: leftovers ${JSON.stringify(swept)}`).toEqual([]);
      expect(
        after.entries.filter(({ good }) => good),
        when,
      ).toHaveLength(2);
      expect(
        after.entries.filter(({ state }) => !['completed', 'failed'].includes(state)),
        when,
      ).toEqual([]);
      if (!reached) break;
    }
  });
});

function after<T>(first: () => void, then: () => T): T {
  first();
  return then();
}

function countCalls(storage: Storage, onCall: () => void): Storage {
  return {
    ...storage,
    put: (...args) => after(onCall, () => storage.put(...args)),
    get: (...args) => after(onCall, () => storage.get(...args)),
    stat: (...args) => after(onCall, () => storage.stat(...args)),
    list: (...args) => after(onCall, () => storage.list(...args)),
    delete: (...args) => after(onCall, () => storage.delete(...args)),
    space: (...args) => after(onCall, () => storage.space(...args)),
  };
}

describe('a lie of the storage', () => {
  it('a put that drops its last byte is found before the manifest: the run fails', async () => {
    const begun = await threeBackups();
    for (let call = 1; call < 12; call++) {
      const world = await begun.fork();
      const lying = withFaults(world.storage, {
        operations: ['put'],
        atCall: call,
        fault: { kind: 'truncate' },
      });
      const { outcomes } = await world.backup({ storage: lying });
      expect(await brokenPromises(world)).toEqual([]);
      const { entries } = await world.catalog();
      const whole = entries.filter(({ good }) => good).length;
      // Of the manifest's own put nobody hears: it is listed as damaged, never as good.
      expect(whole, `call ${call}`).toBe(
        outcomes[0]!.status === 'completed' && !entries.some(({ state }) => state === 'damaged') ? 4 : 3,
      );
      expect(await objectsOf(world.storage)).not.toHaveLength(0);
    }
  });
});
