import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { sweepTemporary } from '../../src/storages/local/leftovers.ts';

it('a folder that another run removes meanwhile does not fail a sweep', async () => {
  const root = mkdtempSync(join(tmpdir(), 'dguard-test-'));
  try {
    const left = join(root, 'b/.dguard-tmp-0123456789abcdef');
    for (const folder of ['a', 'b']) mkdirSync(join(root, folder));
    writeFileSync(left, 'left');
    const swept = sweepTemporary(root, new Date(Date.now() + 60_000));
    // It has listed the root now, and not yet looked into the first folder.
    await setImmediate();
    rmSync(join(root, 'a'), { recursive: true });
    expect(await swept).toEqual({ count: 1, bytes: 4 });
    expect(existsSync(left)).toBe(false);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
