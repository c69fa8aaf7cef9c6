import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeItem } from '../../src/engines/member.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { Manifest, ManifestDraft } from '../../src/manifest/types.ts';
import { localStorage } from '../../src/storages/local.ts';
import { fileEntry, noise, treeMember, writeBackup } from '../archive/support.ts';
import { snapshotOf, type Workspace, workspace } from './support.ts';

const MIB = 1024 * 1024;

type Index = NonNullable<Manifest['index']>;

let space: Workspace;
beforeEach(() => {
  space = workspace();
  fs.mkdirSync(space.path('backups'));
  fs.mkdirSync(space.path('outside'));
  fs.writeFileSync(space.path('outside/precious'), 'mine');
});
afterEach(() => space.remove());

/** A backup that dguard's own writer made, of entries that no engine would give it. */
async function plant(items: readonly TreeItem[], short = 'abcdefgh') {
  const storage = await localStorage({ path: space.path('backups') }, { name: 'x', warn: () => undefined });
  const { manifest, folder } = await writeBackup([treeMember(items)], {
    storage,
    id: `full-2026-01-02T03-04-05Z-${short}`,
  });
  return { id: manifest.id, folder: space.path('backups', folder), manifest };
}

/** A restore of it is refused as bad bytes, writes nothing anywhere, and verify says the same. */
async function assertRefused(id: string): Promise<void> {
  const outside = snapshotOf(space.path('outside'));
  const here = fs.readdirSync(space.folder).sort();
  const [restore, verify] = await Promise.all([
    space.run('restore', id, '--from', './backups', '--to-path', './deep/to'),
    space.run('verify', id, '--from', './backups'),
  ]);
  expect(restore.code, restore.stderr).toBe(4);
  expect(restore.stderr).toMatch(/^error: /m);
  expect(restore.stderr).toMatch(/^ {2}next: /m);
  expect(restore.stderr).not.toMatch(/^\s+at /m);
  expect(fs.existsSync(space.path('deep/to'))).toBe(false);
  expect(fs.readdirSync(space.folder).filter((name) => !here.includes(name) && name !== 'deep')).toEqual([]);
  expect(snapshotOf(space.path('outside'))).toEqual(outside);
  expect(verify.code, verify.stdout + verify.stderr).toBe(4);
}

const symlink = (path: string, link: string): TreeItem => {
  const item = fileEntry(path, Buffer.alloc(0));
  return { entry: { ...item.entry, kind: 'symlink', size: 0, link, mode: 0o777 } };
};
const hardlink = (path: string, link: string): TreeItem => {
  const item = fileEntry(path, Buffer.alloc(0));
  return { entry: { ...item.entry, kind: 'hardlink', size: 0, link } };
};
const folder = (path: string): TreeItem => {
  const item = fileEntry(path, Buffer.alloc(0));
  return { entry: { ...item.entry, kind: 'directory', size: 0, mode: 0o755 } };
};
const file = (path: string) => fileEntry(path, Buffer.from('evil'));

describe('an archive that wants out of its target', () => {
  it.each([
    ['a path with ..', () => [folder(''), file('../escaped')]],
    ['a path with .. inside', () => [folder(''), folder('a'), file('a/../../escaped')]],
    ['an absolute path', () => [folder(''), file('/tmp/dguard-escaped')]],
    ['a path with an empty part', () => [folder(''), folder('a'), file('a//b')]],
    ['a path with a NUL', () => [folder(''), file('a\0b')]],
    [
      'a file below a link out of the tree',
      () => [folder(''), symlink('out', '../outside'), file('out/precious')],
    ],
    ['a file below a file', () => [folder(''), file('a'), file('a/b')]],
    ['a hard link out of the tree', () => [folder(''), hardlink('x', '../outside/precious')]],
    ['a hard link to an absolute path', () => [folder(''), hardlink('x', '/etc/passwd')]],
    ['a hard link to what is not there', () => [folder(''), hardlink('x', 'nothing')]],
  ] as const)('%s', async (_, items) => {
    const { id } = await plant(items());
    await assertRefused(id);
    expect(fs.existsSync('/tmp/dguard-escaped')).toBe(false);
  });

  it('a link out of the tree with nothing below it is only a link', async () => {
    const { id } = await plant([folder(''), symlink('out', '../../outside')]);
    const run = await space.run('restore', id, '--from', './backups', '--to-path', './to');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.readlinkSync(space.path('to/out'))).toBe('../../outside');
    expect(snapshotOf(space.path('outside')).size).toBe(1);
  });
});

/** A zstd frame of so many bytes of zeros in blocks of 128 KiB, four stored bytes each, padded to a length. */
function bomb(storedBytes: number): Buffer {
  const header = Buffer.from('28b52ffd0038', 'hex');
  const blocks = Math.floor((storedBytes - header.length - 8) / 4);
  const body = Buffer.alloc(blocks * 4);
  for (let at = 0; at < blocks; at++) {
    body.writeUIntLE(((128 * 1024) << 3) | (1 << 1) | (at === blocks - 1 ? 1 : 0), at * 4, 3);
  }
  const padding = Buffer.alloc(storedBytes - header.length - body.length);
  padding.writeUInt32LE(0x184d2a50, 0);
  padding.writeUInt32LE(padding.length - 8, 4);
  return Buffer.concat([header, body, padding]);
}

