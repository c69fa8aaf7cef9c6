import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listLocks } from '../../src/core/lock.ts';
import { restoreCopy } from '../../src/core/restore.ts';
import { lockTarget, type RestoreTarget } from '../../src/core/target.ts';
import type { Runtime } from '../../src/runtime.ts';
import { makeWorld, objectsOf, type World } from './world.ts';

async function backedUp(): Promise<World & { readonly target: string }> {
  const world = await makeWorld();
  world.write({ a: 'content' });
  await world.backup();
  return { ...world, target: join(world.folder, 'target') };
}

async function restore(world: World & { readonly target: string }, runtime: Runtime) {
  const { entries } = await world.catalog();
  const options = { toPath: world.target, only: [], overwrite: false, dryRun: false, privileged: false };
  return restoreCopy(entries[0]!, entries, options, runtime);
}

const leftovers = ({ folder }: World) => readdirSync(folder).filter((name) => name.startsWith('dguard-'));

it('Ctrl-C while a target is held by another restore leaves no folder in temp_dir and no lock of its own', async () => {
  const world = await backedUp();
  const held = await lockTarget({ type: 'files', toPath: world.target }, 'restore', world.runtime);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  await expect(restore(world, { ...world.runtime, signal: stop.signal })).rejects.toMatchObject({
    code: 'interrupted',
  });
  expect(leftovers(world)).toEqual([]);
  await held.release();
  await restore(world, world.runtime);
  expect(readFileSync(join(world.target, 'a'), 'utf8')).toBe('content');
  expect(leftovers(world)).toEqual([]);
});

it('a temp_dir that is not there leaves neither the lock of the target nor the lease on the backup', async () => {
  const world = await backedUp();
  const before = await objectsOf(world.storage);
  const tempDir = join(world.folder, 'gone');
  await expect(restore(world, { ...world.runtime, tempDir })).rejects.toMatchObject({
    code: 'internal',
    subject: tempDir,
  });
  expect(await listLocks(world.runtime)).toEqual([]);
  expect(await objectsOf(world.storage)).toEqual(before);
});

/** One folder (or file) under different names: a recovery by the one would remove what a restore by the other has staged. */
const NAMES: Record<string, (world: World & { readonly target: string }) => [RestoreTarget, RestoreTarget]> =
  {
    'a link to it'({ folder, target }) {
      symlinkSync(target, join(folder, 'link'));
      return [
        { type: 'files', toPath: target },
        { type: 'files', toPath: join(folder, 'link') },
      ];
    },
    'one of several sources'({ folder, target }) {
      const paths = [join(folder, 'other'), target];
      return [
        { type: 'files', toPath: target },
        { type: 'files', datasource: { type: 'files', source_path: paths } as never },
      ];
    },
    'a link above a database'({ folder, target }) {
      mkdirSync(target);
      symlinkSync(target, join(folder, 'link'));
      return [
        { type: 'sqlite', toPath: join(target, 'app.db') },
        { type: 'sqlite', datasource: { type: 'sqlite', file_path: join(folder, 'link/app.db') } as never },
      ];
    },
  };

it.each(Object.entries(NAMES))('a target is locked by whatever name it goes: %s', async (_, namesIn) => {
  const world = await backedUp();
  const [one, other] = namesIn(world);
  for (const [first, second] of [
    [one, other],
    [other, one],
  ] as const) {
    const held = await lockTarget(first, 'restore', world.runtime);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    const waiting = lockTarget(second, 'recover', { ...world.runtime, signal: stop.signal });
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    await held.release();
    expect(await listLocks(world.runtime)).toEqual([]);
  }
});
