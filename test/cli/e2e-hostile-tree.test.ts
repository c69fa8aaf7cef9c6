import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bytePath, describeTree, makeHostileTree } from '../engines/files/support.ts';
import { describeWithCommands } from '../services/needs.ts';
import { isRoot, NOBODY, type Workspace, workspace } from './support.ts';

/**
 * A socket is a name that a running program listens on: no archive can hold it, dguard counts it in a warning.
 * It is the only entry that a restore does not give back.
 */
const SOCKET = 'special-socket';
const CODECS = ['zstd', 'gzip', 'lz4', 'brotli', 'deflate', 'none'];

const jobs = {
  ...Object.fromEntries(
    CODECS.map((compression) => [compression, { options: { compression, compression_level: undefined } }]),
  ),
  parts: { options: { compression: 'zstd', max_file_size_mb: 2 } },
  'parts-plain': { options: { compression: 'none', max_file_size_mb: 1 } },
};

function configure(space: Workspace): void {
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: Object.fromEntries(
      Object.entries(jobs).map(([name, job]) => [
        name,
        { datasources: ['tree'], destinations: ['here'], ...job },
      ]),
    ),
  });
}

describeWithCommands(['setfattr', 'setfacl', 'rsync', 'zstd', 'lz4'], 'a hostile tree', () => {
  const space = workspace();
  let expected: string[];
  let close: () => Promise<void>;

  beforeAll(async () => {
    configure(space);
    close = (await makeHostileTree(space.path('tree'))).close;
    expected = describeTree(space.path('tree')).filter((line) => !line.includes(SOCKET));
    const run = await space.json('backup', '--all');
    expect(run.code, run.stderr).toBe(0);
    expect(run.document.backups.map(({ status }) => status)).toEqual(
      Object.keys(jobs).map(() => 'completed'),
    );
  });
  afterAll(async () => {
    await close();
    space.remove();
  });

  it.concurrent.each(Object.keys(jobs))(
    '%s: a restore gives every entry back, to the microsecond',
    async (job) => {
      const to = space.path(`restored-${job}`);
      const run = await space.run('restore', job, '--to-path', to, ...(isRoot ? ['--privileged'] : []));
      expect(run.code, run.stderr).toBe(0);
      expect(run.stderr).toContain('1 sockets are left out');
      if (isRoot) expect(describeTree(to)).toEqual(expected);
      assertSameForTools(space.path('tree'), to);
      fs.rmSync(to, { recursive: true, force: true });
    },
  );

  it.concurrent.each(['zstd', 'gzip', 'lz4', 'parts', 'parts-plain'])(
    '%s: the commands that the manifest names give the tree back without dguard',
    async (job) => {
      const backup = (await space.listed()).find((each) => each.job === job)!;
      const folder = space.path('backups', backup.computed.folder);
      const to = space.path(`by-hand-${job}`);
      const ours = fs.readdirSync(folder);
      if (job.startsWith('parts'))
        expect(ours.filter((name) => /\.00[1-9]$/.test(name)).length).toBeGreaterThan(3);
      const home = { ...process.env, HOME: space.folder };
      execFileSync('sh', ['-ec', backup.recover.join('\n')], {
        cwd: folder,
        env: home,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      fs.renameSync(space.path(`restored-${backup.id}`), to);
      expect(fs.readdirSync(folder), 'nothing is written where the backup lies').toEqual(ours);
      if (isRoot) expect(asTarHolds(describeTree(to))).toEqual(asTarHolds(expected));
      fs.rmSync(to, { recursive: true, force: true });
    },
  );

  it('the backup did not touch what it read', () => {
    expect(describeTree(space.path('tree')).filter((line) => !line.includes(SOCKET))).toEqual(expected);
  });

  it('content verifies, and a verify by restore leaves nothing behind', async () => {
    const before = fs.readdirSync(space.folder);
    const run = await space.json('verify', 'zstd', '--level', 'restore');
    expect(run.code, run.stdout + run.stderr).toBe(0);
    expect(fs.readdirSync(space.folder)).toEqual(before);
  });
});

describeWithCommands(['setfattr', 'setfacl', 'rsync'], 'a hostile tree, without privileges', () => {
  const space = workspace(isRoot ? { uid: NOBODY } : {});
  afterAll(() => space.remove());

  it('backs up and restores all that it may read, and names what it may not', async () => {
    configure(space);
    const { close } = await makeHostileTree(space.path('tree'));
    await close();
    fs.chmodSync(space.folder, 0o777);
    fs.chmodSync(space.path('tree/modes/closed'), 0o755);
    if (isRoot)
      execFileSync('chown', ['-hR', `${NOBODY}:${NOBODY}`, space.path('tree'), space.path('backup.yaml')]);
    execFileSync('touch', ['-d', '@1234567891.25', space.path('tree'), space.path('tree/modes')]);
    const lost = /"(modes\/0000|special-socket|special-char|special-block)"/;
    const expected = describeTree(space.path('tree')).filter((line) => !lost.test(line));
    const run = await space.json('backup', 'zstd');
    expect(run.code, run.stderr).toBe(3);
    expect(run.document.status).toBe('partial');
    expect(run.document.backups[0]!.status).toBe('partial');
    expect(run.stderr).toMatch(/modes\/0000: .*(permission|EACCES)/i);

    const restore = await space.run('restore', run.document.backups[0]!.id, '--to-path', './restored');
    expect(restore.code, restore.stderr).toBe(3);
    // Without privileges nobody can give the attributes of others or set-id bits away; here all is the user's own.
    const plain = (line: string) => line.replace(/"mode":"(\d+)[246](\d{3})"/, '"mode":"$10$2"');
    expect(describeTree(space.path('restored')).map(plain)).toEqual(expected.map(plain));
  });

  it('a tree that cannot be read at all is an error, not an empty backup', async () => {
    fs.mkdirSync(space.path('closed'), { mode: 0o000 });
    space.config({
      datasources: { tree: { type: 'files', source_path: './closed' } },
      destinations: { here: { type: 'local', path: './backups' } },
      jobs: { zstd: { datasources: ['tree'], destinations: ['here'] } },
    });
    if (isRoot) fs.chownSync(space.path('backup.yaml'), NOBODY, NOBODY);
    const run = await space.run('backup', 'zstd');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('closed');
    expect(run.stderr).toContain('next:');
  });
});

/**
 * What of a tree a tar holds that GNU tar understands: whole seconds, no holes, no ACLs (dguard keeps those
 * in a record of their own). The folder itself is left out: the artifacts lay in it.
 */
function asTarHolds(lines: readonly string[]): object[] {
  return lines.slice(1).map((line) => {
    const { mtimeUs, sparse, xattrs, ...rest } = JSON.parse(line) as Record<string, string> & {
      xattrs?: string[];
    };
    const others = xattrs?.filter((xattr) => !xattr.startsWith('system.posix_acl')) ?? [];
    return { ...rest, seconds: Math.floor(Number(mtimeUs) / 1e6), xattrs: others };
  });
}

/** diff and rsync find no difference. */
function assertSameForTools(from: string, to: string): void {
  // diff calls two fifos and two devices different; rsync compares those.
  const special = ['-x', 'special-*', '-x', 'fifo with a space'];
  execFileSync('diff', ['-r', '--no-dereference', ...special, from, to], { stdio: 'pipe' });
  const options = ['-naHAX', '--checksum', '--delete', '-i', '--numeric-ids', `--exclude=/${SOCKET}`];
  const devices = isRoot ? [] : ['--no-devices'];
  const said = execFileSync('rsync', [...options, ...devices, `${from}/`, `${to}/`]);
  expect(said.toString('latin1')).toBe('');
  expect(fs.existsSync(bytePath(join(to, 'names'), 'latin1-\xe9\xff'))).toBe(true);
}
