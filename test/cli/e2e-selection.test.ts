import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytePath, describeTree } from '../engines/files/support.ts';
import { type Backup, snapshotOf, type Workspace, workspace } from './support.ts';

let space: Workspace;
beforeEach(() => {
  space = workspace();
  for (const folder of ['tree/a/deep', 'tree/b']) fs.mkdirSync(space.path(folder), { recursive: true });
  for (const name of ['a/one.txt', 'a/deep/two.log', 'b/three.txt', 'four.log']) {
    fs.writeFileSync(space.path('tree', name), name);
  }
  const tables = ['users', 'orders', 'logs_1', 'logs_2'];
  const sql = tables.map((name) => `CREATE TABLE ${name} (a); INSERT INTO ${name} VALUES (1), (2);`).join('');
  execFileSync('sqlite3', [space.path('app.db'), sql]);
  configure();
});
afterEach(() => space.remove());

function configure(more: Record<string, object> = {}, tree = './tree'): void {
  space.config({
    datasources: {
      tree: { type: 'files', source_path: tree, tags: ['of-tree'] },
      app: { type: 'sqlite', file_path: './app.db' },
    },
    destinations: { here: { type: 'local', path: './backups' }, there: { type: 'local', path: './others' } },
    jobs: {
      files: { datasources: ['tree'], destinations: ['here'], tags: { team: 'x' } },
      db: { datasources: ['app'], destinations: ['here'] },
      both: { datasources: ['tree', 'app'], destinations: ['here'] },
      ...more,
    },
  });
}

async function backup(...args: string[]): Promise<Backup> {
  const run = await space.json('backup', ...args);
  expect(run.code, run.stderr).toBe(0);
  return run.document.backups[0]!;
}

async function filesOf(id: string): Promise<string[]> {
  const to = space.path(`restored-${id}`);
  const run = await space.run('restore', id, '--to-path', to);
  expect(run.code, run.stderr).toBe(0);
  return [...snapshotOf(to).keys()].filter((path) => fs.statSync(`${to}/${path}`).isFile()).sort();
}

async function tablesOf(id: string): Promise<string[]> {
  const to = space.path(`restored-${id}.db`);
  const run = await space.run('restore', id, '--to-path', to);
  expect(run.code, run.stderr).toBe(0);
  return execFileSync('sqlite3', [to, "SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1"])
    .toString()
    .trim()
    .split('\n');
}

