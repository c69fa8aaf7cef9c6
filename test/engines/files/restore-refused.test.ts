import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { inspectIn } from '../support.ts';
import { describeTree, isRoot, removeFolder, restoreRequest, tempFolder } from './support.ts';
import { file, folder, hardlink, type MemoryItem, memoryContent, record, symlink } from './support-items.ts';

let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

function contentOf(...items: MemoryItem[]): BackupContent {
  return memoryContent(items, [{ path: join(root, 'app'), entry: '', kind: 'directory' }]);
}

/** Whether a file here can be made immutable: as root, and not on every file system. */
function freezes(): boolean {
  const path = tempFolder();
  const done = ['+i', '-i'].map((flag) => spawnSync('chattr', [flag, path]).status);
  removeFolder(path);
  return done.every((status) => status === 0);
}

it.runIf(isRoot && freezes())(
  'what may not be replaced is named by its path, and all stays as it was [needs root, chattr]',
  async () => {
    const at = join(root, 'app');
    fs.mkdirSync(join(at, 'in'), { recursive: true });
    fs.writeFileSync(join(at, 'in/frozen'), 'old');
    fs.writeFileSync(join(at, 'in/before'), 'old');
    const before = describeTree(at);
    const content = contentOf(folder(''), folder('in'), file('in/before'), file('in/frozen'));
    const request = restoreRequest({ toPath: at, overwrite: true, only: ['in/before', 'in/frozen'] });
    execFileSync('chattr', ['+i', join(at, 'in/frozen')]);
    try {
      await expect(filesEngine.restore(content, request)).rejects.toMatchObject({
        code: 'target_failed',
        message: expect.stringMatching(/EPERM: .*\/app\/in\/frozen \(rename\)$/),
        hint: expect.stringContaining('lsattr'),
      });
    } finally {
      execFileSync('chattr', ['-i', join(at, 'in/frozen')]);
    }
    expect(describeTree(at)).toEqual(before);
  },
);

