import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { workspace } from './support.ts';

/** What a tired person types: a job where an id is wanted, a datasource where a job is. */
const space = workspace();
let id: string;

beforeAll(async () => {
  fs.mkdirSync(space.path('tree'));
  fs.writeFileSync(space.path('tree/file'), 'content\n');
  space.config({
    datasources: {
      tree: { type: 'files', source_path: './tree' },
      gone: { type: 'files', source_path: './gone' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      j: { datasources: ['tree'], destinations: ['here'] },
      both: { datasources: ['tree', 'gone'], destinations: ['here'] },
    },
  });
  const run = await space.json('backup', 'j');
  expect(run.code, run.stderr).toBe(0);
  id = run.document.backups[0]!.id;
});
afterAll(() => space.remove());

describe('a name of another kind', () => {
  it.each([
    ['show', ['show', 'j']],
    ['ls', ['ls', 'j']],
    ['cat', ['cat', 'j', 'file']],
    ['diff', ['diff', 'j', 'j']],
  ])('a job to %s: an id is wanted, and list has them', async (_, args) => {
    const { code, stderr } = await space.run(...args);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/j is a job/);
    expect(stderr).toMatch(/next: `dguard list j`/);
  });

  it.each([
    ['restore', ['restore', 'tree', '--to-path', './x']],
    ['verify', ['verify', 'tree']],
    ['show', ['show', 'tree']],
  ])('a datasource to %s: its job is named', async (_, args) => {
    const { code, stderr } = await space.run(...args);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/tree is a datasource/);
    expect(stderr).toMatch(/j --datasource tree/);
  });

  it('a moment before the first backup is named', async () => {
    const { code, stderr } = await space.run('restore', 'j', '--at', '2020-01-31', '--to-path', './x');
    expect(code, stderr).toBe(6);
    expect(stderr).toMatch(/2020-01-31T23:59:59/);
  });
});

describe('verify', () => {
  it('says whose the backup is, and what had nothing to verify', async () => {
    const backup = await space.run('backup', 'both');
    expect(backup.code, backup.stderr).toBe(3);
    const { code, stdout, stderr } = await space.run('verify', 'both');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^pass: full-\S+ of both\/tree at here \(content\)$/m);
    expect(stderr).toMatch(/^warning: both\/gone: .*nothing to verify/m);
    expect((await space.run('verify', 'j')).stderr).toBe('');
  });
});

describe('a destination alone, in a folder with a broken configuration', () => {
  it('is restored from, and says what it leaves aside and why', async () => {
    const elsewhere = workspace();
    try {
      elsewhere.write('backup.yaml', 'version: 1\ndatasources:\n  tree: { type: files }\n');
      const from = ['--from', space.path('backups')];
      const beside = await elsewhere.run('restore', id, ...from, '--to-path', './x');
      expect(beside.code, beside.stderr).toBe(0);
      expect(beside.stderr.match(/left aside/g)).toHaveLength(1);
      expect(beside.stderr).toMatch(/backup\.yaml:3:.*source_path: is required/);
      expect(fs.readFileSync(elsewhere.path('x/file'), 'utf8')).toBe('content\n');
      const to = await elsewhere.run('restore', id, ...from, '--to', 'tree');
      expect(to.code).toBe(2);
      expect(to.stderr).toMatch(/left aside/);
      expect(to.stderr).toMatch(/next: write it into a backup\.yaml as a datasource of type files/);
    } finally {
      elsewhere.remove();
    }
  });
});
