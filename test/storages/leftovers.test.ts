import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { localStorage } from '../../src/storages/local.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dguard-leftovers-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('leftovers of puts that were killed', () => {
  it('go when they are old and exactly of our naming; nothing else does', async () => {
    const root = join(folder, 'store');
    const old = new Date('2026-01-01T00:00:00Z');
    const file = (name: string, at: Date) => {
      mkdirSync(join(root, name, '..'), { recursive: true });
      writeFileSync(join(root, name), 'x'.repeat(10));
      utimesSync(join(root, name), at, at);
    };
    file('prod/db/one/.dguard-tmp-0123456789abcdef', old);
    file('prod/db/two/.dguard-tmp-0123456789abcdef', new Date('2026-02-01T00:00:00Z'));
    file('prod/db/three/.dguard-tmp-0123456789abcdef', old);
    file('prod/db/three/manifest.json', old);
    file('prod/.dguard-tmp-notes', old);
    file('prod/.dguard-tmp-0123456789ABCDEF', old);
    mkdirSync(join(folder, 'elsewhere'));
    writeFileSync(join(folder, 'elsewhere/.dguard-tmp-0123456789abcdef'), 'theirs');
    utimesSync(join(folder, 'elsewhere/.dguard-tmp-0123456789abcdef'), old, old);
    symlinkSync(join(folder, 'elsewhere'), join(root, 'link'));

    const storage = localStorage({ path: root }, { name: 'store', warn: () => {} });
    expect(await storage.sweepLeftovers!(new Date('2026-01-15T00:00:00Z'))).toEqual({ count: 2, bytes: 20 });
    expect(existsSync(join(root, 'prod/db/one'))).toBe(false);
    expect(existsSync(join(root, 'prod/db/two/.dguard-tmp-0123456789abcdef'))).toBe(true);
    expect(existsSync(join(root, 'prod/db/three/.dguard-tmp-0123456789abcdef'))).toBe(false);
    for (const name of [
      'prod/db/three/manifest.json',
      'prod/.dguard-tmp-notes',
      'prod/.dguard-tmp-0123456789ABCDEF',
    ]) {
      expect(existsSync(join(root, name)), name).toBe(true);
    }
    expect(existsSync(join(folder, 'elsewhere/.dguard-tmp-0123456789abcdef'))).toBe(true);
  });

  it('of a storage that was never written to are none', async () => {
    const storage = localStorage({ path: join(folder, 'nothing') }, { name: 'store', warn: () => {} });
    expect(await storage.sweepLeftovers!(new Date())).toEqual({ count: 0, bytes: 0 });
  });
});
