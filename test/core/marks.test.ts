import { expect, it } from 'vitest';
import { MANIFEST_NAME } from '../../src/archive/format.ts';
import type { CatalogEntry } from '../../src/core/catalog.ts';
import { newestMark, putMark } from '../../src/core/marks.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { DguardError } from '../../src/errors.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld, objectsOf, twoBackups } from './world.ts';

it('a pin that cannot be read now is an error, not the absence of a pin', async () => {
  const world = await makeWorld();
  await world.write({ a: 'a' });
  await world.backup();
  const [entry] = (await world.catalog()).entries;
  const { folder, manifest, manifestBytes } = entry!;
  await putMark(
    world.storage,
    folder,
    'pinned',
    { id: manifest!.id, manifestBytes, pinned: true },
    world.runtime,
  );
  const flaky = withFaults(world.storage, {
    operations: ['get'],
    keys: (key) => key.includes('/pinned-'),
    fault: { kind: 'throw', error: new Error('connection reset') },
  });
  const { signal } = world.runtime;
  await expect(readCatalog(world.destination(flaky), signal)).rejects.toThrow('connection reset');
  // One that is garbage says nothing; the older one counts.
  await putBytes(world.storage, `${folder}/pinned-2999-01-01T00-00-00Z-000-aaaaaaaa.json`, Buffer.from('{"'));
  expect((await world.catalog()).entries[0]).toMatchObject({ pinned: true });
});

/** What is full takes names, and no bytes. */
function full(storage: Storage): Storage {
  return {
    ...storage,
    put: async (key, body, options) => {
      if (options?.sizeBytes !== 0) throw new DguardError('storage_full', 'no space left');
      return storage.put(key, body, options);
    },
  };
}

it('a full disk takes no pin that says nothing: only the mark of what is about to go may be empty', async () => {
  const { world, folder } = await twoBackups();
  const [entry] = (await world.catalog()).entries;
  const fields = { id: entry!.manifest!.id, manifestBytes: entry!.manifestBytes, pinned: true };
  const pinning = putMark(full(world.storage), entry!.folder, 'pinned', fields, world.runtime);
  await expect(pinning).rejects.toMatchObject({ code: 'storage_full' });
  expect((await objectsOf(world.storage)).some(({ key }) => key.includes('/pinned-'))).toBe(false);
  const destination = world.destination(full(world.storage));
  const { removed } = await world.prune({ policy: { keep_last: 1, auto_delete: true }, destination });
  expect(removed).toHaveLength(1);
  expect(await world.storage.stat(`${folder}/${MANIFEST_NAME}`)).toBeUndefined();
});

it('of several marks of one second the last one counts', async () => {
  const { world } = await twoBackups();
  const [{ folder, manifest, manifestBytes }] = (await world.catalog()).entries as [CatalogEntry];
  const { storage, runtime } = world;
  for (let millis = 0; millis < 20; millis++) {
    world.at(`2026-03-03T00:00:00.${String(millis * 7).padStart(3, '0')}Z`);
    await putMark(storage, folder, 'accepted', { id: manifest!.id, manifestBytes, millis }, runtime);
  }
  const read = ({ millis }: Readonly<Record<string, unknown>>) => millis;
  expect(await newestMark(storage, await objectsOf(storage), 'accepted', manifestBytes!, read)).toBe(19);
});
