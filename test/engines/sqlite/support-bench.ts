import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { inspectIn } from '../support.ts';
import { type Bench, makeBench } from './support.ts';

/** A new one for each test of the file that imports this. */
export let bench: Bench;
/** Where its database is to be. */
export let source: string;
beforeEach(async () => {
  bench = await makeBench();
  source = join(bench.folder, 'app.db');
});
afterEach(() => bench.remove());

export const inspectRequest = () => inspectIn(join(bench.folder, 'temp'));
