import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { dguard, runDguard, workspace } from './support.ts';

/** Which backups a job's name means: its installation's, of the datasources that it has, old names included. */

const made: ReturnType<typeof workspace>[] = [];
afterEach(() => {
  for (const each of made.splice(0)) each.remove();
});

function makeFolder(): string {
  const work = workspace();
  made.push(work);
  return work.folder;
}

const content = (letter: string) => letter.repeat(20_000);

function write(folder: string, source: string, letter: string): void {
  mkdirSync(join(folder, source), { recursive: true });
  writeFileSync(join(folder, source, 'data'), content(letter));
}

function configure(folder: string, jobs: string, defaults = ''): void {
  const yaml = `version: 1
defaults: { timezone: UTC${defaults.includes('host:') ? '' : ', host: testhost'}${defaults} }
datasources:
  g: { type: files, source_path: g }
  h: { type: files, source_path: h }
destinations: { store: { type: local, path: store } }
jobs: { ${jobs} }
`;
  writeFileSync(join(folder, 'backup.yaml'), yaml, { mode: 0o600 });
}

const read = (...path: string[]) => readFileSync(join(...path), 'utf8').charAt(0);

describe('a job of several installations at one destination', () => {
  it('is restored, rolled back and verified from the own namespace alone', async () => {
    const folder = makeFolder();
    const ids: string[] = [];
    for (const [namespace, letter] of ['ours', 'theirs'].flatMap((name) => [
      [name, `${name.charAt(0)}1`],
      [name, `${name.charAt(0)}2`],
    ]) as [string, string][]) {
      write(folder, 'g', letter);
      configure(folder, 'j: { datasources: g, destinations: store }', `, namespace: ${namespace}`);
      const { stdout } = await dguard(folder, 'backup', 'j', '--json');
      ids.push((JSON.parse(stdout) as { backups: { id: string }[] }).backups[0]!.id);
    }
    configure(folder, 'j: { datasources: g, destinations: store }', ', namespace: ours');
    expect((await dguard(folder, 'restore', 'j', '--overwrite')).code).toBe(0);
    expect(read(folder, 'g', 'data')).toBe('o');
    const verified = await dguard(folder, 'verify', 'j', '--level', 'exists');
    expect(verified.stdout).toContain(ids[1]);
    expect(verified.stdout).not.toContain(ids[3]);
    expect((await dguard(folder, 'rollback', 'j', '--dry-run')).stdout).toContain(ids[0]);
    // Theirs by its id: to our place only where that is said.
    const other = await dguard(folder, 'restore', ids[3]!, '--overwrite');
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/of namespace theirs, this configuration of namespace ours/);
    expect(read(folder, 'g', 'data')).toBe('o');
    expect((await dguard(folder, 'restore', ids[3]!, '--to-path', 'beside')).code).toBe(0);
    // Whoever looks at the destination is told whose each is.
    expect((await dguard(folder, 'list')).stdout).toMatch(/namespace.*theirs.*ours/s);

    // With another namespace nothing is there; without a configuration nobody knows whose is meant.
    configure(folder, 'j: { datasources: g, destinations: store }', ', namespace: nobodys');
    const none = await dguard(folder, 'restore', 'j', '--to-path', 'out');
    expect(none.code).toBe(6);
    expect(none.stderr).toMatch(/of other namespaces \(theirs, ours\)/);
    configure(folder, 'other: { datasources: g, destinations: store }');
    const unknown = await dguard(folder, 'restore', 'j', '--from', './store', '--to-path', 'out');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/several installations have a job j/);
  });
});

