import { existsSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MANIFEST_NAME } from '../../src/archive/format.ts';
import { processStart } from '../../src/core/owner.ts';
import { sweepUnfinished } from '../../src/core/prune/sweep.ts';
import { localStorage } from '../../src/storages/local.ts';
import { readObject } from '../../src/storages/read.ts';
import { withFaults } from '../../src/storages/wrap/faults.ts';
import { putBytes } from '../../src/storages/write.ts';
import { objectsOf, twoBackups } from './world.ts';

describe('leftovers of a run that never ended', () => {
  async function interrupted() {
    const { world } = await twoBackups();
    const dying = withFaults(world.storage, {
      operations: ['put'],
      keys: (key) => key.endsWith('index.zst'),
      fault: { kind: 'die' },
    });
    // Of a process that is gone: the one that runs the test is alive.
    const host = { ...world.runtime.host, pid: 2 ** 22 + 1, pidStart: '1' };
    await world.backup({ storage: dying, runtime: { ...world.runtime, host } });
    const { unfinished } = await world.catalog();
    expect(unfinished).toHaveLength(1);
    return { world, orphan: unfinished[0]! };
  }

  it('are swept past the grace period, and not a minute before', async () => {
    const { world, orphan } = await interrupted();
    const policy = { auto_delete: false };
    world.at('2026-03-03T23:59:00Z');
    expect((await world.prune({ policy, dryRun: true })).swept[0]).toMatchObject({ outcome: 'kept' });
    expect((await world.prune({ policy })).swept[0]).toMatchObject({ outcome: 'kept' });
    expect((await world.catalog()).unfinished).toHaveLength(1);
    world.at('2026-03-04T00:01:00Z');
    expect((await world.prune({ policy, dryRun: true })).swept[0]).toMatchObject({ outcome: 'swept' });
    expect((await world.catalog()).unfinished).toHaveLength(1);
    expect((await world.prune({ policy })).swept[0]).toMatchObject({ outcome: 'swept' });
    expect((await objectsOf(world.storage)).filter(({ key }) => key.startsWith(orphan.folder))).toEqual([]);
    expect((await world.catalog()).entries.filter(({ good }) => good)).toHaveLength(2);
  });

  it("by the destination's own clock: a host whose clock ran ahead sweeps nothing", async () => {
    const { world } = await interrupted();
    const ahead = { ...world.runtime, now: () => new Date('2026-04-01T00:00:00Z') };
    const [orphan] = (await world.catalog()).unfinished;
    expect(await sweepUnfinished(orphan!, ahead)).toMatchObject({
      outcome: 'kept',
      reason: expect.stringMatching(/destination/),
    });
    expect((await world.catalog()).unfinished).toHaveLength(1);
    expect((await objectsOf(world.storage)).some(({ key }) => key.includes('deleting-'))).toBe(false);
  });

  it('of another group, whose lock nobody holds here, and without a lease of that folder are left alone', async () => {
    const { world, orphan } = await interrupted();
    const key = orphan.objects.find((object) => /\/lease-0000\.json$/.test(object.key))!.key;
    const lease = JSON.parse((await readObject(world.storage, key, 10_000)).toString('utf8')) as object;
    const other = 'other/docs/full-2026-03-02T00-00-00Z-otherrun';
    const put = (folder: string, fields: object) =>
      putBytes(world.storage, `${folder}/lease-0000.json`, Buffer.from(JSON.stringify(fields)));
    await put(other, { ...lease, job: 'other', folder: other });
    await put('prod/docs/copied', lease);
    world.at('2026-03-09T12:00:00Z');
    const { swept } = await world.prune({ policy: { auto_delete: false } });
    expect(swept.map(({ folder, outcome }) => [folder, outcome])).toEqual([[orphan.folder, 'swept']]);
    const left = (await world.catalog()).unfinished;
    expect(left.map(({ folder }) => folder).sort()).toEqual([other, 'prod/docs/copied']);
    const copied = left.find(({ folder }) => folder === 'prod/docs/copied')!;
    expect(await sweepUnfinished(copied, world.runtime)).toMatchObject({ outcome: 'kept' });
  });

  it('of puts that were killed are swept a day later: a put that runs is not taken away from', async () => {
    const { world } = await twoBackups();
    const path = join(world.folder, 'store');
    const storage = localStorage({ path }, { name: 'store', warn: () => {} });
    await putBytes(storage, 'prod/docs/x/data', Buffer.from('whole'));
    const names = ['0123456789abcdef', 'fedcba9876543210'].map((name) =>
      join(path, 'prod/docs/x', `.dguard-tmp-${name}`),
    );
    for (const name of names) writeFileSync(name, 'half');
    const now = new Date('2026-03-03T12:00:00Z');
    utimesSync(names[0]!, now, new Date(now.getTime() - 23 * 3_600_000));
    utimesSync(names[1]!, now, new Date(now.getTime() - 25 * 3_600_000));
    world.at(now.toISOString());
    await world.prune({ policy: { auto_delete: false }, destination: world.destination(storage) });
    expect(names.map((name) => existsSync(name))).toEqual([true, false]);
  });

  it("are swept of what is dguard's: a file of somebody else stays", async () => {
    const { world, orphan } = await interrupted();
    await putBytes(world.storage, `${orphan.folder}/Notes.txt`, Buffer.from('mine'));
    world.at('2026-03-09T12:00:00Z');
    const [swept] = (await world.prune({ policy: { auto_delete: false } })).swept;
    expect(swept).toMatchObject({
      outcome: 'swept',
      reason: expect.stringMatching(/1 objects in it are not ours/),
    });
    const left = (await objectsOf(world.storage)).filter(({ key }) => key.startsWith(orphan.folder));
    expect(left.map(({ key }) => key)).toEqual([`${orphan.folder}/Notes.txt`]);
  });

  it('are none any more where the run has ended since somebody looked, however old its objects are', async () => {
    const { world, orphan } = await interrupted();
    await putBytes(world.storage, `${orphan.folder}/${MANIFEST_NAME}`, Buffer.from('{}'));
    const before = await objectsOf(world.storage);
    world.at('2026-03-09T12:00:00Z');
    expect(await sweepUnfinished(orphan, world.runtime)).toMatchObject({
      outcome: 'kept',
      reason: 'it was finished meanwhile',
    });
    expect(await objectsOf(world.storage)).toEqual(before);
  });

  it('of a writer that is alive here are left alone', async () => {
    const { world, orphan } = await interrupted();
    world.at('2026-03-09T12:00:00Z');
    const lease = { ...orphan.lease!, pid: process.pid, pid_start: processStart(process.pid) };
    expect(await sweepUnfinished({ ...orphan, lease }, world.runtime)).toMatchObject({
      outcome: 'kept',
      reason: 'its writer runs',
    });
  });
});
