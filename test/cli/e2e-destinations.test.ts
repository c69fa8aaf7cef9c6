import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeTree, noise } from '../engines/files/support.ts';
import { DGUARD, type Document, isRoot, NOBODY, startDguard, type Workspace, workspace } from './support.ts';

const MIB = 1024 * 1024;

let space: Workspace;
let expected: string[];
beforeEach(() => {
  space = workspace();
  fs.mkdirSync(space.path('tree'));
  for (let i = 0; i < 3; i++) fs.writeFileSync(space.path(`tree/${i}`), noise(2 * MIB, i + 1));
  expected = describeTree(space.path('tree'));
});
afterEach(() => space.remove());

/** A job `j` to `good` and `bad`, in the order given. */
function configure(bad: object, order = ['good', 'bad'], job: object = {}): void {
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { good: { type: 'local', path: './good' }, bad: { type: 'local', path: './bad', ...bad } },
    jobs: { j: { datasources: ['tree'], destinations: order, ...job } },
  });
}

async function assertGoodRestores(): Promise<void> {
  const run = await space.run('restore', 'j', '--from', './good', '--to-path', './restored');
  expect(run.code, run.stderr).toBe(0);
  expect(describeTree(space.path('restored'))).toEqual(expected);
}

/** Nothing in the folder is listed as good, and verify has nothing to call good either. */
async function assertNothingGood(folder: string): Promise<void> {
  if (!fs.existsSync(space.path(folder)) || !fs.statSync(space.path(folder)).isDirectory()) return;
  for (const { computed } of await space.listed(folder)) expect(computed.state).toBe('failed');
}

const BAD = [
  ['a limit that is too small', { max_size_gb: 0.003 }, () => undefined],
  ['a file in its way', {}, () => fs.writeFileSync(space.path('bad'), 'a file')],
  ['a mount that is not there', { must_be_mounted: true }, () => undefined],
] as const;

describe.each(BAD)('one destination fails: %s', (_, bad, prepare) => {
  it.each(['all', 'any', 'priority'] as const)(
    'strategy %s: exit 3, the copy is named, the other is good',
    async (strategy) => {
      configure(bad, ['bad', 'good'], { strategy });
      prepare();
      const run = await space.json('backup', 'j');
      expect(run.code, run.stderr).toBe(3);
      expect(run.document.status).toBe('partial');
      expect(run.document.backups.map(({ status }) => status)).toEqual(['completed']);
      expect(JSON.stringify(run.document)).toContain('bad');
      const failed = run.document.errors.some(({ message }) => message.includes('failed its strategy `all`'));
      expect(failed).toBe(strategy === 'all');
      await assertNothingGood('./bad');
      await assertGoodRestores();
    },
  );

  it('alone: exit 1, what and why and what next, nothing good listed', async () => {
    configure(bad, ['bad']);
    prepare();
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('bad');
    expect(run.stderr).toContain('next:');
    await assertNothingGood('./bad');
  });
});

describe('strategies as people see them', () => {
  it('all: says that the job failed its strategy; any: only which copy is missing', async () => {
    configure({ max_size_gb: 0.003 }, ['good', 'bad'], { strategy: 'all' });
    const all = await space.run('backup', 'j');
    expect(all.code).toBe(3);
    expect(all.stderr).toContain('failed its strategy `all`');
    expect(all.stdout).toMatch(/NOT at bad: .*max|NOT at bad: .*more than/);
    configure({ max_size_gb: 0.003 }, ['good', 'bad'], { strategy: 'any' });
    const any = await space.run('backup', 'j');
    expect(any.code).toBe(3);
    expect(any.stderr).not.toContain('failed its strategy');
    expect(any.stdout).toContain('NOT at bad');
  });

  it('priority: the first that succeeds ends it, the others get nothing', async () => {
    configure({}, ['good', 'bad'], { strategy: 'priority' });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.existsSync(space.path('bad')) ? fs.readdirSync(space.path('bad')) : []).toEqual([]);
    await assertGoodRestores();
  });

  it('one that is optional and not mounted: exit 75, and nothing is made where it belongs', async () => {
    configure({ must_be_mounted: true, optional: true });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(75);
    expect(run.stderr).not.toContain('failed its strategy');
    expect(fs.existsSync(space.path('bad'))).toBe(false);
    await assertGoodRestores();
  });

  it('one that is not mounted gets nothing written into the folder beneath', async () => {
    fs.mkdirSync(space.path('bad'));
    configure({ must_be_mounted: true }, ['bad']);
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('is not mounted');
    expect(fs.readdirSync(space.path('bad'))).toEqual([]);
  });
});