describe('--only and --exclude', () => {
  it('list and show tell a selection from a backup of everything', async () => {
    const whole = await backup('db');
    const some = await backup('db', '--only', 'users', '--only', 'logs_*', '--exclude', 'logs_2');
    const lines = (await space.run('list', 'db')).stdout.split('\n');
    expect(lines.find((line) => line.includes(some.id))).toContain('completed, selection');
    expect(lines.find((line) => line.includes(whole.id))).not.toContain('selection');
    const shown = (await space.run('show', some.id)).stdout;
    expect(shown).toContain('  a selection, restored by its id alone: only users, logs_*; without logs_2\n');
    expect((await space.run('show', whole.id)).stdout).not.toContain('a selection');
  });

  it.each([
    [
      ['--only', 'a'],
      ['a/deep/two.log', 'a/one.txt'],
    ],
    [
      ['--only', '**/*.txt'],
      ['a/one.txt', 'b/three.txt'],
    ],
    [
      ['--exclude', '*.log'],
      ['a/one.txt', 'b/three.txt'],
    ],
    [['--only', 'a', '--exclude', '*.log'], ['a/one.txt']],
    [
      ['--only', 'a/one.txt', '--only', 'b'],
      ['a/one.txt', 'b/three.txt'],
    ],
  ])('files %j', async (args, expected) => {
    expect(await filesOf((await backup('files', ...args)).id)).toEqual(expected);
  });

  it.each([
    [['--only', 'users'], ['users']],
    [
      ['--exclude', 'logs_*'],
      ['orders', 'users'],
    ],
    [['--only', 'logs_*', '--exclude', '*_2'], ['logs_1']],
  ])('tables %j', async (args, expected) => {
    const taken = await backup('db', ...args);
    expect(await tablesOf(taken.id)).toEqual(expected);
    expect(taken.facts?.tables_count).toBe(expected.length);
  });

  it('what they leave nothing of is an error, not an empty backup', async () => {
    const run = await space.run('backup', 'db', '--only', 'nothing_like_it');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('users');
  });

  it('a selection is not what a restore of the job takes', async () => {
    const whole = await backup('files');
    await backup('files', '--only', 'a');
    const run = await space.json('restore', 'files', '--to-path', './to');
    expect(run.document.restored.map(({ id }) => id)).toEqual([whole.id]);
    // Nor what verify proves of it.
    const proof = await space.json('verify', 'files');
    expect(proof.document.checks.map(({ id }) => id)).toEqual([whole.id]);
  });

  it('a name that nobody can type is chosen as it is shown', async () => {
    fs.writeFileSync(bytePath(space.path('tree'), 'b/bad\xff\xfe'), 'odd');
    const { id } = await backup('files');
    const shown = (await space.run('ls', id)).stdout.match(/\S*bad\S*/)![0];
    expect(shown).toBe(String.raw`b/bad\xff\xfe`);
    expect(await space.run('cat', id, shown)).toMatchObject({ code: 0, stdout: 'odd' });
    const to = space.path('chosen');
    expect(await space.run('restore', id, '--to-path', to, '--only', shown)).toMatchObject({ code: 0 });
    expect(fs.readFileSync(bytePath(to, 'b/bad\xff\xfe'), 'utf8')).toBe('odd');
    expect(fs.readdirSync(to)).toEqual(['b']);
    expect(fs.readdirSync(`${to}/b`)).toHaveLength(1);
    expect(await space.run('cat', id, String.raw`b/bad\xff\xfd`)).toMatchObject({ code: 2 });
    const folder = { code: 2, stderr: expect.stringContaining('./b/ is no file but a directory') };
    expect(await space.run('cat', id, './b/')).toMatchObject(folder);
  });

  it('restore --only takes a part of a whole one', async () => {
    const { id } = await backup('files');
    const run = await space.run('restore', id, '--only', 'a/deep', '--to-path', './part');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.existsSync(space.path('part/a/deep/two.log'))).toBe(true);
    expect(fs.existsSync(space.path('part/b'))).toBe(false);
    const none = await space.run('restore', id, '--only', 'no/such', '--to-path', './none');
    expect(none.code, none.stderr).not.toBe(0);
    expect(none.stderr).toContain('no/such');
    const absolute = await space.run(
      'restore',
      id,
      '--only',
      space.path('tree/a/one.txt'),
      '--to-path',
      './none',
    );
    expect(absolute.stderr).toMatch(/next: `dguard ls full-.*` shows the paths in it: they begin below/);
    const over = await space.run('restore', id, '--only', 'a/deep');
    expect(over.stderr).toMatch(/^error: restore \S+\/tree: is not empty$/m);
    expect(over.stderr).toContain('next: replace what --only names with --overwrite');
    expect(fs.existsSync(space.path('none'))).toBe(false);
  });
});

