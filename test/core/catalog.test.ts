import { expect, it } from 'vitest';
import { readCatalog } from '../../src/core/catalog.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import type { Storage } from '../../src/storages/types.ts';
import { putBytes } from '../../src/storages/write.ts';

const { signal } = new AbortController();
const catalogOf = (storage: Storage) => readCatalog({ name: 'disk', storage, pathTemplate: '{id}' }, signal);

it('finds the folders whole, whatever lies in folders below and beside them', async () => {
  const storage = memoryStorage();
  const keys = ['j/d/lease-0000.json', 'j/d/a/lease-0000.json', 'j/d-2/lease-0000.json', 'j/d/z.json', 'top'];
  for (const key of [...keys, 'j/d/lease-0001.json']) await putBytes(storage, key, Buffer.from('{}'));
  const { unfinished } = await catalogOf(storage);
  const found = unfinished.map(({ folder, objects }) => [folder, objects.length]);
  expect(found.sort()).toEqual([
    ['j/d', 3],
    ['j/d-2', 1],
    ['j/d/a', 1],
  ]);
});

it('refuses a listing out of order: half a folder looks like what a dead run left', async () => {
  const storage = memoryStorage();
  for (const key of ['j/d/lease-0000.json', 'j/d/manifest.json', 'j/e/lease-0000.json'])
    await putBytes(storage, key, Buffer.from('{}'));
  async function* list() {
    const objects = [];
    for await (const object of storage.list('')) objects.push(object);
    yield* [objects[0]!, objects[2]!, objects[1]!];
  }
  await expect(catalogOf({ ...storage, list })).rejects.toMatchObject({
    code: 'storage_failed',
    message: expect.stringContaining('out of order'),
  });
});