describe('two hosts that write under one name, without namespaces', () => {
  const job =
    'j: { datasources: [g, h], destinations: store, retention: { keep_last: 1, auto_delete: true } }';
  const as = (folder: string, host: string) => configure(folder, job, `, host: ${host}`);

  it("neither is given the other's backup, nor removes its last one", async () => {
    const folder = makeFolder();
    for (const host of ['alpha', 'beta']) {
      as(folder, host);
      for (const source of ['g', 'h']) write(folder, source, host);
      expect((await dguard(folder, 'backup', 'j')).code).toBe(0);
    }
    // The newest is of beta, and what beta has pruned was not alpha's only one.
    expect((await dguard(folder, 'restore', 'j', '--to-path', 'of-beta')).code).toBe(0);
    expect(read(folder, 'of-beta', 'g', 'data')).toBe('b');
    const list = JSON.parse((await dguard(folder, 'list', '--json')).stdout) as {
      backups: { host: string }[];
    };
    expect(list.backups.map(({ host }) => host)).toEqual(['beta', 'beta', 'alpha', 'alpha']);

    as(folder, 'alpha');
    for (const command of [
      ['restore', 'j', '--overwrite'],
      ['restore', 'j', '--to-path', 'of-alpha'],
      ['rollback', 'j', '--yes'],
    ]) {
      const refused = await dguard(folder, ...command);
      expect(refused.code, command.join(' ')).toBe(2);
      expect(refused.stderr).toMatch(/two sources write under this name, beta:.* and alpha:.*: which one/);
    }
    // One datasource that is refused does not hide what is said of the other.
    const prune = await dguard(folder, 'prune');
    expect(prune.code).toBe(2);
    expect(prune.stderr).toMatch(/prune store:j\/g: two sources.*prune store:j\/h: two sources/s);

    // A backup is made all the same, and said to be: what failed is what should have followed it.
    const backup = await dguard(folder, 'backup', 'j');
    expect(backup.code).toBe(3);
    expect(backup.stdout).toMatch(/g: completed: .*h: completed: /s);
    expect(backup.stderr).toMatch(/error: prune store:j\/g: two sources/);
  });

  it('a host of another name each time is no second source', async () => {
    const folder = makeFolder();
    for (const host of ['one', 'two', 'three']) {
      as(folder, host);
      for (const source of ['g', 'h']) write(folder, source, host);
      expect((await dguard(folder, 'backup', 'j')).code, host).toBe(0);
    }
    as(folder, 'four');
    expect((await dguard(folder, 'restore', 'j', '--overwrite')).code).toBe(0);
  });
});

describe('a datasource that was taken out of its job', () => {
  it('is not waited for by a restore of the job', async () => {
    const folder = makeFolder();
    write(folder, 'g', 'a');
    write(folder, 'h', 'a');
    configure(folder, 'j: { datasources: [g, h], destinations: store }');
    await dguard(folder, 'backup', 'j');
    configure(folder, 'j: { datasources: [g], destinations: store }');
    write(folder, 'g', 'b');
    await dguard(folder, 'backup', 'j');
    expect((await dguard(folder, 'restore', 'j', '--to-path', 'out')).code).toBe(0);
    expect(read(folder, 'out', 'data')).toBe('b');
    expect(await dguard(folder, 'restore', 'j', '--datasource', 'x', '--to-path', 'no')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/job j has no datasource x.*it has: g, h/s),
    });
  });

  it('and of one that lacks what it should have, it is said that an older run is taken', async () => {
    const folder = makeFolder();
    write(folder, 'g', 'a');
    write(folder, 'h', 'a');
    configure(folder, 'j: { datasources: [g, h], destinations: store }');
    await dguard(folder, 'backup', 'j');
    writeFileSync(join(folder, 'h', 'data'), '');
    await dguard(folder, 'backup', 'j');
    const restored = await dguard(folder, 'restore', 'j', '--to-path', 'out');
    expect(restored.code).toBe(0);
    expect(restored.stderr).toMatch(
      /not the newest, passed over is the run of .*: h is suspect\n.*taken instead is the run of \S+Z: /,
    );
    const first = (await dguard(folder, 'list', 'j')).stdout.match(/full-\S+/g)!.slice(-2);
    await dguard(folder, 'delete', ...first, '--yes');
    const none = await dguard(folder, 'restore', 'j', '--to-path', 'out2');
    expect(none.code).toBe(6);
    expect(none.stderr).toMatch(/next: in the run of .*: h is suspect; `dguard list j`/);
  });
});

