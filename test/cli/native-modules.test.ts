import fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT, runDguard, workspace } from './support.ts';

/**
 * dguard installed where npm ran no install scripts, or where Node was replaced since: the program itself, with
 * better-sqlite3 without its add-on, or with one that this Node cannot load.
 */
const place = workspace();
const ADDON = 'installed/node_modules/better-sqlite3/build/Release/better_sqlite3.node';
afterAll(() => place.remove());

beforeAll(() => {
  const from = (...parts: string[]) => join(ROOT, ...parts);
  fs.mkdirSync(place.path('installed/node_modules'), { recursive: true });
  for (const part of ['bin', 'dist', 'package.json'])
    fs.cpSync(from(part), place.path('installed', part), { recursive: true });
  for (const name of fs.readdirSync(from('node_modules')))
    if (name !== 'better-sqlite3')
      fs.symlinkSync(fs.realpathSync(from('node_modules', name)), place.path('installed/node_modules', name));
  for (const part of ['lib', 'package.json'])
    fs.cpSync(from('node_modules/better-sqlite3', part), place.path(ADDON, '../../..', part), {
      recursive: true,
    });
  fs.copyFileSync(from('fixtures/demo/shop.db'), place.path('shop.db'));
  place.config({
    datasources: { shop: { type: 'sqlite', file_path: './shop.db' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { shop: { datasources: ['shop'], destinations: ['here'] } },
  });
});

it.each([
  ['was never built', undefined, 'it was not built when dguard was installed'],
  ['is of another Node or machine', 'no shared object', 'better_sqlite3.node'],
])('an add-on that %s: what is missing and how to build it, no list of paths', async (_, addon, why) => {
  fs.rmSync(place.path(ADDON, '..'), { recursive: true, force: true });
  if (addon !== undefined) {
    fs.mkdirSync(place.path(ADDON, '..'), { recursive: true });
    fs.writeFileSync(place.path(ADDON), addon);
  }
  const installed = { cwd: place.folder, program: place.path('installed/bin/dguard') };
  for (const [code, ...args] of [
    [7, 'backup', 'shop'],
    [3, 'check', 'shop'],
  ] as const) {
    const outcome = await runDguard(args, installed);
    expect(outcome.code, outcome.stderr).toBe(code);
    expect(outcome.stderr).toContain('the native module better-sqlite3 cannot be loaded');
    expect(outcome.stderr).toContain(why);
    expect(outcome.stderr).toContain('npm rebuild better-sqlite3');
    expect(outcome.stderr).not.toContain(' → ');
  }
});
