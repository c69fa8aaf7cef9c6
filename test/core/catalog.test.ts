import { expect, it } from 'vitest';
import type { Catalog, Destination } from '../../src/core/catalog.ts';
import { readCatalogs } from '../../src/core/find.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { statusOf } from '../../src/core/status.ts';
import { DguardError } from '../../src/errors.ts';
import { MAX_MANIFEST_BYTES, sealManifest } from '../../src/manifest/parse.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import { readObject } from '../../src/storages/read.ts';
import type { Storage } from '../../src/storages/types.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld, twoBackups } from './world.ts';

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

it('tells of what is missing, of another size, and foreign; marks and leases are neither', async () => {
  const { world, folder } = await twoBackups();
  const found = async () => (await world.catalog()).entries.find((entry) => entry.folder === folder);
  await putBytes(world.storage, `${folder}/lease-read-0000.json`, Buffer.from('{}'));
  expect(await found()).toMatchObject({ good: true, problems: [], foreign: [] });
  await putBytes(world.storage, `${folder}/notes.txt`, Buffer.from('x'));
  expect(await found()).toMatchObject({ good: true, foreign: ['notes.txt'] });
  await world.storage.delete(`${folder}/index.zst`);
  await putBytes(world.storage, `${folder}/index.zst`, Buffer.from('short'));
  expect(await found()).toMatchObject({
    good: false,
    state: 'broken',
    problems: [expect.stringMatching(/^index\.zst has 5 bytes, not \d+$/)],
  });
  await world.storage.delete(`${folder}/index.zst`);
  expect(await found()).toMatchObject({ state: 'broken', problems: ['index.zst is missing'] });
});

it('judges a manifest that the listing handed along as one that it reads', async () => {
  const { world, folder } = await twoBackups();
  const read: string[] = [];
  const rot = { key: '' };
  const storage: Storage = {
    ...world.storage,
    async *list(prefix, options) {
      for await (const object of world.storage.list(prefix, options)) {
        if (!object.key.endsWith(`/${options?.readNext}`)) yield object;
        else {
          const bytes = await readObject(world.storage, object.key, MAX_MANIFEST_BYTES);
          if (object.key === rot.key) bytes[bytes.length >> 1]! ^= 1;
          yield { ...object, bytes };
        }
      }
    },
    get(key, options) {
      read.push(key);
      return world.storage.get(key, options);
    },
  };
  const seen = ({ entries }: Catalog) =>
    entries.map(({ manifest, manifestBytes, good }) => ({ manifest, manifestBytes, good }));
  expect(seen(await catalogOf(storage))).toEqual(seen(await world.catalog()));
  expect(read).toEqual([]);
  rot.key = `${folder}/manifest.json`;
  const { entries } = await catalogOf(storage);
  expect(entries.find((entry) => entry.folder === folder)).toMatchObject({ state: 'damaged', good: false });
});

it('a backup is good only with all that it refers to, however far', async () => {
  const { world, old, folder } = await twoBackups();
  const { integrity: _, ...rest } = old;
  const child = async (id: string, parents: readonly string[]) => {
    const references = parents.map((each) => ({ id: each, root_sha256: old.index!.root.sha256 }));
    const { text } = sealManifest({ ...rest, id, type: 'incremental', references });
    for await (const { key } of world.storage.list(`${folder}/`)) {
      if (key.endsWith('/manifest.json')) continue;
      const bytes = await readObject(world.storage, key, MAX_MANIFEST_BYTES);
      await putBytes(world.storage, key.replace(old.id, id), bytes);
    }
    await putBytes(world.storage, `${folder.replace(old.id, id)}/manifest.json`, Buffer.from(text));
  };
  const one = 'incremental-2026-03-03T00-00-00Z-childaaa';
  const two = 'incremental-2026-03-04T00-00-00Z-childbbb';
  await child(one, [old.id]);
  await child(two, [old.id, one]);
  const states = async () => {
    const { entries } = await world.catalog();
    const of = (id: string) => entries.find(({ manifest }) => manifest?.id === id);
    return [old.id, one, two].map((id) => [of(id)?.state, of(id)?.good]);
  };
  expect(await states()).toEqual(Array(3).fill(['completed', true]));
  // Of the middle one a part is lost: what it refers to stays good, what refers to it does not.
  await world.storage.delete(`${folder.replace(old.id, one)}/index.zst`);
  expect(await states()).toEqual([
    ['completed', true],
    ['broken', false],
    ['broken', false],
  ]);
});

it('whoever ends the reading of a destination hears that, not that it could not be read', async () => {
  const { config, runtime, destination, storage } = await makeWorld();
  for (const key of ['a/lease-0000.json', 'b/lease-0000.json'])
    await putBytes(storage, key, Buffer.from('{}'));
  const endedBy = async (read: (destination: Destination, signal: AbortSignal) => Promise<unknown>) => {
    const stop = new AbortController();
    const ending: Storage = {
      ...storage,
      async *list(prefix, options) {
        for await (const object of storage.list(prefix, options)) {
          stop.abort(new DguardError('terminated', 'terminated'));
          yield object;
        }
      },
    };
    return read(destination(ending), stop.signal);
  };
  const terminated = { code: 'terminated', message: 'terminated' };
  await expect(endedBy((one, signal) => readCatalogs([one], signal))).rejects.toMatchObject(terminated);
  const status = endedBy((one, signal) =>
    statusOf(config, ['prod'], undefined, async () => one, { ...runtime, signal }),
  );
  await expect(status).rejects.toMatchObject(terminated);
});
