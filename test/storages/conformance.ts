import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DguardError } from '../../src/errors.ts';
import { readObject, readRange } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { putBytes } from '../../src/storages/write.ts';
import { chunked, collect, failing, listed } from './support.ts';

const MIB = 1024 * 1024;

export interface Made {
  storage: Storage;
  /** Removes what the storage left behind. */
  dispose?: () => Promise<void>;
}

/** The suite that every storage passes. `makeStorage` gives an empty one for each test. */
export function storageConformance(name: string, makeStorage: () => Promise<Made>): void {
  describe(`storage contract: ${name}`, () => {
    let made: Made;
    let storage: Storage;
    beforeEach(async () => {
      made = await makeStorage();
      storage = made.storage;
    });
    afterEach(async () => {
      await storage.close();
      await made.dispose?.();
    });

    const keys = async (prefix = '') => (await listed(storage, prefix)).map((object) => object.key);

    test('what is put comes back, with its facts', async () => {
      const bytes = randomBytes(100_000);
      const put = await storage.put('job/db/full-1/database.dump.zst', chunked(bytes, 777));
      expect(put).toEqual({
        key: 'job/db/full-1/database.dump.zst',
        sizeBytes: 100_000,
        modifiedAt: expect.any(Date),
      });
      expect(await storage.stat(put.key)).toEqual(put);
      expect(await listed(storage, '')).toEqual([put]);
      expect(bytes.equals(await readObject(storage, put.key, 100_000))).toBe(true);
    });

    test('an empty storage lists nothing', async () => {
      expect(await keys()).toEqual([]);
      expect(await keys('job/')).toEqual([]);
    });

    test('an empty object', async () => {
      await storage.put('a/empty', chunked(Buffer.alloc(0)), { sizeBytes: 0 });
      expect((await storage.stat('a/empty'))?.sizeBytes).toBe(0);
      expect(await collect(storage.get('a/empty'))).toEqual(Buffer.alloc(0));
      expect(await collect(storage.get('a/empty', { offset: 0, length: 5 }))).toEqual(Buffer.alloc(0));
      expect(await readObject(storage, 'a/empty', 10)).toEqual(Buffer.alloc(0));
    });

    test('an object of 20 MiB in chunks of all sizes, whole and by range', async () => {
      const bytes = randomBytes(20 * MIB);
      await storage.put('big', unevenly(bytes), { sizeBytes: bytes.length });
      expect(sha256(await collect(storage.get('big')))).toBe(sha256(bytes));
      const [offset, length] = [3 * MIB + 1, 9 * MIB + 7];
      const part = await readRange(storage, 'big', offset, length);
      expect(sha256(part)).toBe(sha256(bytes.subarray(offset, offset + length)));
    });

    test('a producer that uses its buffer again does not spoil the object', async () => {
      const buffer = Buffer.alloc(1000);
      await storage.put(
        'reused',
        (async function* () {
          for (let i = 1; i <= 5; i++) yield buffer.fill(i);
        })(),
      );
      const bytes = await readObject(storage, 'reused', MIB);
      expect([0, 1, 2, 3, 4].map((i) => bytes[i * 1000])).toEqual([1, 2, 3, 4, 5]);
    });

    test('ranges: inside, over the end, behind the end, from an offset, of nothing', async () => {
      await storage.put('r', chunked(Buffer.from('0123456789')));
      const range = async (offset?: number, length?: number) =>
        (
          await collect(
            storage.get('r', {
              ...(offset === undefined ? {} : { offset }),
              ...(length === undefined ? {} : { length }),
            }),
          )
        ).toString();
      expect(await range(2, 3)).toBe('234');
      expect(await range(0, 10)).toBe('0123456789');
      expect(await range(8, 10)).toBe('89');
      expect(await range(10, 1)).toBe('');
      expect(await range(500, 1)).toBe('');
      expect(await range(7)).toBe('789');
      expect(await range(undefined, 4)).toBe('0123');
      expect(await range(3, 0)).toBe('');
      await expect(readRange(storage, 'r', 8, 3)).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining('r: 3 bytes from 8'),
      });
      await expect(readObject(storage, 'r', 9)).rejects.toMatchObject({ code: 'corrupt' });
      for (const bad of [-1, 0.5, Number.NaN]) await expect(range(bad, 1)).rejects.toThrow();
    });

    test("a range that may lie in the caller's room is the same range", async () => {
      const bytes = randomBytes(9 * MIB);
      await putBytes(storage, 'a/b', bytes);
      const room = Buffer.from(new SharedArrayBuffer(8 * MIB));
      for (const [offset, length] of [
        [0, 8 * MIB],
        [7, 6 * MIB + 1],
        [9 * MIB - 5, 100],
      ] as const) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of storage.get('a/b', { offset, length, room })) chunks.push(chunk);
        expect(Buffer.concat(chunks).equals(bytes.subarray(offset, offset + length))).toBe(true);
      }
    });

    test('a put is exclusive: an existing key is refused, its object untouched', async () => {
      const first = await storage.put('k/x', chunked(Buffer.from('first')));
      await expect(storage.put('k/x', chunked(Buffer.from('second!')))).rejects.toMatchObject({
        code: 'storage_exists',
      });
      expect((await readObject(storage, 'k/x', 100)).toString()).toBe('first');
      expect(await listed(storage, '')).toEqual([first]);
    });

    test('concurrent puts of one key: exactly one wins, its bytes are intact', async () => {
      const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(300_000, 65 + i));
      const outcomes = await Promise.allSettled(
        bodies.map((body) => storage.put('race/one', chunked(body, 10_000))),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []));
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'storage_exists' });
      }
      expect(bodies[winners[0] ?? -1]?.equals(await readObject(storage, 'race/one', MIB))).toBe(true);
      expect(await keys()).toEqual(['race/one']);
    });

    test('parallel puts and deletes in shared folders disturb nobody', async () => {
      const work = Array.from({ length: 40 }, async (_, i) => {
        const key = `p/${i % 4}/f${i}`;
        await storage.put(key, chunked(Buffer.from(key)));
        expect((await readObject(storage, key, 100)).toString()).toBe(key);
        if (i % 2 === 0) await storage.delete(key);
      });
      await Promise.all(work);
      const kept = Array.from({ length: 20 }, (_, i) => 2 * i + 1).map((i) => `p/${i % 4}/f${i}`);
      expect(await keys()).toEqual(kept.sort());
    });

    test('puts into a folder that deletes empty again and again', async () => {
      const churn = Array.from({ length: 6 }, async (_, worker) => {
        for (let i = 0; i < 15; i++) {
          const key = `churn/deep/${worker}-${i}`;
          await storage.put(key, chunked(Buffer.from('x')));
          await storage.delete(key);
        }
      });
      await Promise.all(churn);
      expect(await keys()).toEqual([]);
    });

    test('a listing is ordered by the bytes of the whole key', async () => {
      const all = [
        'a/b',
        'a-b',
        'a.b',
        'a0',
        'a%2F',
        'a/B',
        'a/b-c/d',
        'a/b0/e',
        'a=b',
        'B',
        'a/b.c',
        'Z/z',
        'a_b',
        '0',
      ];
      for (const key of all) await storage.put(key, chunked(Buffer.from(key)));
      const byBytes = (x: string, y: string) => Buffer.compare(Buffer.from(x), Buffer.from(y));
      expect(await keys()).toEqual([...all].sort(byBytes));
    });

    test('a prefix selects whole folders', async () => {
      for (const key of ['a/b/1', 'a/b/2', 'a/bc/3', 'ab/4', 'a-/5']) {
        await storage.put(key, chunked(Buffer.from('x')));
      }
      expect(await keys('a/b/')).toEqual(['a/b/1', 'a/b/2']);
      expect(await keys('a/')).toEqual(['a/b/1', 'a/b/2', 'a/bc/3']);
      expect(await keys('a/b/1/')).toEqual([]);
      expect(await keys('nothing/')).toEqual([]);
      await expect(keys('a/b')).rejects.toMatchObject({ code: 'corrupt' });
    });

    test.each(HOSTILE_KEYS)('the key %j is refused by every call', async (key) => {
      const refused = { code: 'corrupt' };
      await expect(storage.put(key, chunked(Buffer.from('x')))).rejects.toMatchObject(refused);
      await expect(collect(storage.get(key))).rejects.toMatchObject(refused);
      await expect(storage.stat(key)).rejects.toMatchObject(refused);
      await expect(storage.delete(key)).rejects.toMatchObject(refused);
      if (key !== '') await expect(keys(`${key}/`)).rejects.toMatchObject(refused);
      expect(await keys()).toEqual([]);
    });

    test('the longest allowed name is taken', async () => {
      const key = `${'d'.repeat(255)}/${'f'.repeat(255)}`;
      await storage.put(key, chunked(Buffer.from('x')));
      expect(await keys()).toEqual([key]);
    });

    test('delete removes the object only, and one that is not there is no error', async () => {
      await storage.put('d/one', chunked(Buffer.from('1')));
      await storage.put('d/two', chunked(Buffer.from('2')));
      await storage.delete('d/one');
      await storage.delete('d/one');
      await storage.delete('d'); // a folder is no object
      await storage.delete('never/was/here');
      expect(await keys()).toEqual(['d/two']);
      await storage.delete('d/two');
      expect(await keys()).toEqual([]);
      await storage.put('d/one', chunked(Buffer.from('again')));
      expect((await readObject(storage, 'd/one', 10)).toString()).toBe('again');
    });

    test('what is missing: stat is undefined, get is storage_not_found', async () => {
      await storage.put('there/x', chunked(Buffer.from('x')));
      for (const key of ['missing', 'there/y', 'there', 'there/x/below']) {
        expect(await storage.stat(key)).toBeUndefined();
        await expect(collect(storage.get(key))).rejects.toMatchObject({ code: 'storage_not_found' });
      }
    });

    test('a body that throws leaves nothing, and its own error comes back', async () => {
      const own = Object.assign(new Error('the dump died'), { code: 'ENOSPC' });
      const put = storage.put('t/x', failing(3 * MIB, own));
      await expect(put).rejects.toBe(own);
      expect(await keys()).toEqual([]);
      await storage.put('t/x', chunked(Buffer.from('fine')));
    });

    test('an abort in the middle leaves nothing', async () => {
      const controller = new AbortController();
      const reason = new DguardError('terminated', 'told to stop');
      const body = (async function* () {
        for (let i = 0; i < 100; i++) {
          if (i === 3) controller.abort(reason);
          yield randomBytes(MIB);
        }
        throw new Error('read on after the abort');
      })();
      await expect(storage.put('ab/x', body, { signal: controller.signal })).rejects.toBe(reason);
      expect(await keys()).toEqual([]);
    });

    test('an abort ends a put whose body hangs', async () => {
      const controller = new AbortController();
      const hanging = (async function* () {
        yield Buffer.from('x');
        setTimeout(() => controller.abort(), 10);
        await new Promise(() => undefined);
        yield Buffer.from('y');
      })();
      await expect(storage.put('h/x', hanging, { signal: controller.signal })).rejects.toMatchObject({
        code: 'interrupted',
      });
      expect(await keys()).toEqual([]);
    });

    test('a call with an aborted signal does nothing', async () => {
      await storage.put('s/x', chunked(Buffer.from('x')));
      const options = { signal: AbortSignal.abort() };
      const stopped = { code: 'interrupted' };
      await expect(storage.put('s/y', chunked(Buffer.from('y')), options)).rejects.toMatchObject(stopped);
      await expect(collect(storage.get('s/x', options))).rejects.toMatchObject(stopped);
      await expect(storage.delete('s/x', options)).rejects.toMatchObject(stopped);
      await expect(storage.stat('s/x', options)).rejects.toMatchObject(stopped);
      await expect(listed(storage, '', options)).rejects.toMatchObject(stopped);
      expect(await keys()).toEqual(['s/x']);
    });

    test.each([
      ['short', 9],
      ['long', 11],
    ])('a body that is too %s for its announced size leaves nothing', async (_, came) => {
      const put = storage.put('w/x', chunked(Buffer.alloc(came)), { sizeBytes: 10 });
      await expect(put).rejects.toMatchObject({ code: 'storage_failed' });
      expect(await keys()).toEqual([]);
    });

    test('space answers, and close may be called twice', async () => {
      const { freeBytes } = await storage.space();
      if (freeBytes !== undefined) expect(freeBytes).toBeGreaterThan(0);
      await storage.close();
    });
  });
}

const HOSTILE_KEYS = [
  '',
  '.',
  '..',
  '../x',
  'a/../x',
  'a/./x',
  '/etc/passwd',
  'a//b',
  'a/',
  'a\\b',
  'a b',
  'a\0b',
  'a\n',
  'ä',
  'a:b',
  '~',
  'f'.repeat(256),
  'dd/'.repeat(400).concat('x'),
  '.dguard-tmp-0123',
  'a/.dguard-tmp-x/b',
];

async function* unevenly(bytes: Buffer): AsyncGenerator<Buffer> {
  const sizes = [1, 70_000, 0, MIB, 3, 5 * MIB, 524_288, 1_048_575, 17];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
