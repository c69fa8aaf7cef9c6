import { spawnSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EntryRecord } from '../../src/archive/entry.ts';
import type { Member, TreeItem } from '../../src/engines/member.ts';
import { localStorage } from '../../src/storages/local.ts';
import { fileEntry, noise, streamMember, treeMember, writeBackup } from '../archive/support.ts';

const PROGRAM = fileURLToPath(new URL('./recover.py', import.meta.url));

export const MTIME_NS = 1_700_000_000_123_456_789n;

export function tempFolder(): string {
  return mkdtempSync(join(tmpdir(), 'dguard-recover-'));
}

/** Writes a backup as files below `root` and returns it with the path of its folder. */
export async function writeFolder(
  root: string,
  members: readonly Member[],
  options: Parameters<typeof writeBackup>[1] = {},
) {
  const storage = localStorage({ path: root }, { name: 'local', warn: () => {} });
  const backup = await writeBackup(members, { ...options, storage });
  return { ...backup, path: join(root, backup.folder) };
}

export function recover(
  folder: string,
  target: string,
  chain: readonly string[] = [],
): { status: number | null; stderr: string } {
  const chained = chain.length === 0 ? [] : ['--chain', ...chain];
  const result = spawnSync('python3', [PROGRAM, folder, target, ...chained], { encoding: 'utf8' });
  return { status: result.status, stderr: result.stderr };
}

/** An entry without content. */
export function bareEntry(
  path: string,
  kind: EntryRecord['kind'],
  fields: Partial<EntryRecord> = {},
): TreeItem {
  const { entry } = fileEntry(path, Buffer.alloc(0));
  return { entry: { ...entry, kind, ...fields } };
}

/** Every kind that an ordinary user can make, names that are awkward, contents of all sizes, two streams. */
export function everything(scale = 1): { members: Member[]; files: Map<string, Buffer> } {
  const files = new Map<string, Buffer>([
    ['big/large.bin', noise(3_000_000 * scale, 9, 90)],
    ['big/middle', noise(300_000 * scale, 4, 20)],
    ['big/sparse', Buffer.concat([Buffer.alloc(1_500_000), Buffer.from('middle'), Buffer.alloc(1_500_000)])],
    ['empty', Buffer.alloc(0)],
    ['f-\xc3\xbc"\\\n', Buffer.from('a name with quotes, a line break and two bytes of UTF-8')],
    ['f-\xff\xfe', Buffer.from('a name that is not UTF-8')],
    ['stream.dump', noise(5_000_000 * scale, 3, 40)],
    ['stream.empty', Buffer.alloc(0)],
  ]);
  for (let i = 0; i < 300; i++) files.set(`many/${String(i).padStart(4, '0')}`, noise(i * 11, i + 1, 60));
  const file = (path: string, fields: Partial<EntryRecord> = {}): TreeItem => {
    const item = fileEntry(path, files.get(path)!);
    return { ...item, entry: { ...item.entry, ...fields } };
  };
  const many = [...files.keys()].filter((path) => path.startsWith('many/')).sort();
  const tree: TreeItem[] = [
    bareEntry('', 'directory', { mode: 0o750 }),
    bareEntry('big', 'directory', { mode: 0o700, mtimeNs: 1_500_000_000_000_000_001n }),
    file('big/large.bin'),
    file('big/middle', { mode: 0o640 }),
    file('big/sparse', { sparse: true }),
    file('empty', { mode: 0o4755 }),
    file('f-\xc3\xbc"\\\n', { mtimeNs: -1_500_000_000n }),
    file('f-\xff\xfe'),
    bareEntry('link', 'symlink', { link: '../nowhere/\xff' }),
    bareEntry('many', 'directory', { mode: 0o555 }),
    ...many.map((path) => file(path)),
    bareEntry('other-name', 'hardlink', { link: 'big/middle', mode: 0o640, linkGroup: 1 }),
    bareEntry('pipe', 'fifo', { mode: 0o600 }),
    bareEntry('socket', 'socket'),
  ];
  const streams = ['stream.dump', 'stream.empty'].map((path) => streamMember(path, files.get(path)!));
  return { members: [treeMember(tree), ...streams], files };
}

/** All files below a folder by their path as a byte string. */
export function readTree(root: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const visit = (path: Buffer): void => {
    for (const name of readdirSync(at(path), { encoding: 'buffer' })) {
      const child = path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]);
      const stats = lstatSync(at(child));
      if (stats.isDirectory()) visit(child);
      else if (stats.isFile()) found.set(child.toString('latin1'), readFileSync(at(child)));
    }
  };
  const at = (path: Buffer) => Buffer.concat([Buffer.from(`${root}/`), path]);
  visit(Buffer.alloc(0));
  return found;
}

/** What lstat says of a path given as a byte string, and a link's target. */
export function statOf(root: string, path: string) {
  const place = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
  const stats = lstatSync(place, { bigint: true });
  const link = stats.isSymbolicLink()
    ? readlinkSync(place, { encoding: 'buffer' }).toString('latin1')
    : undefined;
  return { stats, mode: Number(stats.mode) & 0o7777, link };
}
