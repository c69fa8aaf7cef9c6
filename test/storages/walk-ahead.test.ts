import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DguardError } from '../../src/errors.ts';
import { walkObjects } from '../../src/storages/local/walk.ts';
import { walkBatches } from '../../src/storages/local/walk-ahead.ts';
import type { StoredObject } from '../../src/storages/types.ts';

const THREAD = new URL('../../dist/storages/local/walk-thread.js', import.meta.url);

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dguard-walk-'));
  // Names that a folder's final `/` sorts otherwise than its name alone.
  for (const folder of ['a', 'a-b', 'a/b', 'a/b-c', 'a.d', 'b/a', 'z'])
    for (const name of ['1', 'b', 'c-', 'z']) write(`${folder}/${name}.json`);
  for (let i = 0; i < 900; i++) for (const name of ['data', 'manifest.json', 'x-1']) write(`m/f${i}/${name}`);
  write('m/large/manifest.json', 'x'.repeat(70_000));
  write('top');
  // One is met here, one by the thread.
  for (const folder of ['a', 'z']) symlinkSync('..', join(root, folder, 'link'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Threads since the test began: how many have walked, and how many are there yet. */
const threads = { walked: 0, running: 0 };
const watched = (thread: Worker) => {
  threads.running++;
  thread.once('message', () => threads.walked++).once('exit', () => threads.running--);
};
beforeAll(() => void process.on('worker', watched));
afterAll(() => void process.off('worker', watched));
beforeEach(() => void Object.assign(threads, { walked: 0, running: 0 }));

function write(key: string, content = key): void {
  mkdirSync(dirname(join(root, key)), { recursive: true });
  writeFileSync(join(root, key), content);
}

const here = (prefix: string, after?: string) =>
  [...walkObjects(root, prefix, after)].filter((object) => object !== undefined);

async function ahead(prefix: string, thread: URL | undefined, readNext?: string): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  const walk = { root, prefix, ...(readNext !== undefined && { readNext }) };
  for await (const batch of walkBatches(walk, thread)) objects.push(...batch);
  return objects;
}

describe('a walk', () => {
  it('goes on after any key, there or not', () => {
    const all = here('');
    const keys = all
      .filter(({ key }) => !key.startsWith('m/f') || key.includes('/f11'))
      .map(({ key }) => key);
    for (const after of [...keys, '', 'a', 'a/', 'a/b', 'a/b.json0', 'm/f1', 'zz'])
      expect(here('', after), after).toEqual(all.filter(({ key }) => key > after));
    expect(here('a/', 'a/b.json')).toEqual(here('a/').filter(({ key }) => key > 'a/b.json'));
  });

  it.each([
    ['a thread', THREAD],
    ['no thread', undefined],
    ['a thread that cannot be started', new URL('../../dist/no-such-thread.js', import.meta.url)],
  ])('finds the same with %s', async (_, thread) => {
    const all = here('');
    expect(all.length).toBeGreaterThan(2_500);
    const links = new Set<string>();
    const batches = walkBatches({ root, prefix: '', onLink: (key) => links.add(key) }, thread);
    for await (const _ of batches);
    expect([...links]).toEqual(['a/link', 'z/link']);
    expect(await ahead('', thread)).toEqual(all);
    expect(await ahead('m/', thread)).toEqual(here('m/'));
    expect(threads).toEqual({ walked: thread === THREAD ? 3 : 0, running: 0 });
  });

  it('hands along what is read next, and of nothing else', async () => {
    const objects = await ahead('', THREAD, 'manifest.json');
    expect(objects.map(({ bytes: _, ...object }) => object)).toEqual(here(''));
    const read = objects.filter(({ bytes }) => bytes);
    expect(read.length).toBeGreaterThan(150);
    for (const { key, bytes } of read) expect(Buffer.from(bytes!).toString()).toBe(key);
    // From where the thread began: every one but that which is too large to be at hand.
    const from = read[0]!.key;
    const all = here('').filter(({ key }) => key >= from && key.endsWith('/manifest.json'));
    const left = all.filter(({ key }) => !read.some((object) => object.key === key));
    expect(left.map(({ key }) => key)).toEqual(['m/large/manifest.json']);
  });

  it('may be given up, and takes its thread with it', async () => {
    for await (const batch of walkBatches({ root, prefix: '' }, THREAD))
      if (batch.some(({ key }) => key.startsWith('m/f7'))) break;
    expect(threads).toEqual({ walked: 1, running: 0 });
  });

  it.each([
    ['a thread', THREAD],
    ['no thread', undefined],
    ['a thread that cannot be started', new URL('../../dist/no-such-thread.js', import.meta.url)],
  ])('hears an abort where nothing that it meets is an object, with %s', async (_, thread) => {
    const odd = mkdtempSync(join(tmpdir(), 'dguard-walk-odd-'));
    try {
      // So many that the thread is started, then folders of nothing: no object comes any more.
      for (let i = 0; i < 2_000; i++) writeFileSync(join(odd, `a${i}`), '');
      for (let i = 0; i < 2_500; i++) mkdirSync(join(odd, `b${i}`));
      const controller = new AbortController();
      const reason = new DguardError('interrupted', 'interrupted');
      let objects = 0;
      const walk = async () => {
        for await (const batch of walkBatches({ root: odd, prefix: '', signal: controller.signal }, thread)) {
          objects += batch.length;
          if (objects >= 2_000) setImmediate(() => controller.abort(reason));
        }
      };
      await expect(walk()).rejects.toBe(reason);
      expect(objects).toBe(2_000);
    } finally {
      rmSync(odd, { recursive: true });
    }
  });
});
