import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { verifyCopy } from '../../src/core/verify/verify.ts';
import { DguardError } from '../../src/errors.ts';
import type { Manifest } from '../../src/manifest/types.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';
import { forge, ROOT, sliceOf } from '../hostile/forge.ts';
import { makeWorld, type World } from './world.ts';

/** A world with one backup of two files. */
async function backedUp(): Promise<World> {
  const world = await makeWorld();
  world.write({ a: Buffer.alloc(300_000, 'a'), b: 'b' });
  await world.backup();
  return world;
}

/** `files`: how many the manifest says that there are. */
async function verify(world: World, storage: Storage = world.storage, files = 2) {
  const { entries } = await world.catalog();
  const [found] = entries;
  const facts = { ...found!.manifest!.facts!, files_count: files };
  const copy = {
    ...found!,
    manifest: { ...found!.manifest!, facts },
    destination: world.destination(storage),
  };
  return verifyCopy(copy, [copy], 'content', world.runtime);
}

/** A storage whose artifacts have lost a bit each. */
function rotten(storage: Storage): Storage {
  return {
    ...storage,
    async *get(key, options) {
      for await (const chunk of storage.get(key, options)) {
        const bytes = Buffer.from(chunk);
        if (key.endsWith('.tar.zst')) bytes[bytes.length >> 1]! ^= 1;
        yield bytes;
      }
    },
  };
}

const leftovers = ({ folder }: World) => readdirSync(folder).filter((name) => name.startsWith('dguard-'));

it('names the block that is not what it was, whatever the entries, looked at meanwhile, are', async () => {
  const world = await backedUp();
  for (const files of [2, 3]) {
    const { overall, checks } = await verify(world, rotten(world.storage), files);
    expect(overall).toBe('fail');
    expect(checks.at(-1)).toMatchObject({
      name: 'content',
      message: expect.stringContaining('the block at'),
    });
    expect(leftovers(world)).toEqual([]);
  }
  const wrong = await verify(world, world.storage, 3);
  expect(wrong.checks.at(-1)).toMatchObject({
    name: 'content',
    message: expect.stringContaining('2 files are listed, 3 were backed up'),
  });
  expect((await verify(world)).overall).toBe('pass');
});

it('a destination that does not give the blocks is an error, no verdict on the backup', async () => {
  const world = await backedUp();
  const failing = withFaults(world.storage, {
    operations: ['get'],
    keys: (key) => key.endsWith('.tar.zst'),
    fault: { kind: 'throw', error: new DguardError('storage_failed', 'EIO') },
  });
  const { overall, error } = await verify(world, failing);
  expect(overall).toBe('error');
  expect(error).toMatchObject({ code: 'storage_failed', message: 'EIO' });
  expect(leftovers(world)).toEqual([]);
});

it('reads the entries once, while the engine reads them', async () => {
  const world = await makeWorld();
  world.write(Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`file-${i}`, `${i}`])));
  await world.backup();
  const bytesRead = { own: 0 };
  const counting: Storage = {
    ...world.storage,
    async *get(key, options) {
      for await (const chunk of world.storage.get(key, options)) {
        if (key.endsWith('/index.zst')) bytesRead.own += chunk.length;
        yield chunk;
      }
    },
  };
  expect((await verify(world, counting, 400)).overall).toBe('pass');
  const [copy] = (await world.catalog()).entries;
  // Its stored bytes for their hash, then the root, the block lines (twice), and the entries: not these twice too.
  expect(bytesRead.own).toBeLessThan(2.5 * copy!.manifest!.index!.size);
});

it('reads what lies in the blocks of other backups', async () => {
  const world = await makeWorld();
  const [oldId, id] = ['full-2026-01-01T00-00-00Z-aaaaaaaa', 'incremental-2026-01-02T00-00-00Z-bbbbbbbb'];
  const at = [sliceOf(oldId, 0, 5000)];
  const old = await forge(oldId, {
    blocks: [Buffer.alloc(5000, 'a')],
    entries: [ROOT, { path: 'a', size: 5000, at }],
  });
  const { index } = JSON.parse(String(old.objects.get('manifest.json'))) as Manifest;
  const references = [{ id: oldId, root_sha256: index!.root.sha256 }];
  const entries = [ROOT, { path: 'b', size: 5000, at }];
  const child = await forge(id, { entries, manifest: (draft) => ({ ...draft, references }) });
  for (const { folder, objects } of [old, child])
    for (const [name, bytes] of objects) await putBytes(world.storage, `${folder}/${name}`, bytes);
  const verdict = async (storage: Storage) => {
    const destination = world.destination(storage);
    const all = (await world.catalog()).entries.map((entry) => ({ ...entry, destination }));
    return verifyCopy(all.find(({ folder }) => folder === child.folder)!, all, 'content', world.runtime);
  };
  expect((await verdict(world.storage)).overall).toBe('pass');
  expect((await verdict(rotten(world.storage))).checks.at(-1)).toMatchObject({
    name: 'content',
    result: 'fail',
    message: expect.stringContaining(`${old.folder}/files.tar.zst: the block at`),
  });
});
