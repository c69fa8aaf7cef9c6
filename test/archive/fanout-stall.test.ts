import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createFanout, type Target } from '../../src/archive/fanout.ts';
import { DguardError } from '../../src/errors.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { noise } from './support.ts';

const MIB = 1024 * 1024;
const STALL_MS = 500;
/** Far more than the queue before a destination, so that a writer has to wait for one that takes nothing. */
const BODY = noise(24 * MIB, 3);

const never = new Promise<never>(() => undefined);

/** A destination that accepts the call and then does nothing any more, as a hanging mount. */
function takesNothing(): Storage {
  return { ...memoryStorage(), put: () => never };
}

/** Takes every byte and never says that they are safe. */
function neverAnswers(): Storage {
  return {
    ...memoryStorage(),
    async put(_key, body) {
      for await (const _ of body);
      return never;
    },
  };
}

/** Pauses after each chunk: slow, but it moves. */
function slow(inner: Storage, pauseMs: number): Storage {
  return {
    ...inner,
    put: (key, body, options) =>
      inner.put(
        key,
        (async function* () {
          for await (const chunk of body) {
            yield chunk;
            await sleep(pauseMs);
          }
        })(),
        options,
      ),
  };
}

function fanoutOf(storages: Readonly<Record<string, Storage>>, signal = new AbortController().signal) {
  const drops: string[] = [];
  const targets = Object.entries(storages).map(([name, storage]): Target => ({ name, storage, folder: 'f' }));
  const fanout = createFanout(targets, {
    signal,
    stallMs: STALL_MS,
    onDrop: (target, error) => drops.push(`${target.name} ${error.code}`),
  });
  return { fanout, drops, targets };
}

async function writeAll(fanout: ReturnType<typeof fanoutOf>['fanout'], body: Buffer = BODY): Promise<void> {
  const object = fanout.open('a.tar');
  for (let at = 0; at < body.length; at += MIB) await object.write(body.subarray(at, at + MIB));
  await object.close();
}

