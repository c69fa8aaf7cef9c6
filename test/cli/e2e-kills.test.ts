import fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { verifyCopy } from '../../src/core/verify/verify.ts';
import type { Runtime } from '../../src/runtime.ts';
import { localStorage } from '../../src/storages/local.ts';
import { noise } from '../engines/files/support.ts';
import { snapshotOf, startDguard, type Workspace, workspace } from './support.ts';

const MIB = 1024 * 1024;
const KILLS = 50;

let space: Workspace;
let random: () => number;

beforeAll(() => {
  space = workspace();
  let state = 2026;
  random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  fs.mkdirSync(space.path('tmp'));
  fs.mkdirSync(space.path('tree/small'), { recursive: true });
  fs.writeFileSync(space.path('tree/large'), noise(16 * MIB, 3));
  for (let i = 0; i < 400; i++)
    fs.writeFileSync(space.path('tree/small', String(i)), `version 0, file ${i}\n`);
  space.config({
    defaults: { temp_dir: './tmp' },
    datasources: { tree: { type: 'files', source_path: './tree', undo_keep: 1 } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      j: {
        datasources: ['tree'],
        destinations: ['here'],
        type: 'full',
        retention: { keep_last: 2, auto_delete: true },
      },
    },
  });
});
afterAll(() => space.remove());

/** The tree as a program that uses it sees it. */
function visible(): string {
  return JSON.stringify([...snapshotOf(space.path('tree'))].sort());
}

/** Good backups that do not hold what they promise, looked at by another process than the one that was killed. */
async function brokenPromises(): Promise<string[]> {
  const destination = {
    name: 'here',
    storage: localStorage({ path: space.path('backups') }, { name: 'here', warn: () => {} }),
    pathTemplate: '{job}/{datasource}/{id}',
  };
  const runtime = {
    now: () => new Date(),
    emit: () => {},
    signal: new AbortController().signal,
    env: process.env,
    host: { name: 'judge', bootId: '', pid: process.pid, privileged: false },
    tempDir: space.folder,
    lockDir: join(space.folder, 'locks'),
    version: '0',
  } satisfies Runtime;
  const { entries } = await readCatalog(destination, runtime.signal);
  const broken: string[] = [];
  for (const entry of entries.filter(({ good }) => good)) {
    const report = await verifyCopy(entry, entries, 'content', runtime);
    if (report.overall !== 'pass') broken.push(`${entry.folder}: ${JSON.stringify(report.checks)}`);
  }
  return broken;
}

/** Runs a command and kills it at a random moment of the time that it usually takes. */
async function killed(args: string[], usualMs: number): Promise<number> {
  const { child, ended } = startDguard(args, { cwd: space.folder });
  const timer = setTimeout(() => child.kill('SIGKILL'), 100 + random() * usualMs);
  const { code } = await ended;
  clearTimeout(timer);
  return code;
}

describe(`${KILLS} random SIGKILLs`, () => {
  it('of backups that prune, restores and undos: every good backup is whole, the target is old or new', async () => {
    expect((await space.run('backup', 'j')).code).toBe(0);
    expect((await space.run('backup', 'j')).code).toBe(0);
    const begun = performance.now();
    expect((await space.run('backup', 'j')).code).toBe(0);
    const usualMs = performance.now() - begun;
    let kills = 0;
    for (let round = 0; kills < KILLS && round < 3 * KILLS; round++) {
      const restores = round % 3 === 2;
      // What the tree may be afterwards: as it is now, or as the restored backup has it.
      if (!restores) {
        for (let i = 0; i < 40; i++) {
          fs.writeFileSync(
            space.path('tree/small', String(Math.floor(random() * 400))),
            `version ${round}\n`,
          );
        }
      }
      const before = visible();
      const args = restores ? ['restore', 'j', '--overwrite', '--yes'] : ['backup', 'j'];
      const code = await killed(args, usualMs);
      if (code === 137) kills++;
      if (restores) {
        const recovered = await space.run('restore', 'j', '--recover');
        expect(recovered.code, recovered.stderr).toBe(0);
        const after = visible();
        if (after !== before) {
          // Not the old one: then it is the new one, whole, which the newest good backup holds.
          const there = space.path('there');
          fs.rmSync(there, { recursive: true, force: true });
          expect((await space.run('restore', 'j', '--to-path', there)).code).toBe(0);
          expect(after, `round ${round}`).toBe(JSON.stringify([...snapshotOf(there)].sort()));
        }
      } else expect(visible()).toBe(before);
      expect(await brokenPromises(), `round ${round}, ${args[0]} ended with ${code}`).toEqual([]);
    }
    expect(kills).toBe(KILLS);
    expect((await space.run('backup', 'j')).code).toBe(0);
    const { document } = await space.json('list');
    expect(document.backups.filter(({ computed }) => computed.good).length).toBeGreaterThanOrEqual(2);
  }, 600_000);
});
