import { randomBytes } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkDestination } from '../../src/core/health/destination.ts';
import { diagnoseDestination } from '../../src/core/health/destination-findings.ts';
import { diagnoseHost } from '../../src/core/health/host-findings.ts';
import { DguardError } from '../../src/errors.ts';
import type { Storage } from '../../src/storages/types.ts';
import { type FaultPlan, withFaults } from '../../src/storages/wrap/faults.ts';
import { makeWorld, type World } from './world.ts';

const check = (world: World, storage: Storage = world.storage, limitMs = 5_000) =>
  checkDestination('store', 'local', false, async () => world.destination(storage), limitMs, world.runtime);
const keysOf = async (storage: Storage) => {
  const keys: string[] = [];
  for await (const { key } of storage.list('')) keys.push(key);
  return keys;
};

describe('the check of a destination', () => {
  it('writes, reads, deletes, and leaves nothing', async () => {
    const world = await makeWorld();
    expect(await check(world)).toMatchObject({ status: 'healthy', roundTripMs: expect.any(Number) });
    expect(await keysOf(world.storage)).toEqual([]);
  });

  const io = new DguardError('storage_failed', 'input/output error');
  const faults: [string, FaultPlan, string, RegExp][] = [
    [
      'a put that fails',
      { operations: ['put'], fault: { kind: 'throw', error: io } },
      'unreachable',
      /input/,
    ],
    [
      'a disk that fills',
      { operations: ['put'], fault: { kind: 'full', afterBytes: 10 } },
      'full',
      /no space/,
    ],
    ['a put that lies', { operations: ['put'], fault: { kind: 'truncate' } }, 'unreachable', /other bytes/],
    [
      'a read that fails',
      { operations: ['get'], fault: { kind: 'throw', error: io } },
      'unreachable',
      /input/,
    ],
    [
      'a delete that fails once',
      { operations: ['delete'], fault: { kind: 'throw', error: io } },
      'unreachable',
      /input/,
    ],
    [
      'no way to tell the space',
      { operations: ['space'], fault: { kind: 'throw', error: io } },
      'unreachable',
      /input/,
    ],
  ];
  it.each(faults)('%s: says so, and leaves nothing', async (_, plan, status, why) => {
    const world = await makeWorld();
    const found = await check(world, withFaults(world.storage, plan));
    expect(found).toMatchObject({
      status,
      error: { message: expect.stringMatching(why), operation: 'check' },
    });
    expect(await keysOf(world.storage)).toEqual([]);
  });

  it('one that never answers is given up, and what was written is removed', async () => {
    const world = await makeWorld();
    const hung: Storage = {
      ...world.storage,
      async *get(_key, options) {
        await new Promise((_, reject) =>
          options?.signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true }),
        );
        yield new Uint8Array();
      },
    };
    expect(await check(world, hung, 200)).toMatchObject({
      status: 'unreachable',
      error: { code: 'timeout' },
    });
    expect(await keysOf(world.storage)).toEqual([]);
  });

  it('tells how far its clock is off', async () => {
    const world = await makeWorld();
    const ahead: Storage = {
      ...world.storage,
      async put(key, body, options) {
        const stored = await world.storage.put(key, body, options);
        return { ...stored, modifiedAt: new Date(stored.modifiedAt.getTime() + 2 * 3_600_000) };
      },
    };
    expect(await check(world, ahead)).toMatchObject({ status: 'healthy', clockAheadMs: 7_200_000 });
    const { findings } = await diagnoseDestination(
      world.config,
      'store',
      async () => world.destination(ahead),
      5_000,
      world.runtime,
    );
    expect(findings).toMatchObject([
      { severity: 'problem', topic: 'clock', message: expect.stringMatching(/2h ahead/) },
    ]);
  });

  it('killed in the middle: no backup is disturbed, and the next prune sweeps what it left', async () => {
    const world = await makeWorld({ job: ', retention: { keep_last: 3 }' });
    world.write({ 'a.txt': 'a' });
    const killed = withFaults(world.storage, {
      operations: ['put'],
      fault: { kind: 'die', afterwards: true },
    });
    expect(await check(world, killed)).toMatchObject({ status: 'unreachable' });
    const [left] = await keysOf(world.storage);
    expect(left).toMatch(/^dguard-check-[^/]+\/lease-0000\.json$/);
    // A backup beside it is not held up, and its prune leaves alone what may still be at work.
    const { outcomes } = await world.backup();
    expect(outcomes[0]).toMatchObject({ status: 'completed' });
    expect((await world.prune()).swept).toMatchObject([{ outcome: 'kept' }]);
    expect(await keysOf(world.storage)).toContain(left);
    // Days later, on another boot of the host.
    world.at('2026-03-05T12:00:00Z');
    const rebooted = { ...world.runtime, host: { ...world.runtime.host, bootId: 'another' } };
    const findings = async () =>
      (
        await diagnoseDestination(world.config, 'store', async () => world.destination(), 5_000, rebooted)
      ).findings.filter(({ topic }) => topic === 'leftovers');
    expect(await findings()).toMatchObject([
      { severity: 'warning', fix: { lines: ['dguard prune --destination store'] } },
    ]);
    const { pruneGroup } = await import('../../src/core/prune/prune.ts');
    const job = world.config.jobs['prod']!;
    const outcome = await pruneGroup(
      {
        destination: world.destination(),
        group: { namespace: '', job: 'prod', datasource: 'docs', formerly: [] },
        policy: job.retention,
        timeZone: 'UTC',
        hostName: 'testhost',
        sameSource: false,
        ignoreClock: false,
        dryRun: false,
      },
      rebooted,
    );
    expect(outcome.swept).toMatchObject([{ outcome: 'swept' }]);
    expect(await keysOf(world.storage)).not.toContain(left);
    expect(await findings()).toEqual([]);
  });
});

