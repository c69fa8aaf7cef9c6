import { describe, expect, it } from 'vitest';
import { MANIFEST_NAME, SUMS_NAME } from '../../src/archive/format.ts';
import { ownNames } from '../../src/core/prune/names.ts';
import { DguardError } from '../../src/errors.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';
import { isPublished, makeWorld, objectsOf, twoBackups, type World } from './world.ts';

const keepOne = { keep_last: 1, auto_delete: true };

describe('prune fails closed', () => {
  it('deletes nothing while a manifest that may be of the group cannot be read, and says why', async () => {
    const { world } = await twoBackups();
    await putBytes(world.storage, 'prod/docs/unreadable/manifest.json', Buffer.from('{"format": 1'));
    const before = await objectsOf(world.storage);
    const outcome = await world.prune({ policy: keepOne });
    expect(outcome.removed).toEqual([]);
    expect(outcome.warnings.join()).toMatch(/prod\/docs\/unreadable cannot be read/);
    expect(outcome.plan.every(({ keep }) => keep)).toBe(true);
    expect(await objectsOf(world.storage)).toEqual(before);
  });

  it('one that lies only among another group is no reason to keep everything', async () => {
    const { world, old } = await twoBackups();
    await putBytes(world.storage, 'other/place/unreadable/manifest.json', Buffer.from('{"format": 1'));
    expect((await world.prune({ policy: keepOne })).removed).toEqual([]);
    // Once backups of another group lie beside it, it is theirs.
    const others = { ...world.config.jobs['prod']!, name: 'other' };
    const { runJob } = await import('../../src/core/backup/job.ts');
    await runJob(
      { ...world.config, jobs: { other: others } },
      others,
      {
        tags: [],
        only: [],
        exclude: [],
        waitLockMs: 0,
        ignoreClock: false,
        openDestination: async () => ({ ...world.destination(), pathTemplate: 'other/place/{id}' }),
      },
      world.runtime,
    );
    expect((await world.prune({ policy: keepOne })).removed).toEqual([old.id]);
  });

  it('a folder that was copied by hand keeps both, and all that either may need', async () => {
    const { world, old, folder } = await twoBackups();
    for (const { key } of await objectsOf(world.storage)) {
      if (key.startsWith(`${folder}/`)) await world.storage.put(`copied${key}`, world.storage.get(key));
    }
    const outcome = await world.prune({ policy: keepOne });
    expect(outcome.removed).toEqual([]);
    expect(outcome.warnings.join()).toContain(`a second folder with the id ${old.id}`);
    expect((await world.catalog()).entries).toHaveLength(3);
  });

  it('a removal that fails takes its marks back, but for one of what it has begun to remove', async () => {
    const marks = async ({ storage }: World) =>
      (await objectsOf(storage)).filter(({ key }) => key.includes('/deleting-')).map(({ key }) => key);
    const { world: begun, folder } = await twoBackups();
    const error = new DguardError('storage_failed', 'gone');
    const prune = (world: World, storage: Storage) =>
      world.prune({ policy: keepOne, destination: world.destination(storage) });

    const first = await begun.fork();
    const unlisted = withFaults(first.storage, {
      operations: ['list'],
      atCall: 2,
      fault: { kind: 'throw', error },
    });
    await expect(prune(first, unlisted)).rejects.toThrow('gone');
    expect(await marks(first)).toEqual([]);

    const second = await begun.fork();
    const stays = (key: string) => key.endsWith(SUMS_NAME);
    const undeleted = withFaults(second.storage, {
      operations: ['delete'],
      keys: stays,
      fault: { kind: 'throw', error },
    });
    await expect(prune(second, undeleted)).rejects.toThrow('gone');
    expect(await isPublished(second.storage, folder)).toBe(false);
    expect(await marks(second)).toEqual([expect.stringContaining(`${folder}/deleting-`)]);
  });

  it('a listing that fails, or is empty, deletes nothing', async () => {
    const { world } = await twoBackups();
    const before = await objectsOf(world.storage);
    const error = new DguardError('storage_failed', 'no list today');
    const broken = withFaults(world.storage, { operations: ['list'], fault: { kind: 'throw', error } });
    await expect(world.prune({ policy: keepOne, destination: world.destination(broken) })).rejects.toThrow(
      /no list/,
    );
    const blind = withFaults(world.storage, {
      operations: ['list'],
      atCall: 'every',
      fault: { kind: 'hide', key: () => true },
    });
    const outcome = await world.prune({ policy: keepOne, destination: world.destination(blind) });
    expect(outcome.removed).toEqual([]);
    expect(await objectsOf(world.storage)).toEqual(before);
  });

  it('while a run that has just begun says nothing that can be read, it may need what would go', async () => {
    const { world, old } = await twoBackups();
    await putBytes(world.storage, 'prod/docs/begun/lease-0000.json', Buffer.from('{"id":"cut'));
    world.at('2026-03-03T02:20:00Z');
    const { plan, removed } = await world.prune({ policy: keepOne });
    expect(removed).toEqual([]);
    expect(plan.find(({ id }) => id === old.id)!.reasons.join()).toContain('a lease that cannot be read');
    world.at('2026-03-03T02:40:00Z');
    expect((await world.prune({ policy: keepOne })).removed).toEqual([old.id]);
  });

  it('an empty policy removes no backup', async () => {
    const { world } = await twoBackups();
    expect((await world.prune({ policy: { auto_delete: true } })).removed).toEqual([]);
  });

  it('a dry run writes nothing at all', async () => {
    const { world, old } = await twoBackups();
    const before = await objectsOf(world.storage);
    expect((await world.prune({ policy: keepOne, dryRun: true })).removed).toEqual([old.id]);
    expect(await objectsOf(world.storage)).toEqual(before);
  });
});

