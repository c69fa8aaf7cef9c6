import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deleteCopies } from '../../src/core/prune/delete.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { localStorage } from '../../src/storages/local.ts';
import type { Storage } from '../../src/storages/types.ts';
import { makeWorld, type World } from '../core/world.ts';
import { type FaultMode, forEveryCall } from './fs-faults.mjs';

const keepTwo = { keep_last: 2, auto_delete: true };
const DEAD_PID = 2 ** 22 + 1;
const DAY_MS = 86_400_000;

let root: string;
beforeEach(() => {
  // In memory: a disk that others write to makes every sync a wait.
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dguard-faults-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface State {
  readonly world: World;
  readonly storage: Storage;
  readonly path: string;
}

const COMMANDS: readonly [string, (state: State) => Promise<unknown>][] = [
  ['backup', ({ world, storage }) => world.backup({ storage, runtime: dying(world) })],
  [
    'prune',
    ({ world, storage }) =>
      world.prune({ policy: { keep_last: 1, auto_delete: true }, destination: world.destination(storage) }),
  ],
  [
    'delete',
    async ({ world, storage }) => {
      const { entries } = await readCatalog(world.destination(storage), world.runtime.signal);
      await deleteCopies([entries[1]!], entries, false, world.runtime);
    },
  ],
];

function dying(world: World): World['runtime'] {
  return { ...world.runtime, host: { ...world.runtime.host, pid: DEAD_PID } };
}

function storageAt(path: string): Storage {
  return localStorage({ path }, { name: 'store', warn: () => {} });
}

/** As if all in it had been written so long ago. */
function age(path: string, at: Date): void {
  for (const name of readdirSync(path)) {
    const child = join(path, name);
    if (statSync(child).isDirectory()) age(child, at);
    else utimesSync(child, at, at);
  }
}

/** Good backups that do not pass `verify --level content`. */
async function broken({ world, storage }: State): Promise<string[]> {
  const { verifyCopy } = await import('../../src/core/verify/verify.ts');
  const { entries } = await readCatalog(world.destination(storage), world.runtime.signal);
  const failed: string[] = [];
  for (const entry of entries.filter(({ good }) => good)) {
    const report = await verifyCopy(entry, entries, 'content', world.runtime);
    if (report.overall !== 'pass') failed.push(`${entry.folder} ${JSON.stringify(report.checks)}`);
  }
  return failed;
}

describe.each(COMMANDS)('%s on a file system that, at any call,', (_, run) => {
  it.each<FaultMode>(['die', 'eio', 'enospc'])(
    '%s: every good backup stays whole, the next commands clean up',
    async (mode) => {
      const world = await makeWorld();
      world.write({ a: Buffer.alloc(3_000, 'a'), b: 'small' });
      const begun = join(root, 'begun');
      const newest: string[] = [];
      const now = Date.now();
      for (const days of [6, 5, 4]) {
        world.at(new Date(now - days * DAY_MS).toISOString());
        const { outcomes } = await world.backup({ storage: storageAt(begun), runtime: dying(world) });
        newest.unshift(outcomes[0]!.manifest!.id);
      }
      let number = 0;
      await forEveryCall<State>(mode, {
        prepare() {
          world.at(new Date(now - 3 * DAY_MS).toISOString());
          const path = join(root, `run-${++number}`);
          cpSync(begun, path, { recursive: true, preserveTimestamps: true });
          return { world, storage: storageAt(path), path };
        },
        async run(state) {
          await run(state);
        },
        async check(state) {
          // A new process, with eyes of its own.
          const after: State = { ...state, storage: storageAt(state.path) };
          const destination = world.destination(after.storage);
          expect(await broken(after)).toEqual([]);
          const { entries } = await readCatalog(destination, world.runtime.signal);
          expect(entries.find(({ manifest }) => manifest?.id === newest[0])?.good).toBe(true);
          // Two days later the next backup and the next prune work, and leave no half thing behind.
          age(state.path, new Date(now - 3 * DAY_MS));
          world.at(new Date(now).toISOString());
          const { outcomes } = await world.backup({ storage: after.storage });
          expect(outcomes[0]).toMatchObject({ status: 'completed' });
          await world.prune({ policy: keepTwo, destination });
          expect(await broken(after)).toEqual([]);
          const last = await readCatalog(destination, world.runtime.signal);
          expect(last.unfinished.map(({ folder }) => folder)).toEqual([]);
          expect(last.entries.filter(({ good }) => good)).toHaveLength(2);
          expect(temporaryFiles(state.path)).toEqual([]);
          rmSync(state.path, { recursive: true });
        },
      });
    },
  );
});

function temporaryFiles(path: string): string[] {
  return (readdirSync(path, { recursive: true }) as string[]).filter((name) => name.includes('.dguard-tmp-'));
}
