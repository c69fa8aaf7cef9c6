import { expect, test } from 'vitest';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import { putBytes } from '../../src/storages/write.ts';
import { forge, hostileId, seal } from './forge.ts';

const LENGTH = 8000;

test('a chain that is thousands of backups long is listed, and lost as a whole with its first', async () => {
  const { objects } = await forge(hostileId(0), {});
  const first = JSON.parse(objects.get('manifest.json')!.toString()) as { integrity?: object };
  const { integrity: _, ...draft } = first;
  // The first comes last in a listing: who begins at the top goes down the whole chain.
  const ids = Array.from({ length: LENGTH }, (_, n) => `full-2026-01-02T03-04-05Z-${shortName(LENGTH - n)}`);
  const storage = memoryStorage();
  for (const [n, id] of ids.entries()) {
    const references = n === 0 ? [] : [{ id: ids[n - 1], root_sha256: '0'.repeat(64) }];
    for (const name of ['index.zst', 'SHA256SUMS'])
      await putBytes(storage, `${id}/${name}`, objects.get(name)!);
    await putBytes(storage, `${id}/manifest.json`, Buffer.from(seal({ ...draft, id, references })));
  }
  const destination = { name: 'memory', storage, pathTemplate: '{id}' };
  const { signal } = new AbortController();
  const whole = await readCatalog(destination, signal);
  expect(whole.entries.every(({ good }) => good)).toBe(true);
  await storage.delete(`${ids[0]}/index.zst`, { signal });
  const cut = await readCatalog(destination, signal);
  expect(cut.entries.length).toBe(LENGTH);
  expect(cut.entries.some(({ good }) => good)).toBe(false);
});

/** Eight letters of base32 for a number. */
function shortName(n: number): string {
  return [...n.toString(32).padStart(8, '0')]
    .map((digit) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(digit, 32)])
    .join('');
}
