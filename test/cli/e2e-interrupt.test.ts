import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeTree, noise } from '../engines/files/support.ts';
import { type Backup, type Outcome, snapshotOf, startDguard, type Workspace, workspace } from './support.ts';

const MIB = 1024 * 1024;
/** SIGHUP: the terminal was closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL', 'SIGHUP'] as const;
const EXIT = { SIGINT: 130, SIGTERM: 143, SIGKILL: 137, SIGHUP: 143 };
/** A signal at the sight of an object, in the order in which they are written. */
const SIGHTS = [
  ['lease-0000.json', 'SIGKILL'],
  ['files.tar.zst', 'SIGINT'],
  ['files.tar.zst', 'SIGKILL'],
  ['index.zst', 'SIGTERM'],
  ['SHA256SUMS', 'SIGKILL'],
  ['manifest.json', 'SIGINT'],
  ['manifest.json', 'SIGKILL'],
] as const;

/** The same moments in every run: a linear congruential generator. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function makeTree(folder: string, folders: number): void {
  const bytes = noise(5 * MIB, 7);
  for (let i = 0; i < folders; i++) {
    fs.mkdirSync(join(folder, `f${i}/small`), { recursive: true });
    bytes.writeUInt32LE(i, 0);
    fs.writeFileSync(join(folder, `f${i}/large`), bytes);
    for (let k = 0; k < 40; k++) fs.writeFileSync(join(folder, `f${i}/small/${k}`), `${i}/${k}\n`);
  }
}

function makeSpace(folders: number): Workspace {
  const space = workspace();
  makeTree(space.path('tree'), folders);
  fs.mkdirSync(space.path('tmp'));
  space.config({
    defaults: { temp_dir: './tmp' },
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { j: { datasources: ['tree'], destinations: ['here'] } },
  });
  return space;
}

/** Runs dguard and sends the signal when `moment` resolves, unless it ended before. */
async function stopAt(
  space: Workspace,
  args: string[],
  signal: NodeJS.Signals,
  moment: (ended: () => boolean) => Promise<void>,
): Promise<Outcome> {
  const { child, ended } = startDguard(args, { cwd: space.folder, env: { TMPDIR: space.path('tmp') } });
  await moment(() => child.exitCode !== null);
  child.kill(signal);
  return ended;
}

/** Everything dguard may have left: named, so that a failure says what. */
function leftovers(folder: string): string[] {
  return fs.readdirSync(folder, { recursive: true }).map(String);
}

