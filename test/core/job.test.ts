import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { groupLock } from '../../src/core/groups.ts';
import { takeLock } from '../../src/core/lock.ts';
import { DguardError } from '../../src/errors.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { withSteps } from '../../src/storages/wrap/steps.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld, objectsOf } from './world.ts';

const auto = ', retention: { keep_last: 1, auto_delete: true }';

describe('auto_delete', () => {
  it('prunes after a completed backup, never after a suspect, partial or failed one, nor a selection', async () => {
    const world = await makeWorld({ job: auto });
    world.write({ a: Buffer.alloc(9000, 'a'), b: Buffer.alloc(9000, 'b'), c: Buffer.alloc(9000, 'c') });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    const second = await world.backup();
    expect(second.pruned[0]!.removed).toHaveLength(1);
    world.at('2026-03-03T12:00:00Z');
    expect((await world.backup({ only: ['a'] })).pruned).toEqual([]);
    world.at('2026-03-04T12:00:00Z');
    const full = new DguardError('storage_failed', 'EIO');
    const failing = withFaults(world.storage, {
      operations: ['put'],
      keys: (key) => key.endsWith('.zst'),
      fault: { kind: 'throw', error: full },
    });
    expect((await world.backup({ storage: failing })).pruned).toEqual([]);
    world.at('2026-03-05T12:00:00Z');
    for (const name of ['a', 'b']) rmSync(join(world.source, name));
    const suspect = await world.backup();
    expect(suspect.outcomes[0]!.status).toBe('suspect');
    expect(suspect.pruned).toEqual([]);
    const states = (await world.catalog()).entries.map(({ state }) => state);
    expect(states).toEqual(['suspect', 'failed', 'completed', 'completed']);
  });
});

describe('a prune that fails after a completed backup', () => {
  it('is an error beside the backup, which is there', async () => {
    const world = await makeWorld({ job: auto });
    world.write({ a: 'a' });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    const failing = withFaults(world.storage, {
      operations: ['put'],
      keys: (key) => key.includes('/deleting-'),
      fault: { kind: 'throw', error: new DguardError('storage_failed', 'EIO') },
    });
    const [outcome] = (await world.backup({ storage: failing })).outcomes;
    expect(outcome).toMatchObject({ status: 'completed', error: { code: 'storage_failed' } });
    expect(outcome!.copies).toHaveLength(1);
    const [newest] = (await world.catalog()).entries;
    expect([newest!.manifest!.id, newest!.good]).toEqual([outcome!.manifest!.id, true]);
  });

  it('takes its marks back from what it could not remove', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const failing = withFaults(world.storage, {
      operations: ['delete'],
      keys: (key) => key.endsWith('/manifest.json'),
      fault: { kind: 'throw', error: new DguardError('storage_failed', 'EIO') },
    });
    const policy = { keep_last: 1, auto_delete: true };
    await expect(world.prune({ policy, destination: world.destination(failing) })).rejects.toThrow('EIO');
    expect((await world.catalog()).entries.map(({ good, deleting }) => [good, deleting])).toEqual([
      [true, false],
      [true, false],
    ]);
  });
});

