import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pickCopy } from '../../src/core/find.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { restoreCopy } from '../../src/core/restore.ts';
import { verifyCopy } from '../../src/core/verify/verify.ts';
import { DguardError } from '../../src/errors.ts';
import type { Runtime } from '../../src/runtime.ts';
import { localStorage } from '../../src/storages/local.ts';
import { runDguard } from '../cli/support.ts';
import { isRoot, removeFolder } from '../engines/files/support.ts';
import type { Cases, HostileCase } from './cases.ts';
import { forge, hostileId, plant } from './forge.ts';
import { artifacts, indexes } from './indexes.ts';
import { bombs, lengths } from './lengths.ts';
import { besides, manifests, references } from './manifests.ts';
import { names, OUTSIDE } from './names.ts';

const GROUPS: Readonly<Record<string, Cases>> = {
  names,
  lengths,
  bombs,
  indexes,
  artifacts,
  manifests,
  references,
  besides,
};
const CASES = Object.entries(GROUPS)
  .flatMap(([group, cases]) => Object.entries(cases).map(([name, each]) => ({ group, name, ...each })))
  .map((each, number) => ({ ...each, id: hostileId(2 * number), besideId: hostileId(2 * number + 1) }));

const MAX_PEAK_KIB = 300 * 1024;
const MAX_MS = 120_000;
const PEAK_HOOK = fileURLToPath(new URL('./peak.cjs', import.meta.url));

let folder: string;
let runs = 0;
beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'dguard-hostile-')));
  for (const { recipe, beside, id, besideId } of CASES) {
    const forged = [await forge(id, recipe(id, besideId))];
    if (beside) forged.push(await forge(besideId, beside(besideId, id)));
    for (const each of forged) {
      plant(join(folder, 'all'), each);
      plant(join(folder, id), each);
    }
  }
});
afterAll(() => {
  removeFolder(folder);
  rmSync(OUTSIDE, { recursive: true, force: true });
});

/** Runs the program on the hostile destination: within its time and memory, and with nothing that steers a terminal. */
async function run(destination: string, command: string, ...args: string[]) {
  const peak = join(folder, `peak-${runs++}`);
  const begin = performance.now();
  const outcome = await runDguard([command, ...args, '--from', join(folder, destination)], {
    cwd: folder,
    env: { NODE_OPTIONS: `--require ${PEAK_HOOK}`, DGUARD_TEST_PEAK: peak },
  });
  expect(performance.now() - begin, `${command}: time`).toBeLessThan(MAX_MS);
  expect(Number(readFileSync(peak, 'utf8')), `${command}: memory`).toBeLessThan(MAX_PEAK_KIB);
  const said = outcome.stdout + outcome.stderr;
  const steers = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
  expect(steers.exec(said)?.[0], command).toBeUndefined();
  expect(said, command).not.toMatch(/\bat \w+ \(|TypeError|RangeError|SyntaxError|undefined|NaN/);
  return { ...outcome, said };
}

test('there are at least twenty of them, and none has the id of another', () => {
  expect(CASES.length).toBeGreaterThan(20);
  expect(CASES.length).toBeLessThan(512);
});

test('one list shows them all; those whose manifest is hostile as damaged', async () => {
  await run('all', 'list');
  const { code, stdout } = await run('all', 'list', '--json');
  expect(code).toBe(0);
  const { backups } = JSON.parse(stdout) as { backups: { computed: { folder: string; state: string } }[] };
  for (const { name, id, damaged } of CASES) {
    const found = backups.find(({ computed }) => computed.folder.endsWith(id));
    expect(found, name).toBeDefined();
    expect(found?.computed.state === 'damaged', `${name}: ${found?.computed.state}`).toBe(damaged === true);
  }
});

/** One of each kind goes through the program, and all that aim at memory. */
const THROUGH_THE_PROGRAM = CASES.filter(
  ({ group }, at) => group === 'bombs' || CASES.findIndex((other) => other.group === group) === at,
).concat(CASES.filter(({ group, outcome }) => outcome === 'harmless' && group === 'names'));

describe('through the program', () => {
  test.concurrent.each(THROUGH_THE_PROGRAM)('$group: $name', { timeout: 180_000 }, async (each) => {
    const { id, outcome, damaged, group } = each;
    const target = join(folder, `program-${id}`, 'target');
    if (group !== 'bombs') {
      expect(damaged ? [4] : [0, 4]).toContain((await run(id, 'ls', id)).code);
      expect((await run(id, 'show', id)).code).toBe(damaged ? 4 : 0);
    }
    const restore = await run(id, 'restore', id, '--to-path', target);
    expect(outcome === 'refused' ? [4] : [0, 3]).toContain(restore.code);
    if (outcome === 'refused') expect(restore.stderr).toMatch(each.says ?? /./);
    expectTarget(target, each);
    const verify = await run(id, 'verify', id, '--level', 'content');
    expect(verify.code).toBe(outcome === 'harmless' ? 0 : 4);
    if (outcome !== 'harmless') expect(verify.said).toMatch(each.says ?? /./);
  });
});

describe.each(Object.keys(GROUPS))('%s', (group) => {
  test.each(CASES.filter((each) => each.group === group))('$name', async (each) => {
    const { id, outcome } = each;
    const { entries, copy, runtime } = await open(id);
    const target = join(folder, `target-${id}`, 'target');
    const options = { toPath: target, only: [], overwrite: false, dryRun: false, privileged: false };
    const restored = restoreCopy(copy, entries, options, runtime);
    if (outcome === 'refused') {
      const refusal = await restored.then(
        () => 'restored',
        (error: unknown) => error,
      );
      expect(refusal).toBeInstanceOf(DguardError);
      expect((refusal as DguardError).exitStatus).toBe(4);
      expect((refusal as DguardError).message).toMatch(each.says ?? /./);
    } else await restored;
    expectTarget(target, each);

    const { overall, checks } = await verifyCopy(copy, entries, 'content', runtime);
    expect(overall).toBe(outcome === 'harmless' ? 'pass' : 'fail');
    if (outcome !== 'harmless') expect(JSON.stringify(checks)).toMatch(each.says ?? /./);
  });
});

/** What the core sees of the case of that id. */
async function open(id: string) {
  const runtime: Runtime = {
    now: () => new Date('2026-03-01T12:00:00Z'),
    emit: () => {},
    signal: new AbortController().signal,
    env: {},
    host: { name: 'testhost', bootId: '', pid: process.pid, privileged: isRoot },
    tempDir: folder,
    lockDir: join(folder, 'locks'),
    version: 'test',
  };
  const storage = localStorage({ path: join(folder, id) }, { name: 'hostile', warn: () => {} });
  const destination = { name: 'hostile', storage, pathTemplate: '{job}/{datasource}/{id}' };
  const { entries } = await readCatalog(destination, runtime.signal);
  return { entries, copy: pickCopy(entries, id), runtime };
}

function expectTarget(target: string, { outcome }: HostileCase): void {
  const parent = dirname(target);
  if (outcome === 'refused') expect(existsSync(parent) ? readdirSync(parent) : []).toEqual([]);
  else expectTame(target);
  expect(existsSync(OUTSIDE)).toBe(false);
}

/** Nothing that was restored has set-id bits or is a device. */
function expectTame(root: string): void {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(String(entry.parentPath)), Buffer.from('/'), entry.name]);
    const stat = lstatSync(path);
    expect(stat.mode & 0o6000, String(path)).toBe(0);
    expect(stat.isFile() || stat.isDirectory(), String(path)).toBe(true);
  }
}
