import fs from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Workspace, workspace } from './support.ts';

const MIB = 1024 * 1024;
const LONG_AGO = new Date('2001-01-01T00:00:00Z');

/** What other programs keep in the same folder, some of it called as ours is. */
const THEIRS: Readonly<Record<string, string>> = {
  'notes.txt': 'top level',
  '.hidden': 'x',
  'photos/2001/index.zst': 'an index of photos',
  'photos/2001/lease-0000.json': '{"folder":"somewhere/else","id":"x","references":[]}',
  'database.dump.zst': 'another backup program',
  'j/README': 'a note beside our jobs',
  'j/tree/notes/SHA256SUMS': '0  x\n',
  'j/tree/full-of-photos/files.tar.zst': 'a folder with a name like ours',
  'empty-lease/lease-0000.json': '',
};

let space: Workspace;
beforeEach(() => {
  space = workspace();
  fs.mkdirSync(space.path('tree'));
  fs.writeFileSync(space.path('tree/large'), 'x'.repeat(MIB));
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { j: { datasources: ['tree'], destinations: ['here'], type: 'full', retention: { keep_last: 1 } } },
  });
});
afterEach(() => space.remove());

function put(name: string, text: string): void {
  const path = space.path('backups', name);
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(path, text);
  fs.utimesSync(path, LONG_AGO, LONG_AGO);
}

/** Bytes and times of what is theirs. */
function theirs(names: readonly string[]): string[] {
  return names.map((name) => {
    const path = space.path('backups', name);
    return `${name} ${fs.existsSync(path) ? `${fs.statSync(path).mtimeMs} ${fs.readFileSync(path)}` : 'is gone'}`;
  });
}

it('what other programs keep at a destination survives every command, however old it is', async () => {
  for (const [name, text] of Object.entries(THEIRS)) put(name, text);
  const names = Object.keys(THEIRS);
  const before = theirs(names);
  const run = async (code: number, ...args: string[]) => {
    const outcome = await space.run(...args);
    expect(outcome.code, `${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`).toBe(code);
    expect(theirs(names), args.join(' ')).toEqual(before);
    return outcome;
  };
  const ids = async () => (await space.listed()).map(({ id }) => id);
  for (let i = 0; i < 4; i++) {
    fs.writeFileSync(space.path('tree/version'), String(i));
    await run(0, 'backup', 'j');
  }
  const [newest, older, old, oldest] = (await ids()) as [string, string, string, string];
  // A run that never ended, of long ago.
  const left = 'j/tree/full-2001-01-01T00-00-00Z-abcdabcd/files.tar.zst';
  put(left, 'without a lease it is nobody’s');
  names.push(left);
  before.push(...theirs([left]));

  for (const args of [['check'], ['doctor'], ['list'], ['status'], ['show', newest], ['ls', newest]]) {
    await run(0, ...args);
  }
  await run(0, 'cat', newest, 'version');
  await run(0, 'diff', older, newest);
  for (const level of ['exists', 'checksum', 'content', 'restore']) {
    await run(0, 'verify', 'j', '--level', level);
  }
  await run(0, 'restore', 'j', '--to-path', './there');
  await run(0, 'restore', 'j', '--overwrite', '--yes');
  await run(0, 'restore', 'j', '--undo', '--yes');
  await run(0, 'restore', 'j', '--recover');
  await run(0, 'restore', 'j', '--drop-undo', '--yes');
  await run(0, 'rollback', 'j', '--yes');
  await run(0, 'pin', oldest);
  await run(0, 'unpin', oldest);
  await run(2, 'accept', newest);
  await run(0, 'unlock', 'j');
  await run(0, 'prune', 'j', '--dry-run');
  await run(0, 'delete', oldest, '--yes');
  await run(0, 'prune', 'j');
  expect(await ids()).toEqual([newest]);
  expect([older, old].map((id) => fs.existsSync(space.path('backups/j/tree', id)))).toEqual([false, false]);

  // A manifest of theirs may be one of ours that is damaged: prune says so, and keeps all.
  const web = 'project/manifest.json';
  put(web, '{"name":"somebody\'s web app"}');
  names.push(web);
  before.push(...theirs([web]));
  await run(0, 'backup', 'j');
  const pruned = await run(0, 'prune', 'j');
  expect(pruned.stdout + pruned.stderr).toContain('project cannot be read');
  expect((await ids()).length).toBeGreaterThan(1);
});

it('nothing is pruned, and it is said why, where the destination is not mounted, is gone, or lists nothing', async () => {
  const store = (more: object) =>
    space.config({
      datasources: { tree: { type: 'files', source_path: './tree' } },
      destinations: { here: { type: 'local', path: './backups', ...more } },
      jobs: {
        j: { datasources: ['tree'], destinations: ['here'], type: 'full', retention: { keep_last: 1 } },
      },
    });
  store({});
  for (let i = 0; i < 2; i++) expect((await space.run('backup', 'j')).code).toBe(0);
  const both = (await space.listed()).map(({ id }) => id);
  const prune = async (code: number, says: RegExp) => {
    const outcome = await space.run('prune', 'j');
    expect(outcome.code, outcome.stdout + outcome.stderr).toBe(code);
    expect(outcome.stdout + outcome.stderr).toMatch(says);
  };
  store({ must_be_mounted: true });
  await prune(1, /not mounted/);
  store({});
  expect((await space.listed()).map(({ id }) => id)).toEqual(both);
  fs.renameSync(space.path('backups'), space.path('away'));
  fs.mkdirSync(space.path('backups'));
  await prune(0, /0 removed|nothing/);
  fs.rmdirSync(space.path('backups'));
  fs.writeFileSync(space.path('backups'), 'a file');
  await prune(1, /backups/);
  fs.rmSync(space.path('backups'));
  fs.renameSync(space.path('away'), space.path('backups'));
  expect((await space.listed()).map(({ id }) => id)).toEqual(both);
});

it.each(['a flipped byte', 'a lost part'])(
  '%s: not good any more for list, status, restore by job, and prune',
  async (damage) => {
    for (const version of ['one', 'two']) {
      fs.writeFileSync(space.path('tree/version'), version);
      expect((await space.run('backup', 'j')).code).toBe(0);
    }
    const [newest, older] = await space.listed();
    const path = space.path('backups', newest!.computed.folder, 'files.tar.zst');
    const bytes = fs.readFileSync(path);
    fs.rmSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    if (damage === 'a flipped byte') fs.writeFileSync(path, bytes);
    expect((await space.run('verify', newest!.id)).code).toBe(4);

    const state = damage === 'a flipped byte' ? 'verify failed' : 'broken';
    const listed = (await space.listed()).map(({ id, computed }) => [id, computed.state, computed.good]);
    expect(listed).toEqual([
      [newest!.id, state, false],
      [older!.id, 'completed', true],
    ]);
    const status = JSON.parse((await space.run('status', 'j', '--json')).stdout);
    expect(status.rows[0]).toMatchObject({
      last_good: { id: older!.id },
      troubled: [{ id: newest!.id, state }],
    });
    const restored = await space.run('restore', 'j', '--to-path', './there');
    expect(restored.code, restored.stderr).toBe(0);
    expect(restored.stderr).toContain('not the newest');
    expect(fs.readFileSync(space.path('there/version'), 'utf8')).toBe('one');
    expect((await space.run('prune', 'j')).code).toBe(0);
    expect((await space.listed()).map(({ id }) => id)).toContain(older!.id);
  },
);
