import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { ownerOf, processStart } from '../../src/core/owner.ts';
import { makeTempFolder, withTempFolder } from '../../src/core/temp-folder.ts';
import { makeElsewhere } from '../../src/engines/elsewhere.ts';
import { traceCalls, withFault } from '../faults/fs-faults.mjs';
import { makeWorld, type World } from './world.ts';

const namespace = readlinkSync('/proc/self/ns/pid');

/** A folder as a process has left it, with something in it. */
function left(world: World, name: string, owner: object | string, mode = 0o700): string {
  const folder = join(world.runtime.tempDir, name);
  mkdirSync(folder, { recursive: true, mode });
  writeFileSync(join(folder, 'client.cnf'), 'password=secret', { mode: 0o600 });
  writeFileSync(join(folder, 'owner.json'), typeof owner === 'string' ? owner : JSON.stringify(owner));
  return folder;
}

it('removes what a process that is gone for certain has left, and nothing else', async () => {
  const world = await makeWorld();
  const child = spawn('sleep', ['60']);
  const me = { ...ownerOf(world.runtime.host), pid_namespace: namespace };
  const alive = { ...me, pid: child.pid, pid_start: processStart(child.pid!) };
  const running = left(world, 'dguard-restore-aaaaaa', alive);
  const others = [
    left(world, 'dguard-bbbbbb', { ...me, pid: 4_194_305, host: 'elsewhere' }),
    left(world, 'dguard-cccccc', { ...me, pid: 4_194_305, pid_namespace: 'pid:[1]' }),
    left(world, 'dguard-dddddd', { ...me, pid: 4_194_305, pid_namespace: '' }),
    left(world, 'dguard-iiiiii', { ...me, boot_id: 'of another host of this name' }),
    left(world, 'dguard-eeeeee', '{"pid": 4194305, "ho'),
    left(world, 'dguard-ffffff', { ...me, pid: 4_194_305 }, 0o755),
    left(world, 'mine-gggggg', { ...me, pid: 4_194_305 }),
  ];
  const dead = left(world, 'dguard-target-hhhhhh', { ...me, pid: 4_194_305 });

  await withTempFolder(world.runtime, 'check', async () => {});
  expect(existsSync(dead), 'a check removes nothing').toBe(true);
  await withTempFolder(world.runtime, 'verify', async () => {});
  expect(existsSync(dead)).toBe(false);
  expect([running, ...others].filter((folder) => !existsSync(folder))).toEqual([]);

  child.kill('SIGKILL');
  await once(child, 'exit');
  const folder = await makeTempFolder(world.runtime);
  expect(existsSync(running)).toBe(false);
  expect(others.filter((other) => !existsSync(other))).toEqual([]);
  expect(JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8'))).toEqual(me);
});

it('what a killed process had to put elsewhere goes with its folder, and nothing that only has the name', async () => {
  const world = await makeWorld();
  const child = spawn('sleep', ['60']);
  const me = { ...ownerOf(world.runtime.host), pid_namespace: namespace };
  const alive = { ...me, pid: child.pid, pid_start: processStart(child.pid!) };
  const folder = left(world, 'dguard-restore-aaaaaa', alive);
  mkdirSync(join(folder, 'mysql-restore-x'));
  const place = join(world.runtime.tempDir, '..');
  const { folder: open } = await makeElsewhere(place, join(folder, 'mysql-restore-x'));
  const password = join(open, 'client.cnf');
  writeFileSync(password, 'password=secret', { mode: 0o600 });
  expect(statSync(open).mode & 0o777).toBe(0o711);
  const others = join(place, `dguard-elsewhere-${'0'.repeat(16)}`);
  mkdirSync(others);
  chmodSync(others, 0o777);
  writeFileSync(join(others, 'mine'), '');
  symlinkSync(others, join(folder, `elsewhere-${'0'.repeat(16)}`));
  symlinkSync(place, join(folder, `elsewhere-${'1'.repeat(16)}`));
  const ended = await makeElsewhere(place, folder);
  await ended.remove();
  expect(existsSync(ended.folder)).toBe(false);

  await withTempFolder(world.runtime, 'verify', async () => {});
  expect(existsSync(password)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await withTempFolder(world.runtime, 'verify', async () => {});
  expect([folder, open].filter((path) => existsSync(path))).toEqual([]);
  expect(existsSync(join(others, 'mine'))).toBe(true);
});

it('a folder that cannot be removed is a warning of a backup that is good', async () => {
  const world = await makeWorld();
  world.write({ a: 'a' });
  await world.backup();
  const { trace } = await traceCalls(() => world.backup());
  const removals = trace.filter(({ name, path }) => name === 'rm' && path.startsWith(world.runtime.tempDir));
  expect(removals.map(({ path }) => basename(path).replace(/\w+$/, ''))).toEqual([
    'dguard-target-',
    'dguard-',
  ]);
  for (const { at } of removals) {
    const before = world.events.length;
    const { hit, value } = await withFault('eio', at, () => world.backup());
    expect(hit).toBe('rm');
    expect(value!.outcomes[0]).toMatchObject({ status: 'completed' });
    const warnings = world.events
      .slice(before)
      .filter((event) => 'level' in event && event.level === 'warning');
    expect(warnings).toMatchObject([{ message: expect.stringContaining('could not be removed') }]);
  }
  expect((await world.catalog()).entries.map(({ good }) => good)).toEqual([true, true, true, true]);
});