describe('the diagnosis of', () => {
  it('a destination: too little room for the next run, by the last one', async () => {
    const world = await makeWorld();
    world.write({ 'a.bin': randomBytes(3 * 1024 ** 2) });
    expect((await world.backup()).outcomes[0]).toMatchObject({ status: 'completed' });
    const found = async (freeBytes: number) => {
      const storage = { ...world.storage, space: async () => ({ freeBytes }) };
      const open = async () => world.destination(storage);
      return (await diagnoseDestination(world.config, 'store', open, 5_000, world.runtime)).findings;
    };
    expect(await found(1024 ** 3)).toEqual([]);
    expect(await found(100)).toMatchObject([{ severity: 'problem', topic: 'space', message: 'it is full' }]);
    expect(await found(2 * 1024 ** 2)).toMatchObject([
      {
        severity: 'problem',
        subject: 'prod',
        message: expect.stringMatching(/^2.0 MiB are free, the next run of prod needs about 3\.[34] MiB/),
        fix: { lines: ['dguard prune --destination store --dry-run'] },
      },
    ]);
  });

  it('this host: folders in temp_dir that a killed run left, and no others', async () => {
    const world = await makeWorld();
    const make = (name: string, mode: number, ageDays: number, isMarked = true) => {
      const path = join(world.folder, name);
      mkdirSync(path, { mode });
      if (isMarked) writeFileSync(join(path, 'owner.json'), '{');
      const at = new Date(world.runtime.now().getTime() - ageDays * 86_400_000);
      utimesSync(path, at, at);
      return path;
    };
    const left = make('dguard-restore-a1B2c3', 0o700, 2);
    make('dguard-backup', 0o700, 2, false);
    make('dguard-Ab12Cd', 0o700, 0);
    make('dguard-e2e-a1B2c3', 0o700, 2);
    make('dguard-Ab12Ce', 0o755, 2);
    const chosen = { datasources: ['docs'], destinations: [] };
    const findings = (await diagnoseHost(world.config, chosen, [], world.runtime)).filter(
      ({ topic }) => topic === 'leftovers',
    );
    expect(findings).toMatchObject([{ subject: left, fix: { lines: [`rm -r -- ${left}`] } }]);
  });
});
