import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runDguard } from '../cli/support.ts';
import { removeFolder } from '../engines/support-files.ts';
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
const MAX_MS = 30_000;
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

describe.each(Object.keys(GROUPS))('hostile %s', (group) => {
  const cases = CASES.filter((each) => each.group === group);
  test.concurrent.each(cases)(
    '$name',
    { timeout: 180_000 },
    async ({ id, outcome, says, damaged }: HostileCase & { id: string }) => {
      const parent = join(folder, `targets-${id}`);
      const target = join(parent, 'target');
      const refusal = says ?? /./;

      const ls = await run(id, 'ls', id);
      expect([0, 4]).toContain(ls.code);
      if (damaged || outcome === 'harmless') {
        const show = await run(id, 'show', id);
        expect([ls.code, show.code]).toEqual(damaged ? [4, 4] : [0, 0]);
      }

      const restore = await run(id, 'restore', id, '--to-path', target);
      if (outcome === 'refused') {
        expect(restore).toMatchObject({ code: 4, stdout: '' });
        expect(restore.stderr).toMatch(refusal);
        expect(existsSync(parent) ? readdirSync(parent) : []).toEqual([]);
      } else {
        expect([0, 3]).toContain(restore.code);
        expectTame(target);
      }
      expect(existsSync(OUTSIDE)).toBe(false);

      const verify = await run(id, 'verify', id, '--level', 'content');
      expect(verify.code).toBe(outcome === 'harmless' ? 0 : 4);
      if (outcome !== 'harmless') expect(verify.said).toMatch(refusal);
    },
  );
});

/** Nothing that was restored has set-id bits or is a device. */
function expectTame(root: string): void {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(String(entry.parentPath)), Buffer.from('/'), entry.name]);
    const stat = lstatSync(path);
    expect(stat.mode & 0o6000, String(path)).toBe(0);
    expect(stat.isFile() || stat.isDirectory(), String(path)).toBe(true);
  }
}
