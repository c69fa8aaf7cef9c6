import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isRoot, NOBODY, runDguard, snapshotOf, workspace } from './support.ts';

/** A destination of which one object cannot be read: a bad sector, or another user's file. Root is refused nothing. */
const user = isRoot ? { uid: NOBODY } : {};
const space = workspace(user);
const cause = 'EACCES: permission denied';
let cases = 0;

beforeAll(async () => {
  for (const name of ['one', 'two']) {
    fs.mkdirSync(space.path(name));
    fs.writeFileSync(space.path(name, 'file'), name);
  }
  space.config({
    datasources: {
      one: { type: 'files', source_path: './one' },
      two: { type: 'files', source_path: './two' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      both: { datasources: ['one', 'two'], destinations: ['here'], retention: { keep_last: 1 } },
      other: { datasources: ['one'], destinations: ['here'] },
    },
  });
  if (isRoot) execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, space.folder]);
  for (const args of [['both'], ['both'], ['other']]) {
    const run = await space.run('backup', ...args);
    expect(run.code, run.stderr).toBe(0);
  }
});
afterAll(() => space.remove());

/** A copy of the destination, and the ids of job and datasource in it, oldest first. */
function copy(job: string, datasource: string) {
  const from = `copy-${cases++}`;
  execFileSync('cp', ['-a', space.path('backups'), space.path(from)]);
  const ids = fs.readdirSync(space.path(from, job, datasource)).sort(byTime);
  return { from: `./${from}`, ids, folder: (id: string) => space.path(from, job, datasource, id) };
}
const byTime = (a: string, b: string) => (made(a) < made(b) ? -1 : 1);
const made = (id: string) => {
  for (const job of ['both', 'other'])
    for (const datasource of ['one', 'two']) {
      const path = space.path('backups', job, datasource, id, 'manifest.json');
      if (fs.existsSync(path)) return JSON.parse(fs.readFileSync(path, 'utf8')).created_at as string;
    }
  return '';
};

it('costs its own backup alone: the others are listed, shown, verified and restored, and the gap is told', async () => {
  const { from, ids, folder } = copy('other', 'one');
  const [lost] = ids as [string];
  fs.chmodSync(`${folder(lost)}/manifest.json`, 0);
  const list = await space.json('list', '--from', from);
  expect([list.code, list.document.backups.length]).toEqual([1, 5]);
  expect(list.document.errors).toMatchObject([
    { code: 'storage_failed', message: expect.stringContaining(cause) },
  ]);
  expect(list.document.backups.filter(({ computed }) => !computed.good)).toMatchObject([
    { computed: { state: 'damaged', problems: [expect.stringContaining(cause)] } },
  ]);
  const good = list.document.backups.find(({ job }) => job === 'both')!;
  expect((await space.run('show', good.id, '--from', from)).code).toBe(0);
  expect((await space.run('cat', good.id, 'file', '--from', from)).stdout).toBe(good.datasource.name);
  const verify = await space.json('verify', 'both', '--from', from);
  expect([verify.code, verify.document.checks.map(({ overall }) => overall)]).toEqual([1, ['pass', 'pass']]);
  const restore = await space.run('restore', 'both', '--from', from, '--to-path', `./to-${cases}`);
  expect(restore.code, restore.stderr).toBe(0);
  expect(restore.stderr).toContain(cause);
  expect([...snapshotOf(space.path(`to-${cases}`)).keys()].sort()).toEqual([
    'one',
    'one/file',
    'two',
    'two/file',
  ]);
});

it.each(['show', 'ls', 'delete', 'restore'])(
  '%s does not say that there is no backup of an id that may be what cannot be read',
  async (command) => {
    const { from, ids, folder } = copy('other', 'one');
    fs.chmodSync(`${folder(ids[0]!)}/manifest.json`, 0);
    const more = command === 'restore' ? ['--to-path', './nowhere'] : command === 'delete' ? ['--yes'] : [];
    for (const [name, code] of [
      [ids[0]!, 1],
      [ids[0]!.slice(-8), 1],
      ['zzzzzzzz', 1],
    ] as const) {
      if (command === 'delete' && name !== 'zzzzzzzz') continue;
      const run = await space.run(command, name, '--from', from, ...more);
      expect([run.code, run.stderr], name).toEqual([code, expect.stringContaining(cause)]);
    }
    fs.chmodSync(space.path(from), 0);
    const run = await space.run(command, 'zzzzzzzz', '--from', from, ...more);
    expect([run.code, run.stderr]).toEqual([1, expect.stringContaining('EACCES')]);
    fs.chmodSync(space.path(from), 0o700);
  },
);

