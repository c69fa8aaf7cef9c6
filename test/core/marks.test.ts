import { expect, it } from 'vitest';
import { readCatalog } from '../../src/core/catalog.ts';
import { putMark } from '../../src/core/marks.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld } from './world.ts';

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