it('a destination that vanishes while it is written to: exit 3, the other copy is good', async () => {
  for (let i = 3; i < 20; i++) fs.writeFileSync(space.path(`tree/${i}`), noise(2 * MIB, i + 1));
  expected = describeTree(space.path('tree'));
  configure({}, ['good', 'bad'], { strategy: 'any' });
  const { child, ended } = startDguard(['backup', 'j', '--json'], { cwd: space.folder });
  const folder = space.path('bad/j/tree');
  const begun = () => fs.existsSync(folder) && fs.readdirSync(folder, { recursive: true }).length > 1;
  while (child.exitCode === null && !begun()) await new Promise((resolve) => setImmediate(resolve));
  fs.renameSync(space.path('bad'), space.path('bad-gone'));
  fs.writeFileSync(space.path('bad'), 'what is there now');
  const run = await ended;
  expect(run.code, run.stderr).toBe(3);
  const { backups } = JSON.parse(run.stdout) as Document;
  expect(
    backups[0]!.computed.copies.map(({ destination, error }) => [destination, error !== undefined]),
  ).toEqual([
    ['good', false],
    ['bad', true],
  ]);
  expect(fs.readFileSync(space.path('bad'), 'utf8')).toBe('what is there now');
  await assertNothingGood('./bad-gone');
  await assertGoodRestores();
});