describe('hostile contents', () => {
  const outside = () => join(root, 'outside');
  const cases: [string, () => MemoryItem[]][] = [
    ['a path with ..', () => [folder(''), file('../outside')]],
    ['a path with .. inside', () => [folder(''), folder('a'), file('a/../../outside')]],
    ['an absolute path', () => [folder(''), file(outside())]],
    ['an empty part', () => [folder(''), folder('a'), file('a//b')]],
    ['a path with .', () => [folder(''), file('./a')]],
    ['a NUL in a path', () => [folder(''), file('a\0b')]],
    ['a name over 255 bytes', () => [folder(''), file('n'.repeat(256))]],
    ['a file below a symlink', () => [folder(''), symlink('a', root), file('a/outside')]],
    [
      'a folder in place of a symlink',
      () => [folder(''), symlink('a', root), folder('a'), file('a/outside')],
    ],
    ['a folder below a file', () => [folder(''), file('a'), folder('a/b')]],
    ['the same path twice', () => [folder(''), file('a'), file('a')]],
    ['a file and a symlink of one name', () => [folder(''), symlink('a', outside()), file('a')]],
    ['entries out of order', () => [folder(''), file('b'), file('a')]],
    ['a hard link outside', () => [folder(''), hardlink('a', '../outside')]],
    ['a hard link to an absolute path', () => [folder(''), hardlink('a', '/etc/passwd')]],
    ['a hard link to nothing', () => [folder(''), hardlink('b', 'a')]],
    ['a hard link to a symlink', () => [folder(''), symlink('a', '/etc/passwd'), hardlink('b', 'a')]],
    ['a hard link to a file of one name', () => [folder(''), file('a'), hardlink('b', 'a')]],
    [
      'a hard link to another group',
      () => [folder(''), file('a', 'a', { linkGroup: 1 }), hardlink('b', 'a', 2)],
    ],
    ['a hard link to itself', () => [folder(''), hardlink('a', 'a')]],
    ['a root that is a symlink', () => [symlink('', root)]],
    ['a root that is a file', () => [file('')]],
    ['an empty link target', () => [folder(''), symlink('a', '')]],
    ['an unknown kind', () => [folder(''), { entry: record('a', { kind: 'whiteout' as 'file' }) }]],
    ['an impossible mode', () => [folder(''), file('a', 'a', { mode: 0o100644 })]],
    ['an impossible owner', () => [folder(''), file('a', 'a', { uid: -1 })]],
    ['content longer than its size', () => [folder(''), file('a', 'abc', { size: 2 })]],
    ['content shorter than its size', () => [folder(''), file('a', 'abc', { size: 4 })]],
    ['a size without content', () => [folder(''), { entry: record('a', { size: 5 }) }]],
  ];

  it.each(cases)('%s is refused, nothing is left, nothing outside is touched', async (_, items) => {
    fs.writeFileSync(outside(), 'untouched');
    fs.mkdirSync(join(root, 'app'));
    fs.writeFileSync(join(root, 'app/old'), 'old');
    const before = describeTree(root).slice(1);
    const content = contentOf(...items());
    await expect(filesEngine.restore(content, restoreRequest({ overwrite: true }))).rejects.toMatchObject({
      code: 'corrupt',
    });
    await expect(
      filesEngine.restore(content, restoreRequest({ toPath: join(root, 'x/y') })),
    ).rejects.toMatchObject({ code: 'corrupt' });
    expect(describeTree(root).slice(1)).toEqual(before);
    const inspected = filesEngine.inspect(content, inspectIn(root));
    expect(await inspected).not.toEqual([]);
  });

  it('an entry outside of all sources is refused', async () => {
    const content = memoryContent(
      [file('etc/a'), file('srv/b')],
      [
        { path: join(root, 'etc'), entry: 'etc', kind: 'directory' },
        { path: join(root, 'opt'), entry: 'opt', kind: 'directory' },
      ],
    );
    await expect(filesEngine.restore(content, restoreRequest())).rejects.toMatchObject({ code: 'corrupt' });
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it('a selection does not make a hard link of what is no file of its group', async () => {
    const content = contentOf(folder(''), symlink('a', '/etc/passwd'), hardlink('b', 'a'));
    const request = restoreRequest({ toPath: join(root, 'to'), only: ['b'] });
    await expect(filesEngine.restore(content, request)).rejects.toMatchObject({ code: 'corrupt' });
    expect(fs.readdirSync(root)).toEqual([]);
  });
});

describe('a restore that stops', () => {
  it('removes its staging when it is interrupted', async () => {
    const controller = new AbortController();
    const items = [folder(''), ...Array.from({ length: 50 }, (_, at) => file(`f${10 + at}`))];
    const request = restoreRequest({ toPath: join(root, 'x/to'), signal: controller.signal });
    const content = contentOf(...items);
    const stopping: BackupContent = {
      ...content,
      async *readAll(entries) {
        for await (const chunk of content.readAll(entries)) {
          if (chunk.entry.path === 'f30') controller.abort();
          yield chunk;
        }
      },
    };
    await expect(filesEngine.restore(stopping, request)).rejects.toMatchObject({ code: 'interrupted' });
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it('removes its staging when the content fails, whatever modes are in it', async () => {
    const content = contentOf(folder(''), folder('closed', { mode: 0 }), file('closed/x'), file('z'));
    const failing: BackupContent = {
      ...content,
      async *readAll(entries) {
        yield* content.readAll(entries);
        throw new Error('the destination is gone');
      },
    };
    const open = fs.readdirSync('/proc/self/fd').length;
    await expect(filesEngine.restore(failing, restoreRequest())).rejects.toThrow('the destination is gone');
    expect(fs.readdirSync(root)).toEqual([]);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(open);
  });

  it('removes the staging of an earlier one that was killed, and nothing else of that name', async () => {
    const left = join(root, '.app.dguard-undo-full-2026-01-02T03-04-05Z-abcd2345');
    fs.mkdirSync(join(left, 'new/half'), { recursive: true });
    const mark = {
      dguard: 'undo',
      backup: 'x',
      target: join(root, 'app'),
      created_at: '2026',
      members: [{ target: join(root, 'app'), folder: left }],
    };
    fs.writeFileSync(join(left, 'dguard-mark.json'), JSON.stringify(mark));
    const request = restoreRequest();
    await filesEngine.restore(contentOf(folder(''), file('a')), request);
    expect(fs.readdirSync(root)).toEqual(['app']);
    expect(request.warnings[0]?.message).toContain('interrupted');
    // Without our mark it is not ours to remove.
    fs.mkdirSync(join(left, 'new'), { recursive: true });
    fs.rmSync(join(root, 'app'), { recursive: true });
    await filesEngine.restore(contentOf(folder(''), file('a')), restoreRequest());
    expect(fs.readdirSync(root)).toEqual([`.app.dguard-undo-full-2026-01-02T03-04-05Z-abcd2345`, 'app']);
    expect(fs.existsSync(join(left, 'new'))).toBe(true);
  });

  it('trusts no mark of another user, and none that names folders elsewhere', async () => {
    fs.mkdirSync(join(root, 'app'));
    fs.writeFileSync(join(root, 'app/old'), 'old');
    const { undo } = await filesEngine.restore(
      contentOf(folder(''), file('a')),
      restoreRequest({ overwrite: true }),
    );
    const request = restoreRequest({ toPath: join(root, 'app') });
    const markFile = join(undo!, 'dguard-mark.json');
    const mark = JSON.parse(fs.readFileSync(markFile, 'utf8'));
    mark.members[0].folder = join(root, 'elsewhere/.app.dguard-undo-x');
    fs.writeFileSync(markFile, JSON.stringify(mark));
    expect(await filesEngine.swaps!.undoCopies(request)).toEqual([]);
    mark.members[0].folder = undo;
    // Nor one of another kind, or whose list of folders is not whole.
    for (const wrong of [{ dguard: 'another' }, { members: [...mark.members, { target: 1 }] }]) {
      fs.writeFileSync(markFile, JSON.stringify({ ...mark, ...wrong }));
      expect(await filesEngine.swaps!.undoCopies(request)).toEqual([]);
      expect(await filesEngine.swaps!.recover(request)).toEqual([]);
    }
    fs.writeFileSync(markFile, JSON.stringify(mark));
    expect(await filesEngine.swaps!.undoCopies(request)).toHaveLength(1);
    if (!isRoot) return;
    fs.chownSync(undo!, 1, 1);
    expect(await filesEngine.swaps!.undoCopies(request)).toEqual([]);
  });
});
