import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noise } from '../archive/support.ts';
import { describeTree } from '../engines/files/support.ts';
import { snapshotOf, workspace } from './support.ts';

const MIB = 1024 * 1024;
const TABLES = 60;
const DAMAGES = ['flip', 'cut', 'lengthen', 'delete'] as const;

/** Copies of one destination, each with one object damaged, so that they can be looked at side by side. */
const space = workspace();
const ids: Record<string, string> = {};
let cases = 0;

beforeAll(async () => {
  fs.mkdirSync(space.path('tree'));
  fs.writeFileSync(space.path('tree/large'), noise(2 * MIB + MIB / 2, 9));
  fs.writeFileSync(space.path('tree/small'), 'small');
  const tables = Array.from(
    { length: TABLES },
    (_, i) => `CREATE TABLE t${i} (a); INSERT INTO t${i} VALUES (${i});`,
  );
  execFileSync('sqlite3', [space.path('app.db'), tables.join('')]);
  space.config({
    datasources: {
      tree: { type: 'files', source_path: './tree' },
      app: { type: 'sqlite', file_path: './app.db' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      parts: { datasources: ['tree'], destinations: ['here'], options: { max_file_size_mb: 1 } },
      tables: { datasources: ['app'], destinations: ['here'], options: { format: 'jsonl' } },
    },
  });
  const run = await space.json('backup', '--all');
  expect(run.code, run.stderr).toBe(0);
  for (const { job, id } of run.document.backups) ids[job] = id;
});
afterAll(() => space.remove());

const folderOf = (job: string, destination = 'backups') =>
  space.path(destination, job, job === 'parts' ? 'tree' : 'app', ids[job]!);

/** A copy of one job's backups; gives the copy's name for --from and the backup's folder in it. */
function copyOf(job: string): { from: string; folder: string } {
  const name = `copy-${cases++}`;
  fs.cpSync(space.path('backups', job), space.path(name, job), { recursive: true });
  return { from: `./${name}`, folder: folderOf(job, name) };
}

function damage(path: string, how: (typeof DAMAGES)[number]): void {
  const bytes = fs.readFileSync(path);
  fs.rmSync(path);
  if (how === 'delete') return;
  if (how === 'flip') bytes[bytes.length >> 1]! ^= 1;
  fs.writeFileSync(
    path,
    how === 'cut'
      ? bytes.subarray(0, -1)
      : how === 'lengthen'
        ? Buffer.concat([bytes, Buffer.from('x')])
        : bytes,
  );
}

/** Verify exits 4 and names the object, a restore refuses and leaves its target as it was. */
async function assertNoticed(job: string, object: string, how: (typeof DAMAGES)[number]): Promise<void> {
  const { from, folder } = copyOf(job);
  damage(join(folder, object), how);
  const target = space.path(`target-${cases}`);
  fs.mkdirSync(target);
  fs.writeFileSync(join(target, 'old'), 'what was there');
  // A database is staged in the folder beside it: that folder's time is no part of the target.
  const state = () => describeTree(target).slice(job === 'parts' ? 0 : 1);
  const before = state();
  const id = ids[job]!;
  const over = job === 'parts' ? target : join(target, 'old');
  const [verify, restore] = await Promise.all([
    space.run('verify', id, '--from', from),
    space.run('restore', id, '--from', from, '--to-path', over, '--overwrite', '--yes'),
  ]);
  const what = `${object} ${how}`;
  expect(verify.code, `${what}: ${verify.stdout}${verify.stderr}`).toBe(4);
  expect(verify.stdout, what).toContain(object);
  // A restore does not read the list that is there for people.
  if (object === 'SHA256SUMS') expect(restore.code, `${what}: ${restore.stderr}`).toBe(0);
  else {
    expect(restore.code, `${what}: ${restore.stdout}${restore.stderr}`).toBe(4);
    expect(restore.stderr).toContain('next:');
    expect(state(), what).toEqual(before);
    expect(fs.readdirSync(target)).toEqual(['old']);
  }
  for (const path of [target, space.path(from)]) fs.rmSync(path, { recursive: true });
}

describe('a backup in parts', () => {
  it.each([
    ['files.tar.zst.001', DAMAGES],
    ['files.tar.zst.002', ['flip', 'delete']],
    ['files.tar.zst.003', ['flip', 'cut']],
    ['index.zst', DAMAGES],
    ['SHA256SUMS', ['flip', 'delete']],
  ] as const)('%s: %s', async (object, damages) => {
    for (const how of damages) await assertNoticed('parts', object, how);
  });

  it('of which one is lost: what lies in the others is restored by its name, and the rest is not', async () => {
    const { from, folder } = copyOf('parts');
    fs.rmSync(join(folder, 'files.tar.zst.001'));
    const restore = (only: string) =>
      space.run('restore', ids['parts']!, '--from', from, '--only', only, '--to-path', `./${only}`);
    const [small, large, cat] = await Promise.all([
      restore('small'),
      restore('large'),
      space.run('cat', ids['parts']!, 'small', '--from', from),
    ]);
    expect(small.code, small.stderr).toBe(0);
    expect(small.stderr).toContain('files.tar.zst.001 is missing');
    expect(fs.readFileSync(space.path('small/small'), 'utf8')).toBe('small');
    expect(large).toMatchObject({ code: 4, stderr: expect.stringContaining('recover.py') });
    expect(fs.existsSync(space.path('large'))).toBe(false);
    expect(cat).toMatchObject({ code: 0, stdout: 'small' });
  });

  it('whose list of sums is lost: a restore that fails says that it is, as one that succeeds does', async () => {
    const { from, folder } = copyOf('parts');
    fs.rmSync(join(folder, 'SHA256SUMS'));
    const target = space.path('not-empty');
    fs.mkdirSync(target);
    fs.writeFileSync(join(target, 'old'), 'what was there');
    const refused = await space.run('restore', ids['parts']!, '--from', from, '--to-path', target);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('--overwrite') });
    expect(refused.stderr).toContain('this copy is broken: SHA256SUMS is missing');
  });

  it('two parts of the same length that changed places', async () => {
    const { from, folder } = copyOf('parts');
    const [first, second] = ['001', '002'].map((part) => join(folder, `files.tar.zst.${part}`)) as [
      string,
      string,
    ];
    fs.renameSync(first, `${first}.x`);
    fs.renameSync(second, first);
    fs.renameSync(`${first}.x`, second);
    const verify = await space.run('verify', ids['parts']!, '--from', from, '--level', 'checksum');
    expect(verify.code, verify.stdout).toBe(4);
    const restore = await space.run('restore', ids['parts']!, '--from', from, '--to-path', './swapped');
    expect(restore.code, restore.stderr).toBe(4);
    expect(fs.existsSync(space.path('swapped'))).toBe(false);
  });
});

