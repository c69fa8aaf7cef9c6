import { describe, expect, it } from 'vitest';
import type { ChunkerParameters } from '../../src/archive/format.ts';
import { compareEntryPaths } from '../../src/archive/paths.ts';
import { openContent } from '../../src/archive/reader.ts';
import type { GetOptions } from '../../src/storages/types.ts';
import { fileEntry, noise, treeMember, writeBackup } from './support.ts';

/** Small blocks: a megabyte of them is a thousand slices. */
const CHUNKER: ChunkerParameters = { algorithm: 'gear', version: 1, min: 512, avg: 1024, max: 4096 };
const SMALL_FILES = 6000;
/** Of a file in the middle and of the last: their slices go on in further lines, and in further frames. */
const LARGE = ['d3/large', 'z-large'];

const tree = [
  ...Array.from({ length: SMALL_FILES }, (_, i) =>
    fileEntry(`d${i % 7}/${(i * 7919) % SMALL_FILES}`, noise(10, i + 1)),
  ),
  ...LARGE.map((path, i) => fileEntry(path, noise(1024 * 1024, i + 1))),
].sort((a, b) => compareEntryPaths(a.entry.path, b.entry.path));

/** Every second block is somewhere else, so that no run of them is one slice. */
let blocks = 0;
const known = () => (blocks++ % 2 === 0 ? { origin: 'zzzzzzzz', artifact: 0, block: blocks } : undefined);

const backup = await writeBackup([treeMember(tree)], { chunker: CHUNKER, known });

describe('an entry by its path', () => {
  it('is what it is among all, wherever it is, and nothing where there is none', async () => {
    const content = await openContent(backup, async () => undefined);
    const all = [];
    for await (const entry of content.entries()) all.push(entry);
    expect(all).toHaveLength(tree.length);
    const large = all.find(({ path }) => path === LARGE[0]);
    expect(large?.type === 'tree' && large.slices.length).toBeGreaterThan(500);
    for (const [i, entry] of all.entries()) {
      if (i % 50 > 0 && !LARGE.includes(entry.path) && i > 5 && i < all.length - 5) continue;
      expect(await content.entry(entry.path), entry.path).toEqual(entry);
      expect(await content.entry(`${entry.path}!`), `${entry.path}!`).toBeUndefined();
    }
    for (const path of ['', '!', 'd', 'd3', 'd3/', '\u00ff'])
      expect(await content.entry(path), path).toBeUndefined();
  });

  it('is found without reading the index through', async () => {
    let read = 0;
    const counting = {
      ...backup.storage,
      async *get(key: string, options?: GetOptions) {
        for await (const chunk of backup.storage.get(key, options)) {
          read += chunk.length;
          yield chunk;
        }
      },
    };
    const content = await openContent({ ...backup, storage: counting }, async () => undefined);
    read = 0;
    expect(await content.entry('z-large')).toBeDefined();
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(backup.manifest.index!.size / 4);
  });
});
