import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noise } from '../archive/support.ts';
import { workspace } from './support.ts';

const PAGE_BYTES = 8192;
/** A row fills a page. */
const ROW_BYTES = 8100;
const ROWS = 160;

const space = workspace();
const level = (compression_level: number) => ({ compression: 'zstd', compression_level });
const LEVELS = [1, 2, 3, 7, 12, 15, 19, 22];

beforeAll(() => {
  const db = new Database(space.path('app.db'));
  db.pragma(`page_size = ${PAGE_BYTES}`);
  db.exec('CREATE TABLE digits (a TEXT); CREATE TABLE words (a TEXT)');
  const digits = db.prepare('INSERT INTO digits VALUES (?)');
  const words = db.prepare('INSERT INTO words VALUES (?)');
  for (let row = 0; row < ROWS; row++) {
    digits.run(
      noise(ROW_BYTES, row + 1)
        .toString('hex')
        .slice(0, ROW_BYTES),
    );
    words.run('abcdefgh'.repeat(ROW_BYTES).slice(0, ROW_BYTES));
  }
  db.close();
  space.config({
    datasources: { app: { type: 'sqlite', file_path: './app.db' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: Object.fromEntries(
      LEVELS.map((one) => [`l${one}`, { datasources: ['app'], destinations: ['here'], options: level(one) }]),
    ),
  });
});
afterAll(() => space.remove());

// zstd 1.5.7 begins a block of its own where the statistics change. The program runs it; code that runs as TypeScript
// another library, so that no other test meets its frames.
describe('a database whose pages take turns', () => {
  it.each(LEVELS)('is proven, at level %i of zstd', async (one) => {
    const backup = await space.run('backup', `l${one}`);
    expect(backup.code, backup.stderr).toBe(0);
    const verify = await space.run('verify', `l${one}`, '--level', 'restore');
    expect(verify.code, verify.stdout + verify.stderr).toBe(0);
  });
});