describe('what is not ours', () => {
  const theirs = {
    'notes.txt': 'top level',
    'photos/2001/index.zst': 'old',
    'photos/2001/lease-0000.json': '{"folder":"somewhere/else","id":"x","references":[]}',
    'project/manifest.json': '{"name":"somebody\'s web app"}',
    'project/icons/one.png': 'png',
    'prod/docs/README': 'a note beside our backups',
    'backup/database.dump.zst': 'another program',
    'empty-lease/lease-0000.json': '',
  };

  it('survives every command that deletes, however old it is', async () => {
    const world = await makeWorld();
    world.at('2020-01-01T00:00:00Z');
    for (const [key, text] of Object.entries(theirs)) await putBytes(world.storage, key, Buffer.from(text));
    world.at('2026-03-01T12:00:00Z');
    world.write({ a: 'a' });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const { entries } = await world.catalog();
    const folder = entries[1]!.folder;
    await putBytes(world.storage, `${folder}/holiday.jpg`, Buffer.from('in our folder, not ours'));
    const notes = `${folder}/Notes.txt`;
    await putBytes(world.storage, notes, Buffer.from('in our folder, not ours'));
    // Nor is it of a record of a failed run, of which the grammar alone tells what is its own.
    const again = (await world.catalog()).entries;
    const failed = { ...again[1]!, manifest: { ...again[1]!.manifest!, status: 'failed' as const } };
    const own = await ownNames(failed, again, world.runtime.signal);
    expect(own).toContain(MANIFEST_NAME);
    expect(own).not.toContain('Notes.txt');
    const others = { ...world.destination() };
    // The damaged manifest of the web app lies elsewhere, but nobody knows whose it is: it keeps all.
    expect((await world.prune({ policy: keepOne })).removed).toEqual([]);
    const { deleteCopies } = await import('../../src/core/prune/delete.ts');
    const here = await world.catalog();
    const { left } = await deleteCopies([here.entries[1]!], here.entries, false, world.runtime);
    expect([...left].sort()).toEqual([notes, `${folder}/holiday.jpg`].sort());
    const keys = (await objectsOf(others.storage)).map(({ key }) => key);
    for (const key of [...Object.keys(theirs), `${folder}/holiday.jpg`]) expect(keys).toContain(key);
    expect(keys.filter((key) => key.startsWith(`${folder}/`)).sort()).toEqual(
      [notes, `${folder}/holiday.jpg`].sort(),
    );
  });
});

describe('SHA256SUMS of a backup whose manifest cannot be read', () => {
  it('names what is its own only as far as artifacts may be called so', async () => {
    const world = await makeWorld();
    world.write({ a: 'a' });
    await world.backup();
    const [copy] = (await world.catalog()).entries;
    const { folder } = copy!;
    const names = (await objectsOf(world.storage)).map(({ key }) => key.slice(folder.length + 1));
    const artifact = names.find((name) => name.startsWith('files.tar'))!;
    const named = [artifact, 'Notes.txt', '../../photo.jpg', '/etc/passwd', 'Holiday.JPG'];
    await world.storage.delete(`${folder}/${SUMS_NAME}`);
    const lines = named.map((name) => `${'0'.repeat(64)}  ${name}\n`).join('');
    await putBytes(world.storage, `${folder}/${SUMS_NAME}`, Buffer.from(lines));
    for (const name of ['Notes.txt', 'Holiday.JPG'])
      await putBytes(world.storage, `${folder}/${name}`, Buffer.from('in our folder, not ours'));
    await world.storage.delete(`${folder}/${MANIFEST_NAME}`);
    await putBytes(world.storage, `${folder}/${MANIFEST_NAME}`, Buffer.from('{'));
    const { entries } = await world.catalog();
    expect(entries[0]!.manifest).toBeUndefined();
    const own = await ownNames(entries[0]!, entries, world.runtime.signal);
    expect([...own].sort()).toEqual(names.filter((name) => !name.includes('/')).sort());
    expect(own).toContain(artifact);
  });
});

describe('a removal', () => {
  it('begins with the manifest and ends with the lease: cut short it is no half backup, and stays sweepable', async () => {
    const { world, folder } = await twoBackups();
    const deleted: string[] = [];
    const storage: Storage = {
      ...world.storage,
      delete: async (key, options) => {
        deleted.push(key.slice(folder.length + 1));
        await world.storage.delete(key, options);
      },
    };
    const { removed } = await world.prune({ policy: keepOne, destination: world.destination(storage) });
    expect(removed).toHaveLength(1);
    expect(deleted.length).toBeGreaterThan(4);
    expect([deleted[0], deleted.at(-1)]).toEqual([MANIFEST_NAME, 'lease-0000.json']);
    // The mark says of what is left that it is going, until nothing but leases is.
    expect(deleted.at(-2)).toMatch(/^deleting-/);
  });
});