describe('a bomb', () => {
  const items = () => [folder(''), fileEntry('large', noise(3 * MIB, 5))];

  it.each(['the first block of an artifact', 'the root of the index'])(
    '%s decodes to no more than it may',
    async (what) => {
      const { id, folder: path, manifest } = await plant(items());
      const root = manifest.index!.root;
      const [name, offset, length] =
        what === 'the root of the index'
          ? ['index.zst', root.offset, root.stored]
          : ['files.tar.zst', 0, 2 * MIB];
      const bytes = fs.readFileSync(join(path, name));
      bomb(length).copy(bytes, offset);
      fs.writeFileSync(join(path, name), bytes);
      await assertRefused(id);
    },
  );

  it.each([
    ['a root longer than a frame may be', (index: Index) => (index.root.length = 2 ** 40)],
    ['a root outside of the index', (index: Index) => (index.root.offset = 2 ** 40)],
    ['more bytes than are there', (index: Index) => (index.size += 1)],
  ])('a manifest, its hash made right, that claims %s', async (_, change) => {
    const { id, folder: path, manifest } = await plant(items());
    const { integrity: _integrity, ...draft } = structuredClone(manifest);
    change(draft.index as Index);
    fs.writeFileSync(join(path, 'manifest.json'), sealManifest(draft as ManifestDraft).text);
    await assertRefused(id);
  });
});

describe('a manifest', () => {
  const edit = (path: string, change: (text: string) => string | Buffer) => {
    const name = join(path, 'manifest.json');
    fs.writeFileSync(name, change(fs.readFileSync(name, 'utf8')));
  };

  const DAMAGED: readonly [string, (text: string) => string | Buffer][] = [
    ['with a key twice', (text) => text.replace('"format": 1,', '"format": 1,\n  "format": 1,')],
    ['with a trailing byte', (text) => `${text} `],
    ['without its last byte', (text) => text.slice(0, -1)],
    ['with Windows line ends', (text) => text.replaceAll('\n', '\r\n')],
    ['with a byte order mark', (text) => `\ufeff${text}`],
    ['with another fact', (text) => text.replace('"host": "host"', '"host": "hosr"')],
    ['that is empty', () => ''],
    ['that is not JSON', () => 'PK\x03\x04'],
    ['that is not UTF-8', () => Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ['that is larger than one may be', (text) => text + ' '.repeat(2 * MIB)],
    ['that nests without end', () => '['.repeat(500_000)],
  ];

  it('that is damaged: listed as that, exit 4 by verify and restore, left as it is', async () => {
    const ids: string[] = [];
    for (const [at, [, change]] of DAMAGED.entries()) {
      const planted = await plant([folder(''), file('a')], `aaaaaaa${'abcdefghijklmnop'[at]}`);
      edit(planted.folder, change);
      ids.push(planted.id);
    }
    const before = snapshotOf(space.path('backups'));
    const list = await space.json('list', '--from', './backups');
    expect(list.code).toBe(0);
    const states = list.document.backups.map(({ computed }) => `${computed.state} ${computed.good}`);
    expect(states).toEqual(DAMAGED.map(() => 'damaged false'));
    const verify = await space.json('verify', '--all', '--from', './backups');
    expect(verify.code, verify.stderr).toBe(4);
    expect(verify.document.checks.map(({ overall }) => overall)).toEqual(DAMAGED.map(() => 'fail'));
    for (const [at, [what]] of DAMAGED.entries()) {
      const restore = await space.run('restore', ids[at]!, '--from', './backups', '--to-path', './to');
      expect(restore.code, `${what}: ${restore.stderr}`).toBe(4);
      expect(restore.stderr, what).toMatch(/^ {2}next: /m);
      expect(fs.existsSync(space.path('to')), what).toBe(false);
    }
    expect(snapshotOf(space.path('backups'))).toEqual(before);
  });

  it('of a newer format: exit 4, and it says which dguard to use', async () => {
    const { id, folder: path } = await plant([folder(''), file('a')]);
    edit(path, (text) => text.replace('"format": 1,', '"format": 2,\n  "of_the_future": true,'));
    await assertRefused(id);
    const run = await space.run('restore', id, '--from', './backups', '--to-path', './to');
    expect(run.stderr).toContain('format 2');
    expect(run.stderr).toContain('newer dguard');
    expect((await space.listed()).map(({ computed }) => computed.good)).toEqual([false]);
  });

  it('dated in the future is listed, and not chosen by a restore of its job', async () => {
    const { id, folder: path, manifest } = await plant([folder(''), file('a')]);
    const { integrity: _, ...draft } = structuredClone(manifest);
    const later = new Date(Date.now() + 30 * 24 * 3_600_000).toISOString();
    fs.writeFileSync(
      join(path, 'manifest.json'),
      sealManifest({ ...draft, created_at: later } as ManifestDraft).text,
    );
    expect((await space.listed()).map((each) => each.id)).toEqual([id]);
    const run = await space.run('restore', 'job', '--from', './backups', '--to-path', './to');
    expect(run.code, run.stderr).toBe(6);
    expect(fs.existsSync(space.path('to'))).toBe(false);
  });
});
