import { describe, expect, it } from 'vitest';
import { createFanout } from '../../src/archive/fanout.ts';
import { MANIFEST_NAME, SUMS_NAME } from '../../src/archive/format.ts';
import { assertReferencesStand } from '../../src/core/backup/references.ts';
import { holdLease } from '../../src/core/lease.ts';
import type { DguardError } from '../../src/errors.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { Manifest, ManifestDraft } from '../../src/manifest/types.ts';
import type { Storage } from '../../src/storages/types.ts';
import { withSteps } from '../../src/storages/wrap/steps.ts';
import { putBytes } from '../../src/storages/write.ts';
import { isPublished, objectsOf, twoBackups, type World } from './world.ts';

const keepOne = { keep_last: 1, auto_delete: true };
const CHILD = 'incremental-2026-03-03T00-00-00Z-childaaa';
const CHILD_FOLDER = `prod/docs/${CHILD}`;

/**
 * A writer of an incremental on top of `parent`, as the format demands it: its lease with its references
 * first, then it reads the parent, and reads it once more right before its manifest.
 */
async function writeChild(world: World, storage: Storage, parent: Manifest, parentFolder: string) {
  const target = { name: 'store', storage, folder: CHILD_FOLDER };
  const fanout = createFanout([target], { signal: world.runtime.signal, stallMs: 60_000, onDrop: () => {} });
  const facts = {
    id: CHILD,
    namespace: '',
    job: 'prod',
    datasource: 'docs',
    startedAt: world.runtime.now(),
    references: [parent.id],
  };
  const lease = await holdLease(fanout, [target], facts, world.runtime);
  fanout.alive();
  const reference = { id: parent.id, folder: parentFolder, root_sha256: parent.index!.root.sha256 };
  await assertReferencesStand(storage, [reference]);
  await fanout.put(SUMS_NAME, Buffer.from('nothing of its own\n'));
  await lease.stop();
  const { integrity: _, index: __, ...rest } = parent;
  const draft: ManifestDraft = {
    ...rest,
    id: CHILD,
    type: 'incremental',
    created_at: '2026-03-03T00:00:00.000Z',
    parent_backup_id: parent.id,
    references: [{ id: parent.id, root_sha256: reference.root_sha256 }],
    artifacts: [],
  };
  await assertReferencesStand(storage, [reference]);
  await putBytes(storage, `${CHILD_FOLDER}/${MANIFEST_NAME}`, Buffer.from(sealManifest(draft).text));
}

/** Never a published backup whose ancestor is gone. */
async function expectNoOrphanedChild(storage: Storage, parentFolder: string, when: string) {
  if (await isPublished(storage, CHILD_FOLDER)) {
    expect(await isPublished(storage, parentFolder), `${when}: the child is there, its parent is gone`).toBe(
      true,
    );
  }
}

describe('prune against a backup that takes its victim as parent', () => {
  it('stopped at every step of the writer: one of the two gives way', async () => {
    let both = 0;
    const { world: begun, old, folder } = await twoBackups();
    for (let stop = 1; ; stop++) {
      const world = await begun.fork();
      let call = 0;
      const stepped = withSteps(world.storage, async () => {
        if (++call === stop) await world.prune({ policy: keepOne });
      });
      const failure = await writeChild(world, stepped, old, folder).then(
        () => undefined,
        (error: unknown) => error,
      );
      await expectNoOrphanedChild(world.storage, folder, `writer stopped at call ${stop}`);
      if (failure) expect((failure as DguardError).hint).toMatch(/run the backup again/);
      else if (await isPublished(world.storage, folder)) both++;
      if (call < stop) break;
    }
    expect(both).toBeGreaterThan(0);
  });

  it('stopped at every step of prune: one of the two gives way', async () => {
    let spared = 0;
    const { world: begun, old, folder } = await twoBackups();
    for (let stop = 1; ; stop++) {
      const world = await begun.fork();
      let call = 0;
      const stepped = withSteps(world.storage, async () => {
        if (++call === stop) await writeChild(world, world.storage, old, folder).catch(() => undefined);
      });
      const { plan } = await world.prune({ policy: keepOne, destination: world.destination(stepped) });
      await expectNoOrphanedChild(world.storage, folder, `prune stopped at call ${stop}`);
      if (plan.find(({ id }) => id === old.id)!.keep) spared++;
      if (call < stop) break;
    }
    expect(spared).toBeGreaterThan(0);
  });

  it('interleaved step by step in 150 seeded orders, in some of which each of them wins', async () => {
    let children = 0;
    let removals = 0;
    const { world: begun, old, folder } = await twoBackups();
    for (let seed = 1; seed <= 150; seed++) {
      const world = await begun.fork();
      const turn = interleave(seed);
      const writer = writeChild(world, withSteps(world.storage, turn.before('writer')), old, folder)
        .catch(() => undefined)
        .finally(turn.end('writer'));
      const pruner = world
        .prune({
          policy: keepOne,
          destination: world.destination(withSteps(world.storage, turn.before('prune'))),
        })
        .finally(turn.end('prune'));
      await Promise.all([writer, pruner]);
      await expectNoOrphanedChild(world.storage, folder, `seed ${seed}`);
      if (await isPublished(world.storage, CHILD_FOLDER)) children++;
      if (!(await isPublished(world.storage, folder))) removals++;
    }
    expect(children).toBeGreaterThan(0);
    expect(removals).toBeGreaterThan(0);
  });
});