describe('a backup that is stopped at any moment', () => {
  const space = makeSpace(12);
  const folder = space.path('backups/j/tree');
  let older: Map<string, string>;
  let olderId: string;
  let durationMs: number;
  const left = new Set<string>();

  beforeAll(async () => {
    const started = performance.now();
    const run = await space.json('backup', 'j');
    durationMs = performance.now() - started;
    expect(run.code, run.stderr).toBe(0);
    olderId = run.document.backups[0]!.id;
    older = snapshotOf(join(folder, olderId));
  });
  afterAll(() => space.remove());

  async function assertNothingHalf(outcome: Outcome, signal: (typeof SIGNALS)[number]): Promise<void> {
    const finished = outcome.code === 0;
    // Node was still starting: the signal does what it does to every program, 129 for SIGHUP, and nothing was begun.
    const unheard = signal === 'SIGHUP' && outcome.code === 129;
    if (!finished && !unheard) expect(outcome.code, outcome.stderr).toBe(EXIT[signal]);
    const listed = await space.listed();
    const fresh = listed.filter(({ id }) => id !== olderId && !left.has(id));
    if (unheard) expect([outcome.stdout, outcome.stderr, fresh]).toEqual(['', '', []]);
    for (const { id } of listed) left.add(id);
    if (finished) expect(fresh.map(({ computed }) => computed.good)).toEqual([true]);
    // A run that a signal meets after its manifest is whole, and has to prove it. Nothing else is good.
    const good = fresh.filter(({ computed }: Backup) => computed.good);
    if (signal !== 'SIGKILL') for (const { id } of good) expect(outcome.stdout).toContain(`completed: ${id}`);
    for (const { id } of good) {
      const verify = await space.run('verify', id, '--level', 'content');
      expect(verify.code, verify.stdout).toBe(0);
    }
    for (const { computed } of fresh) {
      expect(computed.good || computed.state === 'failed', JSON.stringify(computed)).toBe(true);
    }
    expect(snapshotOf(join(folder, olderId))).toEqual(older);
    if (signal !== 'SIGKILL') {
      expect(leftovers(space.path('tmp'))).toEqual([]);
      for (const name of fs.readdirSync(folder)) {
        if (left.has(name) || name === olderId) continue;
        throw new Error(`${name} was left without a manifest: ${leftovers(join(folder, name)).join(' ')}`);
      }
    } else {
      fs.rmSync(space.path('tmp'), { recursive: true });
      fs.mkdirSync(space.path('tmp'));
      // What a killed run leaves stays where it is for a sweep; here it no longer concerns the next moments.
      for (const name of fs.readdirSync(folder)) left.add(name);
    }
  }

  const random = seeded(2026);
  const moments = Array.from({ length: 16 }, (_, at) => ({
    signal: SIGNALS[at % 4]!,
    share: Math.round(((Math.floor(at / 4) + random()) / 4) * 105),
  }));
  it.each(moments)('$signal after $share percent of its time', async ({ signal, share }) => {
    const outcome = await stopAt(space, ['backup', 'j'], signal, async (ended) => {
      const until = performance.now() + (durationMs * share) / 100;
      while (!ended() && performance.now() < until) await sleep(2);
    });
    await assertNothingHalf(outcome, signal);
  });

  it.each(SIGHTS)('at the sight of %s: %s', async (object, signal) => {
    const before = new Set(fs.readdirSync(folder));
    const outcome = await stopAt(space, ['backup', 'j'], signal, async (ended) => {
      for (; !ended(); await sleep(0)) {
        const name = fs.readdirSync(folder).find((each) => !before.has(each));
        if (name !== undefined && fs.readdirSync(join(folder, name)).some((each) => each.includes(object)))
          return;
      }
    });
    await assertNothingHalf(outcome, signal);
  });

  it('the next backup works, what was left stays, and every good one verifies', async () => {
    const names = fs.readdirSync(folder);
    const run = await space.json('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.readdirSync(folder)).toEqual(expect.arrayContaining(names));
    const status = await space.run('status', 'j');
    expect(status.stdout).toMatch(/runs never ended/);
    for (const id of [olderId, run.document.backups[0]!.id]) {
      const verify = await space.run('verify', id, '--level', 'content');
      expect(verify.code, verify.stdout).toBe(0);
    }
  });
});

describe('a restore and a verify that are stopped', () => {
  const space = makeSpace(6);
  let durationMs: number;
  let expected: string[];
  const state = () => fs.readdirSync(space.folder).sort();

  beforeAll(async () => {
    expected = describeTree(space.path('tree'));
    expect((await space.run('backup', 'j')).code).toBe(0);
    const started = performance.now();
    expect((await space.run('restore', 'j', '--to-path', './first')).code).toBe(0);
    durationMs = performance.now() - started;
    fs.rmSync(space.path('first'), { recursive: true });
  });
  afterAll(() => space.remove());

  it.each([
    ['SIGINT', 60],
    ['SIGTERM', 85],
    ['SIGKILL', 70],
    ['SIGKILL', 95],
  ] as const)(
    'restore, %s after %i percent of its time: no half target, and the next one works',
    async (signal, share) => {
      const before = state();
      const outcome = await stopAt(space, ['restore', 'j', '--to-path', './to'], signal, async (ended) => {
        const until = performance.now() + (durationMs * share) / 100;
        while (!ended() && performance.now() < until) await sleep(2);
      });
      if (outcome.code !== 0) {
        expect(outcome.code, outcome.stderr).toBe(EXIT[signal]);
        if (signal !== 'SIGKILL') {
          // One that comes after the last step finds the new tree there: whole, as is asked below.
          expect(state().filter((name) => name !== 'to')).toEqual(before);
          expect(leftovers(space.path('tmp'))).toEqual([]);
        }
        if (!fs.existsSync(space.path('to'))) {
          const again = await space.run('restore', 'j', '--to-path', './to');
          expect(again.code, again.stderr).toBe(0);
        }
      }
      expect(describeTree(space.path('to'))).toEqual(expected);
      for (const name of state()) {
        if (!before.includes(name)) fs.rmSync(space.path(name), { recursive: true });
      }
    },
  );

  it.each(['SIGINT', 'SIGKILL'] as const)(
    'restore over a tree, %s: old or new, never mixed',
    async (signal) => {
      for (const share of [70, 95]) {
        fs.mkdirSync(space.path('over'));
        fs.writeFileSync(space.path('over/mine'), 'what was there');
        const old = describeTree(space.path('over'));
        const args = ['restore', 'j', '--to-path', './over', '--overwrite', '--yes'];
        const outcome = await stopAt(space, args, signal, async (ended) => {
          const until = performance.now() + (durationMs * share) / 100;
          while (!ended() && performance.now() < until) await sleep(2);
        });
        if (signal === 'SIGINT') {
          // One that comes after the swap finds the new tree there, and that was said.
          const swapped = outcome.code === 0 || outcome.stdout.includes('restored');
          expect(describeTree(space.path('over'))).toEqual(swapped ? expected : old);
        }
        const again = await space.run(...args);
        expect(again.code, again.stderr).toBe(0);
        expect(describeTree(space.path('over'))).toEqual(expected);
        const kept = leftovers(space.folder).filter(
          (path) => path.endsWith('/mine') && !path.startsWith('tree'),
        );
        expect(kept.length).toBeGreaterThan(0);
        for (const name of state())
          if (name.includes('over')) fs.rmSync(space.path(name), { recursive: true });
      }
    },
  );

  it.each([
    ['SIGINT', 'content'],
    ['SIGTERM', 'restore'],
  ] as const)('verify, %s: nothing is left, no result is stored', async (signal, level) => {
    fs.rmSync(space.path('tmp'), { recursive: true });
    fs.mkdirSync(space.path('tmp'));
    let before: string[];
    let outcome: Outcome;
    // Leases of restores that were killed lie there as well.
    const isAtWork = () => leftovers(space.path('backups')).length > before.length;
    let tries = 0;
    do {
      before = leftovers(space.path('backups'));
      outcome = await stopAt(space, ['verify', 'j', '--level', level], signal, async (ended) => {
        while (!ended() && !isAtWork()) await sleep(1);
      });
      // One that was faster than the signal is tried again.
    } while (outcome.code === 0 && ++tries < 10);
    expect(outcome.code, outcome.stderr).toBe(EXIT[signal]);
    expect(leftovers(space.path('backups'))).toEqual(before);
    expect(leftovers(space.path('tmp'))).toEqual([]);
    expect((await space.run('verify', 'j')).code).toBe(0);
  });
});
