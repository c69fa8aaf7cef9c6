import fs from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type WalkRequest, walk } from '../../src/engines/files/walk.ts';
import { walkInThread } from '../../src/engines/files/walker.ts';
import { loadXattrs } from '../../src/engines/files/xattrs.ts';
import type { TreeItem } from '../../src/engines/member.ts';
import type { Warning } from '../../src/engines/types.ts';
import { compileModule } from '../storages/compiled.ts';
import { makeHostileTree, noise, removeFolder, settledNow, tempFolder } from './support-files.ts';

let built: string;
let thread: URL;
let root: string;

beforeAll(async () => {
  built = tempFolder();
  fs.symlinkSync(join(import.meta.dirname, '../../node_modules'), join(built, 'node_modules'));
  thread = pathToFileURL(await compileModule('engines/files/walk-thread.ts', built));
});
afterAll(() => removeFolder(built));
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

function requestFor(path: string): WalkRequest {
  return {
    roots: [{ path, entry: '' }],
    includes: [],
    excludes: [['*.left-out']],
    oneFileSystem: false,
    excludeIfPresent: [],
    excludeCaches: true,
    ownPaths: new Set(),
  };
}

function contextFor(warnings: Warning[], signal = new AbortController().signal) {
  return {
    nowMs: () => settledNow().getTime(),
    warn: (warning: Warning) => void warnings.push(warning),
    signal,
  };
}

/** Everything about an item, its content read to the end. */
function flat({ entry, content }: TreeItem) {
  if (content === undefined || content instanceof Uint8Array) {
    return { entry, bytes: content && Buffer.from(content).toString('base64') };
  }
  const chunks: Buffer[] = [];
  for (;;) {
    const into = Buffer.alloc(400_000);
    const count = content.read(into);
    if (count === 0) break;
    chunks.push(into.subarray(0, count));
  }
  if (content.finish().unsure) entry.unsure = true;
  return { entry, bytes: Buffer.concat(chunks).toString('base64') };
}

function openFilesBelow(folder: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return [];
    }
  });
}

describe('the thread that reads files', () => {
  it('gives what the walk itself gives, hostile names, large files and warnings included', async () => {
    const { close } = await makeHostileTree(root);
    for (let i = 0; i < 3000; i++) fs.writeFileSync(join(root, `small-${i}`), `${i} `.repeat(i % 500));
    for (let i = 0; i < 6; i++) fs.writeFileSync(join(root, `large-${i}`), noise(1_100_000 + i * 300_000, i));
    for (let i = 0; i < 9; i++) fs.writeFileSync(join(root, `nearly-${i}`), noise(1024 * 1024 - 1 - i, i));
    fs.writeFileSync(join(root, 'x.left-out'), 'x');
    const expectedWarnings: Warning[] = [];
    const xattrs = await loadXattrs();
    const expected = [...walk(requestFor(root), { ...contextFor(expectedWarnings), xattrs })].map(flat);

    const warnings: Warning[] = [];
    const found: ReturnType<typeof flat>[] = [];
    for await (const batch of walkInThread(requestFor(root), thread, contextFor(warnings))) {
      for (const item of batch) found.push(flat(item));
    }
    await close();
    expect(found.length).toBeGreaterThan(3000);
    expect(found).toEqual(expected);
    expect(warnings).toEqual(expectedWarnings);
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('ends, and leaves no file open, when its reader stops early', async () => {
    for (let i = 0; i < 40; i++) fs.writeFileSync(join(root, `large-${i}`), noise(1_100_000, i));
    for await (const batch of walkInThread(requestFor(root), thread, contextFor([]))) {
      const [item] = batch;
      if (item?.entry.path === 'large-1') break;
    }
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('ends when the run is aborted', async () => {
    for (let i = 0; i < 4000; i++) fs.writeFileSync(join(root, `small-${i}`), 'small '.repeat(200));
    const controller = new AbortController();
    const batches = walkInThread(requestFor(root), thread, contextFor([], controller.signal));
    await batches.next();
    controller.abort(new Error('enough'));
    await expect(
      (async () => {
        for await (const _ of batches);
      })(),
    ).rejects.toThrow();
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('a source that is gone is an error with its errno', async () => {
    const request = requestFor(root);
    fs.rmSync(root, { recursive: true });
    const batches = walkInThread(request, thread, contextFor([]));
    await expect(batches.next()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('a thread that breaks is an error, not a hang or a short backup', async () => {
    const broken = join(built, 'broken.mjs');
    fs.writeFileSync(broken, 'process.exit(0);');
    const batches = walkInThread(requestFor(root), pathToFileURL(broken), contextFor([]));
    await expect(batches.next()).rejects.toMatchObject({ code: 'internal' });
    fs.writeFileSync(broken, 'throw new Error("broken");');
    const again = walkInThread(requestFor(root), pathToFileURL(broken), contextFor([]));
    await expect(again.next()).rejects.toMatchObject({ code: 'internal' });
  });
});
