import { expect, test } from 'vitest';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject, readRange } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { chunked } from './support.ts';

/** A storage whose get answers with these chunks, whatever it was asked for. */
const answering = (...chunks: Uint8Array[]): Storage => ({
  ...memoryStorage(),
  async *get() {
    yield* chunks;
  },
});

test('a range that comes in one chunk is not copied', async () => {
  const chunk = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
  const bytes = await readRange(answering(chunk), 'k', 0, 2);
  expect([...bytes]).toEqual([2, 3]);
  expect(bytes.buffer).toBe(chunk.buffer);
});

test('a range that comes in several chunks is joined', async () => {
  const bytes = await readRange(answering(Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')), 'k', 0, 3);
  expect(bytes.toString()).toBe('abc');
});

test('a storage that answers with more or fewer bytes than asked for is not believed', async () => {
  for (const text of ['', 'ab', 'abcd']) {
    const read = readRange(answering(Buffer.from(text)), 'job/x', 0, 3);
    await expect(read).rejects.toMatchObject({ code: 'corrupt', subject: 'job/x' });
  }
});

test('numbers that are no range never reach the storage', async () => {
  for (const [offset, length] of [
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, Number.NaN],
    [2 ** 53 - 1, 1],
  ] as const) {
    await expect(readRange(memoryStorage(), 'k', offset, length)).rejects.toMatchObject({ code: 'corrupt' });
  }
});

test('nothing is read for an empty range', async () => {
  expect(await readRange(memoryStorage(), 'missing', 5, 0)).toHaveLength(0);
});

test('a larger object is given up before it is held', async () => {
  let yielded = 0;
  const endless: Storage = {
    ...memoryStorage(),
    async *get() {
      for (; yielded < 1000; yielded++) yield Buffer.alloc(1000);
    },
  };
  await expect(readObject(endless, 'k', 2500)).rejects.toMatchObject({ code: 'corrupt' });
  expect(yielded).toBeLessThan(4);
});

test('an object of just the allowed size is read', async () => {
  const storage = memoryStorage();
  await storage.put('k', chunked(Buffer.from('abc')));
  expect((await readObject(storage, 'k', 3)).toString()).toBe('abc');
});
