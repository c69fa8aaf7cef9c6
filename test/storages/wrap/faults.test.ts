import { expect, test } from 'vitest';
import { memoryStorage } from '../../../src/storages/memory.ts';
import { readObject } from '../../../src/storages/read.ts';
import { withFaults } from '../../../src/storages/wrap/faults.ts';
import { storageConformance } from '../conformance.ts';
import { chunked, listed } from '../support.ts';

const text = (value: string) => chunked(Buffer.from(value));

storageConformance('memory behind a fault that never comes', async () => ({
  storage: withFaults(memoryStorage(), { atCall: 1e9, fault: { kind: 'die' } }),
}));

test('throws at the counted call, once, and reaches nothing', async () => {
  const inner = memoryStorage();
  const error = new Error('planned');
  const storage = withFaults(inner, {
    operations: ['put'],
    keys: (key) => key.startsWith('a/'),
    atCall: 2,
    fault: { kind: 'throw', error },
  });
  await storage.put('a/1', text('x'));
  await storage.put('b/1', text('x'));
  await expect(storage.put('a/2', text('x'))).rejects.toBe(error);
  expect(await inner.stat('a/2')).toBeUndefined();
  await storage.put('a/3', text('x'));
});

test('runs full after some bytes of a body, and leaves nothing', async () => {
  const inner = memoryStorage();
  const storage = withFaults(inner, { atCall: 'every', fault: { kind: 'full', afterBytes: 5 } });
  await expect(storage.put('k', text('0123456789'))).rejects.toMatchObject({ code: 'storage_full' });
  await expect(storage.put('k', text('01'))).rejects.toMatchObject({ code: 'storage_full' });
  expect(await listed(inner, '')).toEqual([]);
});

test('dies, and refuses every later call', async () => {
  const inner = memoryStorage();
  const storage = withFaults(inner, { operations: ['put'], fault: { kind: 'die', afterBytes: 3 } });
  await storage.stat('k');
  await expect(storage.put('k', text('0123'))).rejects.toThrow('went away');
  await expect(storage.stat('k')).rejects.toThrow('went away');
  await expect(listed(storage, '')).rejects.toThrow('went away');
  await expect(storage.delete('k')).rejects.toThrow('went away');
  expect(await listed(inner, '')).toEqual([]);
});

test('dies after a put that was stored', async () => {
  const inner = memoryStorage();
  const storage = withFaults(inner, { fault: { kind: 'die', afterwards: true } });
  await expect(storage.put('k', text('0123'))).rejects.toThrow('went away');
  expect((await readObject(inner, 'k', 10)).toString()).toBe('0123');
});

test('lies: drops the last byte of a put, leaves an object out of a list', async () => {
  const truncating = withFaults(memoryStorage(), { operations: ['put'], fault: { kind: 'truncate' } });
  expect(await truncating.put('k', chunked(Buffer.from('0123'), 2), { sizeBytes: 4 })).toMatchObject({
    sizeBytes: 4,
  });
  expect((await readObject(truncating, 'k', 10)).toString()).toBe('012');

  const hiding = withFaults(memoryStorage(), {
    operations: ['list'],
    fault: { kind: 'hide', key: (key) => key.endsWith('2') },
  });
  for (const key of ['a/1', 'a/2', 'a/3']) await hiding.put(key, text('x'));
  expect((await listed(hiding, '')).map(({ key }) => key)).toEqual(['a/1', 'a/3']);
  expect(await listed(hiding, '')).toHaveLength(3);
});