describe('locks of a job', () => {
  it('a group that another run of this host holds fails with 5, and is waited for', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    const lock = await takeLock(
      groupLock(world.config, world.config.jobs['prod']!, 'docs'),
      'backup prod',
      0,
      {
        ...world.runtime,
        host: { ...world.runtime.host, name: 'testhost' },
      },
    );
    const refused = await world.backup();
    expect(refused.outcomes[0]).toMatchObject({ status: 'failed', error: { code: 'locked', exitStatus: 5 } });
    expect((await world.catalog()).entries).toEqual([]);
    setTimeout(() => void lock.release(), 200);
    expect((await world.backup({ waitLockMs: 20_000 })).outcomes[0]!.status).toBe('completed');
  });

  it('a fresh lease of another host locks; an old one, a dead one, one of others or to be deleted does not', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    const folder = 'prod/docs/full-2026-03-01T11-00-00Z-abcdefgh';
    const lease = {
      format: 1,
      id: 'full-2026-03-01T11-00-00Z-abcdefgh',
      folder,
      job: 'prod',
      datasource: 'docs',
      host: 'elsewhere',
      boot_id: 'x',
      pid: 1,
      started_at: '2026-03-01T11:00:00Z',
      references: [],
    };
    world.at('2026-03-01T11:00:00Z');
    const putLease = (text: object) =>
      putBytes(world.storage, `${folder}/lease-0000.json`, Buffer.from(JSON.stringify(text)));
    await putLease(lease);
    world.at('2026-03-01T12:00:00Z');
    const { outcomes } = await world.backup();
    expect(outcomes[0]).toMatchObject({ status: 'failed', error: { code: 'locked' } });
    expect(outcomes[0]!.error!.message).toMatch(/process 1 on elsewhere/);
    const mark = `${folder}/deleting-2026-03-01T12-00-00Z-000-abcdefgh.json`;
    await putBytes(world.storage, mark, Buffer.from('{}'));
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
    await world.storage.delete(mark);
    expect((await world.backup()).outcomes[0]).toMatchObject({ error: { code: 'locked' } });
    // That of another namespace is not of this group, and a writer of an earlier boot of this machine is gone.
    const machine = 'pid:[4026531836]';
    const earlier = { host: 'testhost', pid_namespace: machine };
    const backUpIn = (pidNamespace: string) =>
      world.backup({ runtime: { ...world.runtime, host: { ...world.runtime.host, pidNamespace } } });
    for (const more of [{ namespace: 'another' }, earlier]) {
      await world.storage.delete(`${folder}/lease-0000.json`);
      await putLease({ ...lease, ...more });
      expect((await backUpIn(machine)).outcomes[0]!.status, JSON.stringify(more)).toBe('completed');
    }
    // A container of that name may run on another machine, or beside this one, by numbers of its own.
    const beside = { host: 'testhost', boot_id: 'boot', pid: 2 ** 22 + 1 };
    const forget = () => world.storage.delete(`${folder}/lease-0000.json`);
    await forget();
    for (const [more, here] of [
      [earlier, 'pid:[1]'],
      [{ ...earlier, pid_namespace: 'pid:[1]' }, machine],
      [{ ...earlier, pid_namespace: 'pid:[1]' }, 'pid:[1]'],
      [{ ...beside, pid_namespace: 'pid:[1]' }, 'pid:[2]'],
      [beside, 'pid:[2]'],
    ] as const) {
      await putLease({ ...lease, ...more });
      const [outcome] = (await backUpIn(here)).outcomes;
      expect(outcome, JSON.stringify([more, here])).toMatchObject({ error: { code: 'locked' } });
      await forget();
    }
    await putLease({ ...lease, ...beside, pid_namespace: 'pid:[1]' });
    expect((await backUpIn('pid:[1]')).outcomes[0]!.status).toBe('completed');
    await world.storage.delete(`${folder}/lease-0000.json`);
    await putLease(lease);
    expect((await world.backup()).outcomes[0]).toMatchObject({ error: { code: 'locked' } });
    world.at('2026-03-01T15:00:00Z');
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
  });

  it('a host that still writes under a former name locks: it is one history', async () => {
    const world = await makeWorld({ job: ', formerly: [old/papers]' });
    world.write({ a: 'a' });
    const id = 'full-2026-03-01T11-00-00Z-abcdefgh';
    const folder = `old/papers/${id}`;
    const lease = {
      format: 1,
      id,
      folder,
      job: 'old',
      datasource: 'papers',
      host: 'elsewhere',
      references: [],
    };
    const put = (text: object) =>
      putBytes(world.storage, `${folder}/lease-0000.json`, Buffer.from(JSON.stringify(text)));
    await put(lease);
    expect((await world.backup()).outcomes[0]).toMatchObject({ error: { code: 'locked' } });
    await world.storage.delete(`${folder}/lease-0000.json`);
    await put({ ...lease, datasource: 'others' });
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
  });
});