it('a mark that cannot be read says nothing to who reads, and stops who deletes', async () => {
  const { from, ids, folder } = copy('both', 'two');
  const [, newest] = ids as [string, string];
  fs.writeFileSync(`${folder(newest)}/verified-2026-01-02T03-04-05Z-678-0123abcd.json`, '', { mode: 0 });
  const restore = await space.run('restore', 'both', '--from', from, '--to-path', `./to-${cases}`);
  expect([restore.code, restore.stderr]).toEqual([0, expect.stringContaining(cause)]);
  const shown = await space.json('list', 'both', '--from', from, '--datasource', 'two');
  expect([shown.code, shown.document.backups.map(({ computed }) => computed.state)]).toEqual([
    1,
    ['completed', 'completed'],
  ]);
  const before = snapshotOf(space.path(from));
  const config = space.write(
    `gap-${cases}.yaml`,
    fs.readFileSync(space.path('backup.yaml'), 'utf8').replace('./backups', from),
  );
  if (isRoot) fs.chownSync(config, NOBODY, NOBODY);
  const prune = await space.run('prune', 'both', '-c', config);
  expect([prune.code, prune.stderr]).toEqual([1, expect.stringContaining(cause)]);
  const drop = await space.run('delete', ids[0]!, '--from', from, '--yes');
  expect([drop.code, drop.stderr]).toEqual([1, expect.stringContaining(cause)]);
  expect(snapshotOf(space.path(from))).toEqual(before);
  const backup = await space.run('backup', 'both', '-c', config);
  expect([backup.code, backup.stderr]).toEqual([0, expect.stringContaining(cause)]);
});

it('a job without configuration is not said to be restored whole where a manifest of it is damaged', async () => {
  const { from, ids, folder } = copy('both', 'two');
  for (const id of ids) fs.truncateSync(`${folder(id)}/manifest.json`, 100);
  const run = (...args: string[]) =>
    runDguard(['restore', 'both', ...args, '--from', '.', '--to-path', `../to-${cases}`], {
      cwd: space.path(from),
      ...user,
    });
  const alone = await run();
  expect(alone.code, alone.stderr).toBe(3);
  for (const id of ids) expect(alone.stderr).toContain(`left out: both/two/${id}`);
  const named = await run('--datasource', 'one', '--overwrite');
  expect([named.code, named.stderr]).toEqual([0, expect.not.stringContaining('left out')]);
});

it('that a newer backup is damaged is said where an older one is restored', async () => {
  const { from, ids, folder } = copy('both', 'two');
  const [older, newest] = ids as [string, string];
  fs.truncateSync(`${folder(newest)}/manifest.json`, 100);
  const args = ['--datasource', 'two', '--from', from];
  const restore = await space.run('restore', 'both', ...args, '--to-path', `./to-${cases}`);
  expect(restore.stderr).toContain(`not the newest, passed over is both/two/${newest}, which cannot be read`);
  const [day, time] = older.slice('full-'.length).split('T') as [string, string];
  expect(restore.stderr).toContain(
    `taken instead is the run of ${day}T${time.slice(0, 8).replaceAll('-', ':')}`,
  );
  expect([restore.code, restore.stdout]).toEqual([0, expect.stringContaining(older)]);
  // One that is older than what is restored is no matter.
  const other = copy('both', 'two');
  fs.truncateSync(`${other.folder(older)}/manifest.json`, 100);
  const fine = await space.run(
    'restore',
    'both',
    ...['--datasource', 'two', '--from', other.from, '--to-path', `./to-${cases}`],
  );
  expect([fine.code, fine.stderr]).toEqual([0, expect.not.stringContaining('not the newest')]);
});

it('of many that cannot be read whole a few are named, and how many more there are', async () => {
  const { from } = copy('both', 'two');
  const all = ['both/one', 'both/two', 'other/one'].flatMap((group) =>
    fs.readdirSync(space.path(from, group)).map((id) => space.path(from, group, id)),
  );
  expect(all).toHaveLength(5);
  // As a verify by root leaves them.
  for (const folder of all)
    fs.writeFileSync(`${folder}/verified-2026-01-02T03-04-05Z-678-0123abcd.json`, '', { mode: 0 });
  const config = space.write(
    `many-${cases}.yaml`,
    fs.readFileSync(space.path('backup.yaml'), 'utf8').replace('./backups', from),
  );
  if (isRoot) fs.chownSync(config, NOBODY, NOBODY);
  const list = await space.json('list', '-c', config);
  expect([list.code, list.document.backups.length, list.document.errors.length]).toEqual([1, 5, 4]);
  for (const [code, ...args] of [
    [1, 'list'],
    [1, 'verify', 'other'],
    [0, 'restore', 'both', '--to-path', `./to-${cases}`],
    [0, 'backup', 'other'],
  ] as const) {
    const run = await space.run(...args, '-c', config);
    expect(run.code, run.stderr).toBe(code);
    expect(run.stderr.split('\n').filter((line) => line.includes(cause))).toHaveLength(3);
    expect(run.stderr).toContain('2 more backups of it could not be read');
  }
});