const mayMount = isRoot && canMount();
describe(mayMount ? 'a disk that is full' : 'a disk that is full [needs root and unshare -m]', () => {
  it.runIf(mayMount).each([
    ['artifacts', '3m', 3],
    ['the very first object', '4k', 3],
  ])(
    '%s find no room (tmpfs of %s): nothing half is listed there, the other copy is good',
    async (_, size, code) => {
      configure({}, ['good', 'bad'], { strategy: 'any' });
      const run = onSmallDisk(size, ['backup', 'j', '--json']);
      expect(run.code, run.stderr).toBe(code);
      expect(run.stdout + run.stderr).toMatch(/no space left|ENOSPC|no room|storage_full/i);
      await assertNothingGood('./full-copy');
      await assertGoodRestores();
    },
  );

  it.runIf(mayMount)('alone: exit 1, and what was there before is still good', async () => {
    configure({}, ['bad']);
    fs.mkdirSync(space.path('small'));
    fs.renameSync(space.path('tree'), space.path('large'));
    fs.mkdirSync(space.path('tree'));
    fs.writeFileSync(space.path('tree/0'), noise(MIB, 1));
    const script = `node ${DGUARD} backup j -q && rm -r tree && mv large tree && node ${DGUARD} backup j`;
    const run = onSmallDisk('3m', script);
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('next:');
    const listed = await space.listed('./full-copy');
    expect(listed.filter(({ computed }) => computed.good)).toHaveLength(1);
    const verify = await space.run('verify', 'j', '--from', './full-copy');
    expect(verify.code, verify.stdout + verify.stderr).toBe(0);
  });

  it.runIf(mayMount)(
    'not a byte of it is left: prune still makes room, and the next backup finds it',
    async () => {
      configure({}, ['bad'], { retention: { keep_last: 1, auto_delete: false } });
      const dguard = `node ${DGUARD}`;
      const script = `${dguard} backup j -q && ${dguard} backup j -q && cat /dev/zero >bad/filler 2>/dev/null
      set -e; test "$(df --output=avail bad | tail -1 | tr -d ' ')" = 0
      if ${dguard} backup j -q; then exit 9; fi
      ${dguard} prune j
      truncate -s -1M bad/filler
      ${dguard} backup j -q`;
      const run = onSmallDisk('16m', script);
      expect(run.code, run.stdout + run.stderr).toBe(0);
      const good = (await space.listed('./full-copy')).filter(({ computed }) => computed.good);
      expect(good).toHaveLength(2);
      const verify = await space.run('verify', 'j', '--from', './full-copy');
      expect(verify.code, verify.stdout + verify.stderr).toBe(0);
    },
  );

  it.runIf(mayMount)(
    'where a restore went: undo is whole or does nothing, drop-undo makes room',
    async () => {
      space.config({
        datasources: { tree: { type: 'files', source_path: './bad/tree' } },
        destinations: { good: { type: 'local', path: './good' } },
        jobs: { j: { datasources: ['tree'], destinations: ['good'] } },
      });
      const dguard = `node ${DGUARD}`;
      const script = `set -e; cp -a tree bad/tree; ${dguard} backup j -q
      echo changed >bad/tree/0; ${dguard} restore j --overwrite -q
      cat /dev/zero >bad/filler 2>/dev/null || true
      ${dguard} restore j --undo -q && echo undone || echo refused $?
      cp -a bad/tree after-undo
      if test "$(cat bad/tree/0 | wc -c)" = 8; then ${dguard} restore j --undo -q; fi
      rm bad/filler; ${dguard} list -q; cat /dev/zero >bad/filler 2>/dev/null || true
      ${dguard} restore j --drop-undo --yes
      cp -a bad/tree after-drop; rm bad/filler; df --output=used -k bad | tail -1`;
      const run = onSmallDisk('16m', script);
      expect(run.code, run.stdout + run.stderr).toBe(0);
      const states = [expected, describeTree(space.path('after-drop'))];
      expect(states).toContainEqual(describeTree(space.path('after-undo')));
      // Nothing but the tree is left.
      expect(Number(run.stdout.trim().split('\n').at(-1))).toBeLessThan(6.2 * 1024);
    },
  );

  it.runIf(mayMount)('the temporary folder: exit 1 and says so, nothing good listed', async () => {
    execFileSync('sqlite3', [space.path('app.db'), 'CREATE TABLE t AS SELECT randomblob(3000000) AS x']);
    space.config({
      datasources: { app: { type: 'sqlite', file_path: './app.db' } },
      destinations: { good: { type: 'local', path: './good' } },
      jobs: { j: { datasources: ['app'], destinations: ['good'] } },
    });
    const run = onSmallDisk('1m', `TMPDIR=$PWD/bad node ${DGUARD} backup j`);
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('next:');
    expect(run.stderr).toMatch(/are free|space|full/);
    await assertNothingGood('./good');
  });
});

function canMount(): boolean {
  try {
    execFileSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs none /mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Runs in a mount namespace of its own with `./bad` a small file system; what it holds is copied to `./full-copy`. */
function onSmallDisk(size: string, command: string[] | string) {
  const line = typeof command === 'string' ? command : `node ${DGUARD} ${command.join(' ')}`;
  fs.mkdirSync(space.path('bad'), { recursive: true });
  const script = `mount -t tmpfs -o size=${size} none bad
    (${line}) >out 2>err; echo $? >code; cp -a bad full-copy`;
  execFileSync('unshare', ['-m', 'sh', '-c', script], { cwd: space.folder, stdio: 'ignore' });
  const text = (name: string) => fs.readFileSync(space.path(name), 'utf8');
  return { code: Number(text('code')), stdout: text('out'), stderr: text('err') };
}

describe.runIf(isRoot)('as a user without rights there', () => {
  it('a folder that may not be written: exit 3 and the other copy is good', async () => {
    configure({}, ['good', 'bad'], { strategy: 'any' });
    fs.mkdirSync(space.path('bad'), { mode: 0o555 });
    fs.mkdirSync(space.path('good'));
    for (const name of ['good', 'backup.yaml']) fs.chownSync(space.path(name), NOBODY, NOBODY);
    fs.chmodSync(space.folder, 0o755);
    const { ended } = startDguard(['backup', 'j'], { cwd: space.folder, uid: NOBODY });
    const run = await ended;
    expect(run.code, run.stderr).toBe(3);
    expect(run.stdout + run.stderr).toMatch(/bad.*(permission|EACCES|not allowed)/i);
    expect(fs.readdirSync(space.path('bad'))).toEqual([]);
    await assertGoodRestores();
  });
});