describe('timeout and retries', () => {
  it('a job that does not end in time fails, and leaves nothing that is listed as good', async () => {
    const world = await makeWorld({ job: ', timeout: 1s' });
    world.write({ a: Buffer.alloc(2_000_000, 'a') });
    const slow = withSteps(world.storage, async (operation, key) => {
      if (operation === 'publish' && key.includes('.tar'))
        await new Promise((resolve) => setTimeout(resolve, 1500));
    });
    const { outcomes } = await world.backup({ storage: slow });
    expect(outcomes[0]).toMatchObject({ status: 'failed', error: { code: 'timeout', exitStatus: 1 } });
    expect((await world.catalog()).entries.filter(({ good }) => good)).toEqual([]);
  });

  it('a failure that may pass is tried again, as often as the job says', async () => {
    const world = await makeWorld({ job: ', retries: 1' });
    world.write({ a: 'a' });
    const error = new DguardError('storage_failed', 'a hiccup');
    const hiccup = withFaults(world.storage, {
      operations: ['put'],
      keys: (key) => key.endsWith('index.zst'),
      fault: { kind: 'throw', error },
    });
    const { outcomes } = await world.backup({ storage: hiccup });
    expect(outcomes[0]!.status).toBe('completed');
    expect((await world.catalog()).entries.map(({ state }) => state).sort()).toEqual(['completed', 'failed']);
    expect(JSON.stringify(world.events)).toContain('a hiccup; attempt 2 of 2 follows');
  });

  it('an empty source is not tried again', async () => {
    const world = await makeWorld({ job: ', retries: 3' });
    expect((await world.backup()).outcomes[0]).toMatchObject({
      status: 'failed',
      error: { code: 'source_empty' },
    });
    expect(JSON.stringify(world.events)).not.toContain('attempt');
  });
});

describe('free space', () => {
  async function crowded(job: string) {
    const world = await makeWorld({ job });
    world.write({ a: Buffer.alloc(50_000, 'abc') });
    for (const day of [1, 2]) {
      world.at(`2026-03-0${day}T12:00:00Z`);
      await world.backup();
    }
    world.at('2026-03-03T12:00:00Z');
    // As many bytes as two backups: a third one has no room until one is gone.
    const limit = (await objectsOf(world.storage)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const storage = {
      ...world.storage,
      space: async () => {
        const used = (await objectsOf(world.storage)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        return { freeBytes: limit - used, limitBytes: limit };
      },
    };
    return { world, storage };
  }

  it('is looked for before the first byte, and its lack says how much is missing', async () => {
    const { world, storage } = await crowded('');
    const before = await objectsOf(world.storage);
    const { outcomes } = await world.backup({ storage });
    expect(outcomes[0]).toMatchObject({ status: 'failed', error: { code: 'storage_full' } });
    expect(outcomes[0]!.error!.message).toMatch(/MiB are free, about .* are needed/);
    expect(
      (await objectsOf(world.storage)).filter(({ key }) => before.some((each) => each.key === key)),
    ).toEqual(before);
  });

  it('is made by what the policy removes anyway, where the job says auto_delete', async () => {
    const { world, storage } = await crowded('');
    const policy = { keep_last: 1, auto_delete: true };
    Object.assign(world.config.jobs['prod']!, {
      retention: policy,
      destinations: [{ name: 'store', retention: policy }],
    });
    const { outcomes } = await world.backup({ storage });
    expect(outcomes[0]!.status).toBe('completed');
    // Once before, for room, and once after, by the policy.
    expect((await world.catalog()).entries.map(({ manifest }) => manifest!.id)).toEqual([
      outcomes[0]!.manifest!.id,
    ]);
  });

  it('is looked for again after a run that found none: otherwise none would ever be made', async () => {
    const { world, storage } = await crowded('');
    expect((await world.backup({ storage })).outcomes[0]!.error!.code).toBe('storage_full');
    const policy = { keep_last: 1, auto_delete: true };
    Object.assign(world.config.jobs['prod']!, {
      retention: policy,
      destinations: [{ name: 'store', retention: policy }],
    });
    world.at('2026-03-04T12:00:00Z');
    expect((await world.catalog()).entries[0]!.state).toBe('failed');
    expect((await world.backup({ storage })).outcomes[0]!.status).toBe('completed');
  });

  it('is not made after a failed run: what is left may be all there is', async () => {
    const { world, storage } = await crowded('');
    const policy = { keep_last: 1, auto_delete: true };
    Object.assign(world.config.jobs['prod']!, {
      retention: policy,
      destinations: [{ name: 'store', retention: policy }],
    });
    rmSync(join(world.source, 'a'));
    await world.backup(); // an empty source leaves no record, so a failing destination does
    world.write({ a: Buffer.alloc(50_000, 'abc') });
    const error = new DguardError('storage_failed', 'EIO');
    const keys = (key: string) => key.endsWith('.zst');
    await world.backup({
      storage: withFaults(world.storage, { operations: ['put'], keys, fault: { kind: 'throw', error } }),
    });
    world.at('2026-03-04T12:00:00Z');
    expect((await world.backup({ storage })).outcomes[0]).toMatchObject({
      status: 'failed',
      error: { code: 'storage_full' },
    });
    expect((await world.catalog()).entries.filter(({ good }) => good)).toHaveLength(2);
  });
});
