import { expect, test } from 'vitest';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject } from '../../src/storages/read.ts';
import { storageConformance } from './conformance.ts';
import { chunked } from './support.ts';

storageConformance('memory', async () => ({ storage: memoryStorage() }));

test('the memory storage keeps its own copy of what goes in and out', async () => {
  const storage = memoryStorage();
  const bytes = Buffer.from('abc');
  await storage.put('k', chunked(bytes));
  bytes.fill(0);
  (await readObject(storage, 'k', 10)).fill(0);
  expect((await readObject(storage, 'k', 10)).toString()).toBe('abc');
});

test('without a clock every put is later than the one before', async () => {
  const storage = memoryStorage();
  const one = await storage.put('b', chunked(Buffer.from('1')));
  const two = await storage.put('a', chunked(Buffer.from('2')));
  expect(two.modifiedAt.getTime()).toBeGreaterThan(one.modifiedAt.getTime());
});