describe('a destination that stalls', () => {
  it.each([
    ['takes nothing', takesNothing],
    ['takes all and never answers', neverAnswers],
  ])('%s: it is dropped, the others have every byte', async (_, stuck) => {
    const good = memoryStorage();
    const { fanout, drops } = fanoutOf({ stuck: stuck(), good });
    await writeAll(fanout);
    expect(drops).toEqual(['stuck timeout']);
    expect((await readObject(good, 'f/a.tar', BODY.length)).equals(BODY)).toBe(true);
    // Dropped once: what follows no longer waits for it.
    await fanout.put('index.zst', Buffer.from('index'));
    expect(drops).toEqual(['stuck timeout']);
  });

  it.each([
    ['takes nothing', takesNothing],
    ['takes all and never answers', neverAnswers],
  ])('%s: a small object does not wait for ever either', async (_, stuck) => {
    const good = memoryStorage();
    const { fanout, drops } = fanoutOf({ stuck: stuck(), good });
    await fanout.put('SHA256SUMS', Buffer.from('sums'));
    expect(drops).toEqual(['stuck timeout']);
    expect((await readObject(good, 'f/SHA256SUMS', 100)).toString()).toBe('sums');
  });

  it('alone: the run fails and says why and what next', async () => {
    const { fanout } = fanoutOf({ stuck: takesNothing() });
    await expect(writeAll(fanout)).rejects.toMatchObject({
      code: 'timeout',
      subject: 'stuck',
      hint: expect.stringContaining('check the destination'),
    });
  });

  it('its call is told to stop', async () => {
    let seen: AbortSignal | undefined;
    const storage: Storage = {
      ...memoryStorage(),
      put: (_key, _body, options) => {
        seen = options?.signal;
        return never;
      },
    };
    const { fanout } = fanoutOf({ stuck: storage, good: memoryStorage() });
    await writeAll(fanout);
    expect(seen?.aborted).toBe(true);
  });

  it('a call besides the objects (a lease, a listing, the manifest) does not wait for ever', async () => {
    const { fanout, drops, targets } = fanoutOf({ stuck: takesNothing(), good: memoryStorage() });
    expect(await fanout.attempt(targets[0]!, () => never)).toBe(undefined);
    expect(await fanout.attempt(targets[1]!, async () => 'answer')).toBe('answer');
    expect(drops).toEqual(['stuck timeout']);
  });

  it('an interrupt leaves such a call little time, and lets one that answers end', async () => {
    const controller = new AbortController();
    const targets = ['stuck', 'good'].map(
      (name): Target => ({ name, storage: memoryStorage(), folder: 'f' }),
    );
    const drops: string[] = [];
    const fanout = createFanout(targets, {
      signal: controller.signal,
      stallMs: 60_000,
      cleanupMs: STALL_MS,
      onDrop: (target, error) => drops.push(`${target.name} ${error.code}`),
    });
    const stuck = fanout.attempt(targets[0]!, () => never);
    const good = fanout.attempt(targets[1]!, () => sleep(STALL_MS / 3, 'answer'));
    controller.abort(new DguardError('interrupted', 'interrupted'));
    expect(await good).toBe('answer');
    expect(await stuck).toBe(undefined);
    expect(await fanout.attempt(targets[1]!, async () => 'manifest')).toBe('manifest');
    expect(drops).toEqual(['stuck timeout']);
  });

  it('a slow one that moves is not dropped, however long it takes in all', async () => {
    const inner = memoryStorage();
    const { fanout, drops } = fanoutOf({ slow: slow(inner, STALL_MS / 10) });
    const started = performance.now();
    await writeAll(fanout);
    expect(performance.now() - started).toBeGreaterThan(1.5 * STALL_MS);
    expect(drops).toEqual([]);
    expect((await readObject(inner, 'f/a.tar', BODY.length)).equals(BODY)).toBe(true);
  });

  it('an interrupt does not wait for it', async () => {
    const controller = new AbortController();
    const { fanout } = fanoutOf({ stuck: takesNothing() }, controller.signal);
    const writing = writeAll(fanout);
    setTimeout(() => controller.abort(new DguardError('interrupted', 'interrupted')), STALL_MS / 5);
    await expect(writing).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('a destination that fails', () => {
  it.each([
    ['at once', { kind: 'throw', error: new DguardError('storage_failed', 'refused') }, 'storage_failed'],
    ['when it is full', { kind: 'full', afterBytes: 3 * MIB }, 'storage_full'],
    ['when it goes away', { kind: 'die', afterBytes: 5 * MIB }, 'storage_failed'],
  ] as const)(
    '%s: it is dropped once, has nothing under the key, the others are whole',
    async (_, fault, code) => {
      const inner = memoryStorage();
      const good = memoryStorage();
      const bad = withFaults(inner, { operations: ['put'], atCall: 'every', fault });
      const { fanout, drops } = fanoutOf({ bad, good });
      await writeAll(fanout);
      await fanout.put('index.zst', Buffer.from('index'));
      expect(drops).toEqual([`bad ${code}`]);
      expect(await inner.stat('f/a.tar')).toBe(undefined);
      expect((await readObject(good, 'f/a.tar', BODY.length)).equals(BODY)).toBe(true);
      expect(fanout.written.map(({ name }) => name)).toEqual(['a.tar', 'index.zst']);
    },
  );

  it('all of them: the first error is thrown, no later one in its place', async () => {
    const full = withFaults(memoryStorage(), { fault: { kind: 'full', afterBytes: MIB } });
    const refused = withFaults(memoryStorage(), { fault: { kind: 'die', afterBytes: 20 * MIB } });
    const { fanout, drops } = fanoutOf({ refused, full });
    await expect(writeAll(fanout)).rejects.toMatchObject({ code: 'storage_full' });
    expect(drops).toEqual(['full storage_full', 'refused storage_failed']);
  });

  it('an object that is given up, as its source failed, is no fault of a destination', async () => {
    const storage = memoryStorage();
    const targets: Target[] = [
      { name: 'a', storage, folder: 'f' },
      { name: 'b', storage: memoryStorage(), folder: 'f' },
    ];
    const drops: string[] = [];
    const fanout = createFanout(targets, {
      signal: new AbortController().signal,
      stallMs: 60_000,
      onDrop: (target) => drops.push(target.name),
    });
    const object = fanout.open('broken');
    await object.write(BODY.subarray(0, MIB));
    await object.abort(new DguardError('source_failed', 'the server is gone'));
    expect(drops).toEqual([]);
    expect([...fanout.dropped.keys()]).toEqual([]);
    await expect(readObject(storage, 'f/broken', MIB)).rejects.toThrow();
    const next = fanout.open('next');
    await next.write(BODY.subarray(0, 10));
    await next.close();
    expect(await readObject(storage, 'f/next', MIB)).toHaveLength(10);
  });
});