describe('a backup of more than 50 artifacts, listed in its index', () => {
  it('has them', () => {
    const names = fs.readdirSync(folderOf('tables'));
    expect(names.filter((name) => name.includes('.jsonl'))).toHaveLength(TABLES);
    expect(
      JSON.parse(fs.readFileSync(join(folderOf('tables'), 'manifest.json'), 'utf8')).artifacts,
    ).not.toBeInstanceOf(Array);
  });

  it.each([
    ['t0.jsonl.zst', DAMAGES],
    ['t59.jsonl.zst', ['flip', 'lengthen']],
    ['schema.json.zst', ['flip', 'delete']],
    ['index.zst', ['flip', 'cut']],
  ] as const)('%s: %s', async (object, damages) => {
    for (const how of damages) await assertNoticed('tables', object, how);
  });
});

describe('what is not a part of the backup', () => {
  const NAMES = ['files.tar.zst.004', 'holiday.jpg', 'index.zst.001', 't99.jsonl.zst', 'x.json'];

  it.each(['parts', 'tables'])('%s: is a warning, is restored past, and survives a delete', async (job) => {
    const { from, folder } = copyOf(job);
    for (const name of NAMES) fs.writeFileSync(join(folder, name), 'mine');
    const id = ids[job]!;
    const [backup] = await space.listed(from);
    expect(backup!.computed.good).toBe(true);
    expect([...backup!.computed.foreign].sort()).toEqual(NAMES);
    const verify = await space.run('verify', id, '--from', from);
    expect(verify.code, verify.stdout + verify.stderr).toBe(0);
    for (const name of NAMES) expect(verify.stderr).toContain(name);
    const restore = await space.run('restore', id, '--from', from, '--to-path', `${from}-out`);
    expect(restore.code, restore.stderr).toBe(0);
    const remove = await space.run('delete', id, '--from', from, '--yes');
    expect(remove.code, remove.stderr).toBe(0);
    expect([...snapshotOf(folder).keys()].sort()).toEqual(NAMES);
  });
});
