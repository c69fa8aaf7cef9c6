import { realpathSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { type LocalOptions, localStorage } from '../../src/storages/local.ts';
import { chunked, listed } from './support.ts';

export const MIB = 1024 * 1024;

/** A new folder for each test of the file that imports this. */
export let base: string;
/** The destination in it, not made yet. */
export let root: string;
beforeEach(async () => {
  base = realpathSync(await mkdtemp(join(tmpdir(), 'dguard-local-')));
  root = join(base, 'store');
});
afterEach(() => rm(base, { recursive: true, force: true }));

export const open = (options: Partial<LocalOptions> = {}) =>
  localStorage({ path: root, ...options }, { name: 'nas', warn: () => undefined });
export const keys = async (storage = open(), prefix = '') =>
  (await listed(storage, prefix)).map(({ key }) => key);
export const text = (value: string) => chunked(Buffer.from(value));
