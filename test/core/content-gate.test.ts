import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MANIFEST_NAME } from '../../src/archive/format.ts';
import { newestGoodRun } from '../../src/core/job-runs.ts';
import { putMark } from '../../src/core/marks.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import { putBytes } from '../../src/storages/write.ts';
import { makeWorld, newest } from './world.ts';

const policy = ', retention: { keep_last: 1, auto_delete: true }';
const full = Buffer.alloc(40_000, 'text ');

describe('content gate', () => {
  it('makes a backup of less than half suspect: never chosen, no prune after it, until it is accepted', async () => {
    const world = await makeWorld({ job: policy });
    world.write({ a: full, b: full, c: full, d: full });
    await world.backup();
    for (const name of ['a', 'b', 'c']) rmSync(join(world.source, name));
    world.at('2026-03-02T12:00:00Z');
    const [outcome] = (await world.backup()).outcomes;
    expect(outcome).toMatchObject({ status: 'suspect', manifest: { status: 'suspect' } });
    expect(outcome!.manifest!.doubts!.join()).toMatch(/bytes.*files/s);
    let { entries } = await world.catalog();
    expect(entries.map(({ state, good }) => [state, good])).toEqual([
      ['suspect', false],
      ['completed', true],
    ]);
    const now = world.runtime.now();
    expect(newestGoodRun(entries, 'prod', { now }).copies[0]!.manifest!.status).toBe('completed');

    const suspect = entries[0]!;
    const fields = { id: suspect.manifest!.id, manifestBytes: suspect.manifestBytes };
    await putMark(world.storage, suspect.folder, 'accepted', fields, world.runtime);
    ({ entries } = await world.catalog());
    expect(entries[0]).toMatchObject({ accepted: true, good: true });
    expect(newestGoodRun(entries, 'prod', { now }).copies[0]!.manifest!.id).toBe(suspect.manifest!.id);
    // The accepted one is what the next is measured against, and what prune keeps.
    world.at('2026-03-03T12:00:00Z');
    const third = await world.backup();
    expect(third.outcomes[0]!.status).toBe('completed');
    expect((await world.catalog()).entries.map(({ manifest }) => manifest!.id)).toEqual([
      third.outcomes[0]!.manifest!.id,
    ]);
  });

  it('a mark about another manifest accepts nothing', async () => {
    const world = await makeWorld();
    world.write({ a: full, b: full, c: full });
    await world.backup();
    const other = await newest(world);
    rmSync(join(world.source, 'a'));
    rmSync(join(world.source, 'b'));
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const suspect = await newest(world);
    const fields = { id: suspect.manifest!.id, manifestBytes: other.manifestBytes };
    await putMark(world.storage, suspect.folder, 'accepted', fields, world.runtime);
    expect(await newest(world)).toMatchObject({ state: 'suspect', accepted: false, good: false });
  });

  it('a second run like it ends the doubt where the job says so', async () => {
    const world = await makeWorld({ job: ', gate: { accept_after: 2 }' });
    world.write({ a: full, b: full, c: full });
    await world.backup();
    rmSync(join(world.source, 'a'));
    rmSync(join(world.source, 'b'));
    world.at('2026-03-02T12:00:00Z');
    expect((await world.backup()).outcomes[0]!.status).toBe('suspect');
    world.at('2026-03-03T12:00:00Z');
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
  });

  it('a run like one that was doubted before the last good one ends no doubt', async () => {
    const world = await makeWorld({ job: ', gate: { accept_after: 2 }' });
    const statuses: string[] = [];
    for (const [day, isWhole] of [true, false, true, false].entries()) {
      world.write({ a: full });
      if (isWhole) world.write({ b: full, c: full });
      else for (const name of ['b', 'c']) rmSync(join(world.source, name));
      world.at(`2026-03-0${day + 1}T12:00:00Z`);
      statuses.push((await world.backup()).outcomes[0]!.status);
    }
    expect(statuses).toEqual(['completed', 'suspect', 'completed', 'suspect']);
  });

  it('measures a source with patterns against itself, and not against what other patterns held', async () => {
    const world = await makeWorld();
    const docs = world.config.datasources['docs'] as { exclude_patterns: readonly string[] };
    docs.exclude_patterns = ['*.log'];
    world.write({ a: full, b: full, c: full, 'x.log': full });
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
    world.at('2026-03-02T12:00:00Z');
    docs.exclude_patterns = ['*.log', 'b', 'c'];
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
    docs.exclude_patterns = ['*.log'];
    world.at('2026-03-03T12:00:00Z');
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
    for (const name of ['b', 'c']) rmSync(join(world.source, name));
    world.at('2026-03-04T12:00:00Z');
    const [outcome] = (await world.backup()).outcomes;
    expect(outcome).toMatchObject({ status: 'suspect', manifest: { patterns: { exclude: ['*.log'] } } });
  });

  it('does not measure a selection against the whole, nor the whole against a selection', async () => {
    const world = await makeWorld();
    world.write({ a: full, b: full, c: full });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    expect((await world.backup({ only: ['a'] })).outcomes[0]!.status).toBe('completed');
    world.at('2026-03-03T12:00:00Z');
    expect((await world.backup()).outcomes[0]!.status).toBe('completed');
    world.at('2026-03-04T12:00:00Z');
    const selected = (await world.backup({ only: ['a'] })).outcomes[0]!.manifest!;
    const { entries } = await world.catalog();
    // Restored by its id only: the newest good run of the job is the whole one before it.
    expect(newestGoodRun(entries, 'prod', { now: world.runtime.now() }).copies[0]!.manifest!.id).not.toBe(
      selected.id,
    );
  });
});

describe('a partial backup', () => {
  it('is shown, not good, not chosen, and no reason to remove the completed one before it', async () => {
    const world = await makeWorld();
    world.write({ a: full });
    await world.backup();
    world.at('2026-03-02T12:00:00Z');
    await world.backup();
    const { manifest, folder } = await newest(world);
    const { integrity: _, ...rest } = manifest!;
    await world.storage.delete(`${folder}/${MANIFEST_NAME}`);
    const { text } = sealManifest({ ...rest, status: 'partial' });
    await putBytes(world.storage, `${folder}/${MANIFEST_NAME}`, Buffer.from(text));
    const { entries } = await world.catalog();
    expect(entries.map(({ state, good, intact }) => [state, good, intact])).toEqual([
      ['partial', false, true],
      ['completed', true, true],
    ]);
    expect(newestGoodRun(entries, 'prod', { now: world.runtime.now() }).copies).toEqual([entries[1]]);
    // To accept it is no way round: nobody doubted it.
    const { manifestBytes } = entries[0]!;
    await putMark(world.storage, folder, 'accepted', { id: manifest!.id, manifestBytes }, world.runtime);
    expect(await newest(world)).toMatchObject({ accepted: false, good: false });
    expect((await world.prune({ policy: { keep_last: 1, auto_delete: true } })).removed).not.toContain(
      entries[1]!.manifest!.id,
    );
  });
});
