import { mkdirSync, writeFileSync } from 'node:fs';
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
const CODECS = ['zstd', 'lz4', 'gzip', 'brotli', 'deflate', 'none'];
const FILE_BYTES = 3_000_007;
const FILE_PAGES = [512, 4096, 8192, 16_384, 65_536, 131_072];

/** Bytes of a page that are alike in another way each. */
const TEXTURES: readonly ((bytes: number, seed: number) => Buffer)[] = [
  noise,
  (bytes) => Buffer.alloc(bytes, 'abcdefgh'),
  (bytes, seed) => Buffer.from(noise(bytes, seed).toString('hex').slice(0, bytes)),
  (bytes, seed) => noise(bytes, seed).map((byte) => (byte < 200 ? 0 : 1)) as Buffer,
];

let cases = 0;

/** Pages that take turns; the first one alone is repeated, and the other is another one each time. */
function alternate(
  first: (typeof TEXTURES)[number],
  second: (typeof TEXTURES)[number],
  page: number,
): Buffer {
  const bytes = Buffer.alloc(FILE_BYTES);
  const once = first(page, page);
  for (let at = 0; at < FILE_BYTES; at += 2 * page) {
    once.copy(bytes, at);
    second(page, at + 1).copy(bytes, at + page);
  }
  return bytes;
}

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
  mkdirSync(space.path('tree'));
  for (const [i, first] of TEXTURES.entries())
    for (const second of TEXTURES.slice(i + 1))
      for (const page of FILE_PAGES)
        writeFileSync(space.path(`tree/${cases++}`), alternate(first, second, page));
  const jobOf = (datasource: string, options: object) => ({
    datasources: [datasource],
    destinations: ['here'],
    options,
  });
  space.config({
    datasources: {
      app: { type: 'sqlite', file_path: './app.db' },
      tree: { type: 'files', source_path: './tree' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: Object.fromEntries([
      ...LEVELS.map((one) => [`l${one}`, jobOf('app', level(one))]),
      ...CODECS.map((codec) => [codec, jobOf('tree', { compression: codec })]),
    ]),
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

describe('files whose pages take turns', () => {
  it.each(CODECS)('are proven, with %s', async (codec) => {
    const backup = await space.run('backup', codec);
    expect(backup.code, backup.stderr).toBe(0);
    const verify = await space.run('verify', codec, '--level', 'restore');
    expect(verify.code, verify.stdout + verify.stderr).toBe(0);
  });
});