/** Lets one of two go on for one step at a time, as a seeded coin falls. */
function interleave(seed: number) {
  const waiting: Record<string, (() => void)[]> = { writer: [], prune: [] };
  const ended = new Set<string>();
  let state = seed;
  const coin = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) % 2;
  };
  const go = () => {
    const running = ['writer', 'prune'].filter((name) => !ended.has(name));
    if (running.some((name) => waiting[name]!.length === 0)) return;
    const name = running.length === 2 ? running[coin()]! : running[0];
    if (name !== undefined) waiting[name]!.shift()!();
  };
  return {
    before: (name: string) => () =>
      new Promise<void>((resolve) => {
        waiting[name]!.push(resolve);
        // Later: a command may make several calls at once, and all of them count as one stop.
        setImmediate(go);
      }),
    end: (name: string) => () => {
      ended.add(name);
      setImmediate(go);
    },
  };
}

describe('a removal of a backup and of what builds on it', () => {
  it('is refused before anything goes, unless both are meant; what builds on another copy elsewhere stays', async () => {
    const { deleteCopies } = await import('../../src/core/prune/delete.ts');
    const { world, old, folder } = await twoBackups();
    const elsewhere = await world.fork();
    await writeChild(elsewhere, elsewhere.storage, old, folder);
    const [here, there] = [(await world.catalog()).entries, (await elsewhere.catalog()).entries];
    const copyIn = (entries: typeof here) => entries.find(({ manifest }) => manifest?.id === old.id)!;

    const before = await objectsOf(elsewhere.storage);
    const refused = deleteCopies([copyIn(there)], [...here, ...there], false, elsewhere.runtime);
    await expect(refused).rejects.toMatchObject({
      code: 'target_refused',
      message: `needed by ${CHILD}: nothing was deleted`,
      hint: expect.stringContaining('--with-dependents'),
    });
    expect(await objectsOf(elsewhere.storage)).toEqual(before);

    const { removed } = await deleteCopies([copyIn(here)], [...here, ...there], true, world.runtime);
    expect(removed.map(({ manifest }) => manifest!.id)).toEqual([old.id]);
    expect(await objectsOf(elsewhere.storage)).toEqual(before);

    const both = await deleteCopies([copyIn(there)], there, true, elsewhere.runtime);
    expect(both.removed.map(({ manifest }) => manifest!.id)).toEqual([CHILD, old.id]);
    expect((await elsewhere.catalog()).entries).toHaveLength(1);
  });

  it('spares both where the one that builds on it is being read', async () => {
    const { world, old, folder } = await twoBackups();
    await writeChild(world, world.storage, old, folder);
    await putBytes(world.storage, `${CHILD_FOLDER}/lease-read-0001.json`, Buffer.from('{}'));
    const { deleteCopies } = await import('../../src/core/prune/delete.ts');
    const { entries } = await world.catalog();
    const copy = entries.find(({ manifest }) => manifest?.id === old.id)!;
    const { removed, spared } = await deleteCopies([copy], entries, true, world.runtime);
    expect(removed).toEqual([]);
    expect(spared.map(({ entry, reason }) => [entry.manifest!.id, reason])).toEqual([
      [
        CHILD,
        expect.stringMatching(/^it is being read \(restore, verify or sync\); its lease ends at 2026-03-03T/),
      ],
      [old.id, `${CHILD} needs it`],
    ]);
    expect((await objectsOf(world.storage)).some(({ key }) => key.includes('/deleting-'))).toBe(false);
  });
});

describe('a backup that others would build on', () => {
  it('is no more the one that was read where its index has another root', async () => {
    const { world, old, folder } = await twoBackups();
    const reference = { id: old.id, folder, root_sha256: old.index!.root.sha256 };
    await assertReferencesStand(world.storage, [reference]);
    const other = { ...reference, root_sha256: '0'.repeat(64) };
    await expect(assertReferencesStand(world.storage, [reference, other])).rejects.toThrow(
      /is another one now/,
    );
  });
});
