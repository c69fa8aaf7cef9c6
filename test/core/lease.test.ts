import { hostname } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createFanout, type Target } from '../../src/archive/fanout.ts';
import { holdLease, leaseKeys, readLease } from '../../src/core/lease.ts';
import { DguardError } from '../../src/errors.ts';
import type { Runtime } from '../../src/runtime.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject } from '../../src/storages/read.ts';
import type { Storage, StoredObject } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';

const HOUR_MS = 60 * 60 * 1000;
const FOLDER = 'job/source/full-2026-01-02T03-04-05Z-abcdefgh';

// Only the hourly timer is not real: the storages and the fan-out keep their own time.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const runtime = {
  host: { name: hostname(), bootId: 'boot', pid: 42, pidStart: '7', privileged: false },
} as unknown as Runtime;

async function hold(storages: Readonly<Record<string, Storage>>) {
  const drops: string[] = [];
  const targets = Object.entries(storages).map(
    ([name, storage]): Target => ({ name, storage, folder: FOLDER }),
  );
  const fanout = createFanout(targets, {
    signal: new AbortController().signal,
    stallMs: 100,
    onDrop: (target, error) => drops.push(`${target.name} ${error.code}`),
  });
  const facts = {
    id: 'full-2026-01-02T03-04-05Z-abcdefgh',
    namespace: '',
    job: 'job',
    datasource: 'source',
    startedAt: new Date('2026-01-02T03:04:05Z'),
    references: ['full-2026-01-01T03-04-05Z-bcdefgha'],
  };
  return { lease: await holdLease(fanout, targets, facts, runtime), fanout, targets, drops };
}

async function objectsOf(storage: Storage): Promise<StoredObject[]> {
  const found: StoredObject[] = [];
  for await (const object of storage.list(`${FOLDER}/`)) found.push(object);
  return found;
}

const namesOf = async (storage: Storage) =>
  (await objectsOf(storage)).map(({ key }) => key.slice(FOLDER.length + 1));

describe('a lease', () => {
  it('is the first object, says who and for what, and is renewed every hour by a further one', async () => {
    const storage = memoryStorage();
    const { lease, targets } = await hold({ here: storage });
    expect(await namesOf(storage)).toEqual(['lease-0000.json']);
    expect(await readLease(storage, FOLDER, await objectsOf(storage))).toMatchObject({
      job: 'job',
      host: hostname(),
      boot_id: 'boot',
      pid: 42,
      references: ['full-2026-01-01T03-04-05Z-bcdefgha'],
    });
    vi.advanceTimersByTime(HOUR_MS - 1000);
    expect(await namesOf(storage)).toEqual(['lease-0000.json']);
    vi.advanceTimersByTime(2 * HOUR_MS);
    await lease.stop();
    const names = ['lease-0000.json', 'lease-0001.json', 'lease-0002.json'];
    expect(await namesOf(storage)).toEqual(names);
    expect([...lease.objects(targets[0]!).keys()]).toEqual(names);
  });

  it('says which folder it is of: in another one, where it was copied to, it says nothing', async () => {
    const storage = memoryStorage();
    await hold({ here: storage });
    const [original] = await objectsOf(storage);
    const bytes = await readObject(storage, original!.key, 10_000);
    const elsewhere = 'job/source/a-copy-by-hand';
    const copy = await putBytes(storage, `${elsewhere}/lease-0000.json`, bytes);
    expect(await readLease(storage, elsewhere, [copy])).toBeUndefined();
    expect(await readLease(storage, FOLDER, [original!])).toBeDefined();
  });

  it("of a reader is no writer's: a folder that has nothing else was not left by a run", async () => {
    const storage = memoryStorage();
    await hold({ here: storage });
    await putBytes(storage, `${FOLDER}/lease-read-0001.json`, Buffer.from('{}'));
    expect(leaseKeys(await objectsOf(storage))).toEqual([`${FOLDER}/lease-0000.json`]);
  });

  it("is the newest that can be read and names this folder: a cut one does not make a run nobody's", async () => {
    const storage = memoryStorage();
    const { lease } = await hold({ here: storage });
    await lease.stop();
    const [first] = await objectsOf(storage);
    const known = JSON.parse((await readObject(storage, first!.key, 10_000)).toString('utf8')) as object;
    const put = (number: string, bytes: string | Buffer) =>
      putBytes(storage, `${FOLDER}/lease-${number}.json`, Buffer.from(bytes));
    await put('0001', JSON.stringify({ ...known, references: ['of-the-newest'] }));
    await put('0002', '{"id":"cut');
    await put('0003', JSON.stringify({ ...known, folder: 'job/source/elsewhere', references: [] }));
    await put('0004', Buffer.alloc(2 * 1024 * 1024, ' '));
    const found = await readLease(storage, FOLDER, await objectsOf(storage));
    expect(found).toMatchObject({ pid: 42, references: ['of-the-newest'] });
  });

  it('that the storage cannot give now is an error, not the absence of a lease', async () => {
    const storage = memoryStorage();
    await hold({ here: storage });
    const fault = { kind: 'throw', error: new DguardError('storage_failed', 'connection reset') } as const;
    const flaky = withFaults(storage, { operations: ['get'], fault });
    const objects = await objectsOf(storage);
    await expect(readLease(flaky, FOLDER, objects)).rejects.toThrow('connection reset');
  });

  it('ends with stop', async () => {
    const storage = memoryStorage();
    const { lease } = await hold({ here: storage });
    await lease.stop();
    vi.advanceTimersByTime(5 * HOUR_MS);
    await lease.stop();
    expect(await namesOf(storage)).toEqual(['lease-0000.json']);
  });

  it('where it cannot be renewed, that destination is dropped, and only that one', async () => {
    const good = memoryStorage();
    const fault = { kind: 'throw', error: new DguardError('storage_failed', 'gone') } as const;
    const bad = withFaults(memoryStorage(), { operations: ['put'], atCall: 2, fault });
    const { lease, drops, targets } = await hold({ bad, good });
    expect(drops).toEqual([]);
    vi.advanceTimersByTime(HOUR_MS);
    await lease.stop();
    expect(drops).toEqual(['bad storage_failed']);
    expect([...lease.objects(targets[0]!).keys()]).toEqual(['lease-0000.json']);
    expect(await namesOf(good)).toEqual(['lease-0000.json', 'lease-0001.json']);
  });

  it('a destination that never answers holds up neither the first lease nor stop', async () => {
    const good = memoryStorage();
    const stuck: Storage = { ...memoryStorage(), put: () => new Promise(() => undefined) };
    const { lease, drops } = await hold({ stuck, good });
    expect(drops).toEqual(['stuck timeout']);
    vi.advanceTimersByTime(HOUR_MS);
    await lease.stop();
    expect(await namesOf(good)).toEqual(['lease-0000.json', 'lease-0001.json']);
    expect(drops).toEqual(['stuck timeout']);
  });
});