describe('--type, --tag, --to, --all, --dry-run', () => {
  it('a snapshot expires when the job says so, a checkpoint is pinned', async () => {
    configure({ kept: { datasources: ['tree'], destinations: ['here'], expires: '7d' } });
    const snapshot = await backup('kept', '--type', 'snapshot');
    expect(snapshot.type).toBe('snapshot');
    const days = (Date.parse(snapshot.expires!) - Date.parse(snapshot.finished_at)) / 86_400_000;
    expect(days).toBeCloseTo(7, 3);
    const checkpoint = await backup('kept', '--type', 'checkpoint');
    expect(checkpoint.type).toBe('checkpoint');
    expect(checkpoint.expires).toBe(undefined);
    const listed = await space.listed();
    const pinned = (id: string) =>
      (listed.find((each) => each.id === id)!.computed as { pinned?: boolean }).pinned;
    expect([pinned(checkpoint.id), pinned(snapshot.id)]).toEqual([true, false]);
  });

  it('tags of the datasource, the job and the command line are all there and can be listed by', async () => {
    const { id, tags } = await backup('files', '--tag', 'why=before upgrade', '--tag', 'x=1');
    expect([...tags].sort()).toEqual(['of-tree', 'team=x', 'why=before upgrade', 'x=1']);
    await backup('files');
    const { document } = await space.json('list', '--tag', 'x=1');
    expect(document.backups.map((each) => each.id)).toEqual([id]);
  });

  it('--to writes there and nowhere else', async () => {
    await backup('files', '--to', 'there');
    expect(fs.existsSync(space.path('backups'))).toBe(false);
    expect(await space.listed('./others')).toHaveLength(1);
  });

  it('--all runs every job; one that fails does not keep the others from it', async () => {
    configure({}, './gone');
    const run = await space.json('backup', '--all');
    expect(run.code, run.stderr).toBe(1);
    expect(run.document.backups.map(({ job }) => job).sort()).toEqual(['both', 'db']);
    expect(run.document.errors.length).toBeGreaterThan(0);
  });

  it('--dry-run writes nothing at all, not even a folder', async () => {
    const before = describeTree(space.folder);
    for (const args of [['files'], ['--all'], ['db', '--type', 'checkpoint', '--tag', 'a=b']]) {
      const run = await space.run('backup', ...args, '--dry-run');
      expect(run.code, run.stderr).toBe(0);
      expect(run.stdout).toContain('here');
    }
    for (const to of ['nosuch', './nosuch', 'constructor', '__proto__']) {
      for (const more of [['--dry-run'], []]) {
        const refused = await space.run('backup', 'files', '--to', to, ...more);
        expect(refused.code, refused.stderr).toBe(2);
        expect(refused.stderr).not.toContain('report what it prints');
      }
    }
    expect((await space.run('backup', 'files', '--to', 'there', '--dry-run')).code).toBe(0);
    expect(describeTree(space.folder)).toEqual(before);
  });
});

describe('a restore by job', () => {
  it('takes the newest run in which every datasource is good', async () => {
    const good = await space.json('backup', 'both');
    expect(good.code).toBe(0);
    fs.renameSync(space.path('app.db'), space.path('away.db'));
    const broken = await space.json('backup', 'both');
    expect(broken.code, broken.stderr).toBe(3);
    const run = await space.json('restore', 'both', '--to-path', './to');
    expect(run.code, run.stderr).toBe(0);
    expect(run.document.restored.map(({ id }) => id)).toEqual(good.document.backups.map(({ id }) => id));
    const newest = await space.json('restore', 'both', '--datasource', 'tree', '--to-path', './newest');
    expect(newest.document.restored.map(({ id }) => id)).toEqual([broken.document.backups[0]!.id]);
  });

  it('--at takes the newest that is not after it; before the first there is nothing: exit 6', async () => {
    const first = await backup('files');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    fs.writeFileSync(space.path('tree/later'), 'later');
    const second = await backup('files');
    const at = async (time: string) =>
      space.json('restore', 'files', '--at', time, '--to-path', './at', '--dry-run');
    const between = new Date(Date.parse(first.created_at) + 500).toISOString();
    expect((await at(between)).document.restored.map(({ id }) => id)).toEqual([first.id]);
    expect((await at(second.created_at)).document.restored.map(({ id }) => id)).toEqual([second.id]);
    expect((await at('2001-01-01T00:00:00Z')).code).toBe(6);
    expect(fs.existsSync(space.path('at'))).toBe(false);
  });
});

it('without its configuration, a job of which older runs have more is restored in part: exit 3', async () => {
  await backup('both');
  configure({ both: { datasources: ['tree'], destinations: ['here'] } });
  // What the run before had, and this one lacks, is waited for: it may have been killed.
  await backup('both');
  await backup('both');
  fs.renameSync(space.path('backup.yaml'), space.path('lost.yaml'));
  const restore = (to: string, ...args: string[]) =>
    space.json('restore', 'both', '--from', './backups', '--to-path', space.path(to), ...args);

  const all = await restore('all');
  expect(all.code, all.stderr).toBe(3);
  expect(all.document).toMatchObject({ status: 'partial', exit_code: 3, errors: [] });
  expect(all.document.restored).toHaveLength(1);
  expect(all.stderr).toContain('left out: app, last in the run of');
  expect(fs.existsSync(space.path('all/four.log'))).toBe(true);
  // Who says what is wanted gets all of that.
  expect((await restore('tree-alone', '--datasource', 'tree')).code).toBe(0);
  expect((await restore('app-alone.db', '--datasource', 'app')).code).toBe(0);

  fs.renameSync(space.path('lost.yaml'), space.path('backup.yaml'));
  expect((await space.run('restore', 'both', '--to-path', space.path('configured'))).code).toBe(0);
});
