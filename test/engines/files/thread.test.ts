import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { walk } from '../../../src/engines/files/dump/walk.ts';
import { type WalkThreads, walkInThreads } from '../../../src/engines/files/dump/walker.ts';
import { loadXattrs } from '../../../src/engines/files/system/xattrs.ts';
import type { Warning } from '../../../src/engines/types.ts';
import { compileModule } from '../../storages/compiled.ts';
import {
  makeHostileTree,
  noise,
  openFilesBelow,
  removeFolder,
  settledNow,
  tempFolder,
  walkRequest,
} from './support.ts';
import { flatItem } from './support-items.ts';

let built: string;
let threads: WalkThreads;
let root: string;

beforeAll(async () => {
  built = tempFolder();
  fs.symlinkSync(join(import.meta.dirname, '../../../node_modules'), join(built, 'node_modules'));
  const open = pathToFileURL(await compileModule('engines/files/dump/open-thread.ts', built));
  threads = { open, read: pathToFileURL(await compileModule('engines/files/dump/read-thread.ts', built)) };
});
afterAll(() => removeFolder(built));
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

function contextFor(warnings: Warning[], signal = new AbortController().signal) {
  return {
    nowMs: () => settledNow().getTime(),
    warn: (warning: Warning) => void warnings.push(warning),
    signal,
  };
}

describe('the threads that open and read files', () => {
  it('gives what the walk itself gives, hostile names, large files and warnings included', async () => {
    const { close } = await makeHostileTree(root);
    for (let i = 0; i < 3000; i++) fs.writeFileSync(join(root, `small-${i}`), `${i} `.repeat(i % 500));
    for (let i = 0; i < 6; i++) fs.writeFileSync(join(root, `large-${i}`), noise(1_100_000 + i * 300_000, i));
    for (let i = 0; i < 9; i++) fs.writeFileSync(join(root, `nearly-${i}`), noise(1024 * 1024 - 1 - i, i));
    fs.writeFileSync(join(root, 'x.left-out'), 'x');
    // More nanoseconds since 1970 than 64 bits hold, where the file system can.
    fs.utimesSync(join(root, 'small-7'), 15_000_000_000, 15_000_000_000);
    const expectedWarnings: Warning[] = [];
    const xattrs = await loadXattrs();
    const expected = [...walk(walkRequest(root), { ...contextFor(expectedWarnings), xattrs })].map(flatItem);

    const warnings: Warning[] = [];
    const found: ReturnType<typeof flatItem>[] = [];
    for await (const batch of walkInThreads(walkRequest(root), threads, contextFor(warnings))) {
      for (const item of batch) found.push(flatItem(item));
    }
    await close();
    expect(found.length).toBeGreaterThan(3000);
    expect(found).toEqual(expected);
    expect(warnings).toEqual(expectedWarnings);
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('ends, and leaves no file open, when its reader stops early', async () => {
    for (let i = 0; i < 40; i++) fs.writeFileSync(join(root, `large-${i}`), noise(1_100_000, i));
    for await (const batch of walkInThreads(walkRequest(root), threads, contextFor([]))) {
      const [item] = batch;
      if (item?.entry.path === 'large-1') break;
    }
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('ends when the run is aborted', async () => {
    for (let i = 0; i < 4000; i++) fs.writeFileSync(join(root, `small-${i}`), 'small '.repeat(200));
    const controller = new AbortController();
    const batches = walkInThreads(walkRequest(root), threads, contextFor([], controller.signal));
    await batches.next();
    // Nobody takes what was read: files wait between the threads.
    while (openFilesBelow(root).length < 20) await setTimeout(5);
    controller.abort(new Error('enough'));
    await expect(
      (async () => {
        for await (const _ of batches);
      })(),
    ).rejects.toThrow();
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('a source that is gone is an error with its errno', async () => {
    const request = walkRequest(root);
    fs.rmSync(root, { recursive: true });
    const batches = walkInThreads(request, threads, contextFor([]));
    await expect(batches.next()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each(['open', 'read'])(
    'a thread that breaks (%s) is an error, not a hang or a short backup',
    async (which) => {
      const broken = join(built, 'broken.mjs');
      const withBroken = { ...threads, [which]: pathToFileURL(broken) };
      for (const text of ['process.exit(0);', 'throw new Error("broken");']) {
        fs.writeFileSync(broken, text);
        const batches = walkInThreads(walkRequest(root), withBroken, contextFor([]));
        await expect(batches.next()).rejects.toMatchObject({ code: 'internal' });
      }
    },
  );
});