describe('formerly', () => {
  it('each old name is the history of one datasource, for prune and restore', async () => {
    const folder = makeFolder();
    configure(folder, 'old: { datasources: [g, h], destinations: store }');
    for (const letter of ['a', 'b']) {
      write(folder, 'g', `g${letter}`);
      write(folder, 'h', `h${letter}`);
      await dguard(folder, 'backup', 'old');
    }
    const job = 'destinations: store, retention: { keep_last: 1 }, same_source: true';
    configure(folder, `j: { datasources: [g, h], ${job}, formerly: [old/g, old/h] }`);
    const { stdout } = await dguard(folder, 'prune', '--dry-run', '--json');
    const { plan } = JSON.parse(stdout) as { plan: { keep: boolean }[] };
    expect(plan.map(({ keep }) => keep)).toEqual([true, false, true, false]);
    expect((await dguard(folder, 'restore', 'j', '--to-path', 'out')).code).toBe(0);
    expect([read(folder, 'out', 'g', 'data'), read(folder, 'out', 'h', 'data')]).toEqual(['g', 'h']);
    expect((await dguard(folder, 'list', 'j')).stdout.match(/full-/g)).toHaveLength(4);

    // To the place that is called otherwise now.
    // What was written without a namespace, before there was one.
    const moved = ', namespace: ours';
    configure(folder, `j: { datasources: [h], ${job}, formerly: [{ was: old/g, datasource: h }] }`);
    expect((await dguard(folder, 'restore', 'j', '--overwrite')).code).toBe(0);
    expect(read(folder, 'h', 'data')).toBe('g');
    configure(folder, `old: { datasources: [h], ${job} }`, moved);
    expect((await dguard(folder, 'restore', 'old', '--to-path', 'out2')).code).toBe(6);
    configure(folder, `old: { datasources: [h], ${job}, formerly: [old/h] }`, moved);
    expect((await dguard(folder, 'restore', 'old', '--to-path', 'out2')).code).toBe(0);
  });

  it.each([
    [
      'j: { datasources: [g, h], destinations: store, formerly: [old/x] }',
      /does not say which of g, h was old\/x/,
    ],
    [
      'j: { datasources: g, destinations: store, formerly: [{ was: old/x, datasource: h }] }',
      /no datasource of the job/,
    ],
    [
      'j: { datasources: [g, h], destinations: store, formerly: [{ was: j/h, datasource: g }] }',
      /j\/h is called so today/,
    ],
    ['j: { datasources: g, destinations: store, formerly: [a/g, a/g] }', /stands here twice/],
  ])('%s is refused', async (jobs, message) => {
    const folder = makeFolder();
    configure(folder, jobs);
    const { code, stderr } = await dguard(folder, 'config', 'validate');
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe('a backup that is dated ahead', () => {
  it('is shown as what it is by all, and never the one that is proven', async () => {
    const folder = makeFolder();
    write(folder, 'g', 'a');
    configure(folder, 'j: { datasources: g, destinations: store }');
    await dguard(folder, 'backup', 'j');
    const clock = join(folder, 'clock.cjs');
    const tomorrow = `const now = Date.now;
globalThis.Date = class extends Date {
  constructor(...given) { given.length > 0 ? super(...given) : super(now() + 86_400_000); }
  static now() { return now() + 86_400_000; }
};`;
    writeFileSync(clock, tomorrow);
    const env = { NODE_OPTIONS: `--require ${clock}` };
    expect((await runDguard(['backup', 'j'], { cwd: folder, env })).code).toBe(0);
    const list = await dguard(folder, 'list');
    const [ahead, now] = list.stdout.match(/full-\S+/g)!;
    expect(list.stdout.match(/dated ahead/g)).toHaveLength(1);
    const verify = await dguard(folder, 'verify', 'j');
    expect(verify.stdout).toContain(now);
    expect(verify.stdout).not.toContain(ahead);
    const status = await dguard(folder, 'status', '--json');
    const [row] = (JSON.parse(status.stdout) as { rows: Record<string, unknown>[] }).rows;
    expect(row).toMatchObject({ dated_ahead: 1, last_good: { id: now }, last_proof: { id: now } });
    const doctor = await dguard(folder, 'doctor', 'store');
    expect(doctor.code).toBe(1);
    expect(doctor.stdout).toMatch(/PROBLEM .*the clock says .*1 dated ahead count for nothing/);
  });
});
