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
/** Each is killed so often: 50 in all. */
const COMMANDS = ['backup', 'prune', 'delete', 'restore', 'undo'] as const;
const KILLS = 10;
const MAX_TRIES = 8 * KILLS;
type Command = (typeof COMMANDS)[number];

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
  const job = { datasources: ['tree'], destinations: ['here'], type: 'full' };
  const config = {
    version: 1,
    defaults: { temp_dir: './tmp' },
    datasources: { tree: { type: 'files', source_path: './tree', undo_keep: 1 } },
    destinations: { here: { type: 'local', path: './backups' } },
  };
  // What prunes by itself, and what leaves something to prune.
  for (const [name, keep_last, auto_delete] of [
    ['backup.yaml', 2, true],
    ['keep.yaml', 2, false],
  ] as const) {
    const jobs = { j: { ...job, retention: { keep_last, auto_delete } } };
    space.write(name, JSON.stringify({ ...config, jobs }));
  }
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

const good = async (...args: string[]) => {
  const outcome = await space.run(...args);
  expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}`).toBe(0);
};

/** What a command needs to have something to do, and its arguments. */
async function prepare(command: Command): Promise<string[]> {
  if (command === 'restore') return ['restore', 'j', '--overwrite', '--yes'];
  if (command === 'undo') {
    await good('restore', 'j', '--overwrite', '--yes');
    return ['restore', 'j', '--undo', '--yes'];
  }
  for (let i = 0; i < 40; i++) {
    const name = String(Math.floor(random() * 400));
    fs.writeFileSync(space.path('tree/small', name), `version ${random()}\n`);
  }
  if (command === 'backup') return ['backup', 'j'];
  const listed = (await space.listed()).filter(({ computed }) => computed.good);
  for (let there = listed.length; there < 3; there++) await good('backup', 'j', '-c', 'keep.yaml');
  if (command === 'prune') return ['prune', 'j', '-c', 'keep.yaml'];
  const oldest = (await space.listed()).filter(({ computed }) => computed.good).at(-1)!;
  return ['delete', oldest.id, '--yes'];
}

/** Runs a command and kills it at a random moment of the time that it usually takes; how it ended, after how long. */
async function killed(args: string[], usualMs: number): Promise<{ code: number; tookMs: number }> {
  const begun = performance.now();
  const { child, ended } = startDguard(args, { cwd: space.folder });
  const timer = setTimeout(() => child.kill('SIGKILL'), (0.25 + 0.75 * random()) * usualMs);
  const { code } = await ended;
  clearTimeout(timer);
  return { code, tookMs: performance.now() - begun };
}

/** The newest good backup, as a restore to another folder gives it. */
async function restored(): Promise<string> {
  const there = space.path('there');
  fs.rmSync(there, { recursive: true, force: true });
  await good('restore', 'j', '--to-path', there);
  return JSON.stringify([...snapshotOf(there)].sort());
}

describe(`${KILLS} random SIGKILLs of each command`, () => {
  it.each(COMMANDS)(
    '%s: every good backup is whole, the target is old or new',
    async (command) => {
      for (let i = 0; i < 3; i++) await good('backup', 'j');
      // Files that the backup does not have, so that what an undo brings back is another tree.
      fs.writeFileSync(space.path('tree', `before ${command}`), 'not in a backup');
      const first = await prepare(command);
      const begun = performance.now();
      await good(...first);
      let usualMs = performance.now() - begun;
      let kills = 0;
      for (let round = 0; kills < KILLS && round < MAX_TRIES; round++) {
        fs.writeFileSync(space.path('tree', `round of ${command}`), String(round));
        const kept = visible();
        const args = await prepare(command);
        const before = visible();
        const told = `${args.join(' ')}, round ${round}`;
        const { code, tookMs } = await killed(args, usualMs);
        expect([0, 137], told).toContain(code);
        if (code === 137) kills++;
        // The machine may be faster now than it was.
        else usualMs = tookMs;
        if (command === 'restore' || command === 'undo') {
          await good('restore', 'j', '--recover');
          const after = visible();
          const becomes = command === 'undo' ? kept : await restored();
          expect([before, becomes].includes(after), told).toBe(true);
          if (code === 0) expect(after, told).toBe(becomes);
        } else expect(visible(), told).toBe(before);
        expect(await brokenPromises(), `${told} ended with ${code}`).toEqual([]);
      }
      expect(kills).toBe(KILLS);
      await good('backup', 'j');
      await good('prune', 'j');
      expect((await space.listed()).filter(({ computed }) => computed.good).length).toBeGreaterThanOrEqual(2);
    },
    600_000,
  );
});
