import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { verifyCopy } from '../../src/core/verify/verify.ts';
import { DguardError } from '../../src/errors.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
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
