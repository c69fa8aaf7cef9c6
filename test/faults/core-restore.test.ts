import fs from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { DatasourceConfig } from '../../src/config/types/datasources.ts';
import { listLocks } from '../../src/core/lock.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { restoreCopy } from '../../src/core/restore.ts';
import { listUndo, recoverTarget, undoTarget } from '../../src/core/target.ts';
import { verifyCopy } from '../../src/core/verify/verify.ts';
import { DguardError } from '../../src/errors.ts';
import type { Runtime } from '../../src/runtime.ts';
import { localStorage } from '../../src/storages/local.ts';
import type { Storage } from '../../src/storages/types.ts';
import { type Fault, withFaults } from '../../src/storages/wrap/faults.ts';
import { makeWorld, type World } from '../core/world.ts';
import { forEveryCall } from './fs-faults.mjs';
import { MODES, root, visible, write } from './support-files.ts';

/** Above what Linux gives out. */
const DEAD_PID = 2 ** 22 + 1;

/** How a storage can fail at its n-th call; the last two only at a put. */
const FAULTS: readonly [string, () => Fault][] = [
  ['dies', () => ({ kind: 'die' })],
  ['fails once (EIO)', () => ({ kind: 'throw', error: new DguardError('storage_failed', 'EIO') })],
  ['dies after a put that it does not confirm', () => ({ kind: 'die', afterwards: true })],
  ['is full (ENOSPC)', () => ({ kind: 'full', afterBytes: 0 })],
];

let world: World;
let datasource: DatasourceConfig;
let old: string[];
let replaced: string[];

const target = () => ({ type: 'files', datasource });
const app = () => join(root, 'app');

function runtimeOf(pid: number): Runtime {
  const host = { ...world.runtime.host, pid };
  return { ...world.runtime, host, tempDir: join(root, 'tmp'), lockDir: join(root, 'locks') };
}
const dying = () => runtimeOf(DEAD_PID);
const living = () => runtimeOf(process.pid);

function storageAt(path: string): Storage {
  return localStorage({ path }, { name: 'store', warn: () => {} });
}

function fill(version: string): void {
  write(join(app(), 'a'), `${version} ${'a'.repeat(3000)}`);
  write(join(app(), 'deep/b'), version);
  write(join(app(), `only ${version}`), version);
}

/** What was there before a restore, a backup beside it, and nothing of any command. */
async function prepare(): Promise<Storage> {
  for (const name of fs.readdirSync(root))
    if (name !== 'begun') fs.rmSync(join(root, name), { recursive: true });
  fs.mkdirSync(join(root, 'tmp'), { mode: 0o700 });
  fs.cpSync(join(root, 'begun'), join(root, 'store'), { recursive: true, preserveTimestamps: true });
  fill('old');
  for (const name of ['a', 'deep/b', 'only old', 'deep']) {
    fs.lutimesSync(join(app(), name), 1_600_000_000, 1_600_000_000);
  }
  return storageAt(join(root, 'store'));
}

async function restore(storage: Storage, runtime: Runtime): Promise<void> {
  const { entries } = await readCatalog(world.destination(storage), runtime.signal);
  const options = { datasource, only: [], overwrite: true, dryRun: false, privileged: false };
  await restoreCopy(entries[0]!, entries, options, runtime);
}

const undo = async (_: Storage, runtime: Runtime) => void (await undoTarget(target(), runtime));

beforeEach(async () => {
  world = await makeWorld();
  datasource = { ...world.config.datasources['docs']!, source_path: [app()] } as DatasourceConfig;
  (world.config.datasources as Record<string, DatasourceConfig>)['docs'] = datasource;
  fs.mkdirSync(join(root, 'tmp'), { mode: 0o700 });
  fill('new');
  const { outcomes } = await world.backup({ storage: storageAt(join(root, 'begun')), runtime: living() });
  expect(outcomes[0]).toMatchObject({ status: 'completed' });
  replaced = visible(app());
  fs.rmSync(app(), { recursive: true });
  await prepare();
  old = visible(app());
  expect(replaced).not.toEqual(old);
});

/** Restores, or takes back; either way from `was` to `becomes`. */
const COMMANDS = {
  restore: { begin: prepare, run: restore, was: () => old, becomes: () => replaced },
  undo: {
    async begin() {
      const storage = await prepare();
      await restore(storage, living());
      return storage;
    },
    run: undo,
    was: () => replaced,
    becomes: () => old,
  },
} as const;

/** Good backups are whole; the target is old or new after the next command, which leaves nothing else behind. */
async function check(
  name: keyof typeof COMMANDS,
  { error, isFailure }: { error: unknown; isFailure: boolean },
): Promise<void> {
  const { was, becomes } = COMMANDS[name];
  // The process goes on, and has said that it failed: then nothing has changed.
  if (isFailure && error !== undefined) expect(visible(app())).toEqual(was());
  await recoverTarget(target(), living());
  const now = visible(app());
  expect([was(), becomes()]).toContainEqual(now);
  if (error === undefined) expect(now).toEqual(becomes());

  const storage = storageAt(join(root, 'store'));
  const { entries } = await readCatalog(world.destination(storage), world.runtime.signal);
  expect(entries.map(({ good }) => good)).toEqual([true]);
  expect((await verifyCopy(entries[0]!, entries, 'content', living())).overall).toBe('pass');

  if ((await listUndo(target(), living())).length > 0) {
    await undo(storage, living());
    expect(visible(app())).toEqual(JSON.stringify(now) === JSON.stringify(old) ? replaced : old);
  } else expect(now).toEqual(old);
  await restore(storage, living());
  expect(visible(app())).toEqual(replaced);
  expect(await listLocks(living())).toEqual([]);
  // Nothing but a folder that was made right before the end, and never used: it does not say whose it is.
  for (const left of fs.readdirSync(join(root, 'tmp'))) {
    expect(fs.readdirSync(join(root, 'tmp', left))).toEqual([]);
  }
}

describe.each(['restore', 'undo'] as const)('%s, with its locks, leases and folders,', (name) => {
  const { begin, run } = COMMANDS[name];

  it.each(MODES)('on a file system that, at any call, %s', async (mode) => {
    const calls = await forEveryCall(mode, {
      prepare: begin,
      run: (storage) => run(storage, dying()),
      check: (_, { hit, error }) => check(name, { error, isFailure: hit !== undefined && mode !== 'die' }),
    });
    expect(calls).toBeGreaterThan(20);
  });
});

describe('restore from a storage that, at any call,', () => {
  it.each(FAULTS)('%s', async (_, fault) => {
    let failures = 0;
    for (let call = 1; ; call++) {
      const storage = await prepare();
      let calls = 0;
      const counted = countCalls(withFaults(storage, { atCall: call, fault: fault() }), () => {
        calls++;
      });
      const error = await restore(counted, dying()).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error !== undefined) failures++;
      await check('restore', { error, isFailure: true }).catch((thrown: Error) => {
        throw new Error(`call ${call}: ${thrown.message}`, { cause: thrown });
      });
      if (calls < call) break;
    }
    // A restore puts nothing but a lease, and does without where there is no room for one.
    expect(failures > 2).toBe(fault().kind !== 'full');
  });
});

function countCalls(storage: Storage, onCall: () => void): Storage {
  const counted = { ...storage };
  for (const name of ['put', 'get', 'stat', 'list', 'delete', 'space'] as const) {
    const call = storage[name] as (...args: unknown[]) => unknown;
    Object.assign(counted, {
      [name]: (...args: unknown[]) => {
        onCall();
        return call.apply(storage, args);
      },
    });
  }
  return counted;
}
