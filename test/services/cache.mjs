import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where everything that was downloaded or built is kept: DGUARD_TEST_CACHE, else `~/.cache/dguard-test`. Root's home is
 * closed to others, and servers that refuse to run as root have to reach their programs: `/var/cache/dguard-test` then.
 * @returns {string}
 */
export function cacheFolder() {
  if (process.env.DGUARD_TEST_CACHE) return process.env.DGUARD_TEST_CACHE;
  const closed = process.getuid?.() === 0 && (statSync(homedir()).mode & 0o001) === 0;
  return closed ? '/var/cache/dguard-test' : join(homedir(), '.cache', 'dguard-test');
}

/**
 * The folder of one thing in the cache, made by `make(folder)` the first time. `recipe` says how it is made; another
 * recipe makes it again. A run that was interrupted leaves no half-made folder behind: the recipe is written last.
 * @param {string} name
 * @param {string} recipe
 * @param {(folder: string) => void} make
 * @returns {{ folder: string, fresh: boolean }}
 */
export function cached(name, recipe, make) {
  const folder = join(cacheFolder(), name);
  const stamp = join(folder, '.recipe');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === recipe) return { folder, fresh: false };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  make(folder);
  writeFileSync(`${stamp}.new`, recipe);
  renameSync(`${stamp}.new`, stamp);
  return { folder, fresh: true };
}
