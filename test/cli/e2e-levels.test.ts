import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noise } from '../archive/support.ts';
import { workspace } from './support.ts';

const KIB = 1024;
const FILE_BYTES = 3 * KIB * KIB;
const PAGES = [4, 8, 16, 40, 128].map((kib) => kib * KIB);

const space = workspace();
const level = (compression_level: number) => ({ compression: 'zstd', compression_level });
const JOBS = [1, 2, 3, 7, 12, 15, 19, 22];

beforeAll(() => {
  mkdirSync(space.path('tree'));
  const random = noise(FILE_BYTES, 3);
  // Pages of other statistics each, as databases have them: where they meet zstd begins a block of its own.
  for (const page of PAGES) {
    const digits = Buffer.alloc(FILE_BYTES, 'abcdefgh');
    const bytes = Buffer.alloc(FILE_BYTES);
    for (let at = 0; at < FILE_BYTES; at += 2 * page) {
      for (let i = at; i < Math.min(at + page, FILE_BYTES); i++) digits[i] = 48 + (random[i]! % 16);
      random.copy(bytes, at, at, at + page);
    }
    writeFileSync(space.path(`tree/digits-${page}`), digits);
    writeFileSync(space.path(`tree/bytes-${page}`), bytes);
  }
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: Object.fromEntries(
      JOBS.map((one) => [`l${one}`, { datasources: ['tree'], destinations: ['here'], options: level(one) }]),
    ),
  });
});
afterAll(() => space.remove());

describe('pages of other statistics each', () => {
  it.each(JOBS)('are read again as they were, at level %i of zstd', async (one) => {
    const backup = await space.run('backup', `l${one}`);
    expect(backup.code, backup.stderr).toBe(0);
    const verify = await space.run('verify', `l${one}`, '--level', 'restore');
    expect(verify.code, verify.stdout + verify.stderr).toBe(0);
  });
});
