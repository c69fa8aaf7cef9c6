import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cases, refused } from './cases.ts';
import { type HostileEntry, type Recipe, sliceOf } from './forge.ts';

/** Where hostile names point: nothing may ever be there. */
export const OUTSIDE = join(tmpdir(), 'dguard-hostile-outside');

const CONTENT = Buffer.from('hostile content\n');
const ROOT: HostileEntry = { path: '', kind: 'directory' };
const folder = (path: string): HostileEntry => ({ path, kind: 'directory' });
const symlink = (path: string, link: string): HostileEntry => ({ path, kind: 'symlink', link });
const hardlink = (path: string, link: string): HostileEntry => ({
  path,
  kind: 'hardlink',
  link,
  linkGroup: 7,
});

function tree(id: string, ...entries: (HostileEntry | string)[]): Recipe {
  return {
    blocks: [CONTENT],
    entries: [ROOT, ...entries].map((entry) =>
      typeof entry !== 'string' && entry.kind === undefined
        ? { size: CONTENT.length, at: [sliceOf(id, 0, CONTENT.length)], ...entry }
        : entry,
    ),
  };
}
const treeCase = (says: RegExp, ...entries: (HostileEntry | string)[]) =>
  refused((id) => tree(id, ...entries), says);

/** Paths, links and kinds. A file without a kind has the content of the one block. */
export const names: Cases = {
  'a path out of the tree': treeCase(/not a safe relative path/, { path: '../dguard-hostile-outside' }),
  'a path out of a folder of the tree': treeCase(/not a safe relative path/, folder('a'), {
    path: 'a/../../dguard-hostile-outside',
  }),
  'an absolute path': treeCase(/not a safe relative path/, { path: OUTSIDE }),
  'a path with an empty part': treeCase(/not a safe relative path/, folder('a'), { path: 'a//b' }),
  'a path with NUL': treeCase(/not a safe relative path/, { path: 'a\0b' }),
  'a name of 256 bytes': treeCase(/not a safe relative path/, { path: 'n'.repeat(256) }),
  'a file below a link that leads out': treeCase(
    /below something that is not a folder/,
    symlink('a', tmpdir()),
    {
      path: 'a/dguard-hostile-outside',
    },
  ),
  'a link, then a folder of the same name': treeCase(
    /names a path twice/,
    symlink('a', tmpdir()),
    folder('a'),
    { path: 'a/dguard-hostile-outside' },
  ),
  'a path twice': treeCase(/names a path twice/, { path: 'a' }, { path: 'a' }),
  'entries out of order': treeCase(/not in order/, { path: 'b' }, { path: 'a' }),
  'a hard link out of the tree': treeCase(/leads out of the backup/, hardlink('a', '../../etc/passwd')),
  'a hard link to an absolute path': treeCase(/leads out of the backup/, hardlink('a', '/etc/passwd')),
  'a hard link to a later entry': treeCase(/something after it/, hardlink('a', 'b'), {
    path: 'b',
    linkGroup: 7,
  }),
  'a hard link to a symbolic one': treeCase(
    /not a file of this backup/,
    symlink('a', '/etc/passwd'),
    hardlink('b', 'a'),
  ),
  'a link to nothing': treeCase(/link target is impossible/, symlink('a', '')),
  'a link with NUL': treeCase(/link target is impossible/, symlink('a', '/etc\0/passwd')),
  'an attribute whose name has NUL': treeCase(/attribute/, {
    path: 'a',
    xattrs: [{ name: 'user.a\0b', value: Buffer.from('x') }],
  }),
  'a kind that is none': treeCase(/wrong kind/, { path: 'a', kind: 'whiteout' as 'file' }),
  'a mode of a number that is none': refused((id) => {
    const recipe = tree(id, { path: 'a' });
    return { ...recipe, entries: (recipe.entries ?? []).map(withMode) };
  }, /wrong mode/),
  'a device with a number that is none': treeCase(/wrong device/, {
    path: 'a',
    kind: 'char_device',
    device: { major: 1.5, minor: -3 },
  }),
  'a set-user-ID device and program': {
    outcome: 'harmless',
    recipe: (id) =>
      tree(
        id,
        { path: 'a', mode: 0o6755, uid: 0, gid: 0 },
        { path: 'null', kind: 'char_device', mode: 0o6666, device: { major: 1, minor: 3 } },
      ),
  },
  'control characters and marks that reorder text': {
    outcome: 'harmless',
    recipe: (id) => ({
      ...tree(
        id,
        ...['\x1b[2Jwiped', 'a\nb', '\xe2\x80\xaetxt.exe', '\xc2\x9b31m', '\xff\xfe', 'c\rd', 'tab\tin']
          .sort()
          .map((path) => ({ path })),
      ),
      manifest: (draft) => ({
        ...draft,
        host: '\u001b]0;owned\u0007',
        tags: ['\u202egpj.exe', '\u001b[31mred'],
        facts: {
          consistency: 'none',
          warnings: { count: 1, first: ['\u001b[1A\u009b2Koverwritten \u2066x'] },
        },
      }),
    }),
  },
};

function withMode(entry: HostileEntry | string): HostileEntry | string {
  return typeof entry === 'string' ? entry : { ...entry, mode: entry.path === 'a' ? -1 : 0o755 };
}
