import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EntryRecord } from '../../../src/archive/entry.ts';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import {
  describeTree,
  filesSource,
  isRoot,
  type MemoryItem,
  memoryContent,
  record,
  removeFolder,
  restoreRequest,
  tempFolder,
} from './support.ts';

let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

const folder = (path: string, more: Partial<EntryRecord> = {}): MemoryItem => ({
  entry: record(path, { kind: 'directory', ...more }),
});
const file = (path: string, text = path, more: Partial<EntryRecord> = {}): MemoryItem => ({
  entry: record(path, { size: text.length, ...more }),
  content: Buffer.from(text),
});
const symlink = (path: string, link: string): MemoryItem => ({
  entry: record(path, { kind: 'symlink', link }),
});
const hardlink = (path: string, link: string, linkGroup = 7): MemoryItem => ({
  entry: record(path, { kind: 'hardlink', link, linkGroup }),
});

function contentOf(...items: MemoryItem[]): BackupContent {
  return memoryContent(items, [{ path: join(root, 'app'), entry: '', kind: 'directory' }]);
}

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
    const inspected = filesEngine.inspect(content, {
      env: {},
      tempDir: root,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
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

describe('the target', () => {
  const content = () => contentOf(folder('', { mode: 0o750 }), file('new', 'new'));

  it('is made where it is absent, with the folders above it', async () => {
    await filesEngine.restore(content(), restoreRequest({ toPath: join(root, 'a/b/c') }));
    expect(fs.readFileSync(join(root, 'a/b/c/new'), 'utf8')).toBe('new');
    expect(fs.statSync(join(root, 'a/b/c')).mode & 0o777).toBe(0o750);
  });

  it('may be an empty folder', async () => {
    fs.mkdirSync(join(root, 'app'));
    const outcome = await filesEngine.restore(content(), restoreRequest());
    expect(outcome.undo).toBeUndefined();
    expect(fs.readdirSync(root)).toEqual(['app']);
  });

  it('that was an empty folder, and in which something came up meanwhile, is kept for undo', async () => {
    const came = join(root, 'app/came');
    fs.mkdirSync(join(root, 'app'));
    const whole = content();
    const { undo } = await filesEngine.restore(
      {
        ...whole,
        async *readAll(wanted) {
          fs.writeFileSync(came, 'theirs');
          yield* whole.readAll(wanted);
        },
      },
      restoreRequest(),
    );
    expect(fs.readdirSync(join(root, 'app'))).toEqual(['new']);
    expect(fs.readFileSync(join(undo!, 'data/came'), 'utf8')).toBe('theirs');
    const at = new Date('2026-05-05T05:05:05Z');
    const request = { ...restoreRequest({ toPath: join(root, 'app') }), now: () => at };
    await filesEngine.swaps!.undo(request);
    expect(fs.readFileSync(came, 'utf8')).toBe('theirs');
    // What is kept now was replaced by the undo.
    expect((await filesEngine.swaps!.undoCopies(request)).map(({ createdAt }) => createdAt)).toEqual([at]);
  });

  it('is refused when it is not empty and --overwrite is not given', async () => {
    fs.mkdirSync(join(root, 'app'));
    fs.writeFileSync(join(root, 'app/old'), 'old');
    for (const dryRun of [false, true]) {
      await expect(filesEngine.restore(content(), restoreRequest({ dryRun }))).rejects.toMatchObject({
        code: 'target_refused',
        hint: expect.stringContaining('--overwrite'),
      });
    }
    expect(describeTree(join(root, 'app')).length).toBe(2);
  });

  it('is replaced as a whole with --overwrite, and what was there is kept under a mark', async () => {
    fs.mkdirSync(join(root, 'app'));
    fs.writeFileSync(join(root, 'app/old'), 'old');
    const old = describeTree(join(root, 'app'));
    const { undo } = await filesEngine.restore(content(), restoreRequest({ overwrite: true }));
    expect(fs.readdirSync(join(root, 'app'))).toEqual(['new']);
    expect(describeTree(join(undo!, 'data'))).toEqual(old);
    expect(fs.statSync(undo!).mode & 0o777).toBe(0o700);
    expect(JSON.parse(fs.readFileSync(join(undo!, 'dguard-mark.json'), 'utf8'))).toMatchObject({
      dguard: 'undo',
      backup: 'full-2026-01-02T03-04-05Z-abcd2345',
      target: join(root, 'app'),
    });
    // Once more, while the first undo copy is still there.
    const again = await filesEngine.restore(content(), restoreRequest({ overwrite: true }));
    expect(again.undo).toBe(`${undo}-2`);
    expect(describeTree(join(undo!, 'data'))).toEqual(old);
  });

  it('is not replaced by a part of its source: that is merged', async () => {
    const patterns = filesSource({ source_path: [join(root, 'app')], exclude_patterns: ['*.log'] });
    const some = Object.assign(content(), { patterns: { include: ['x'], exclude: [] } });
    const partial = Object.assign(content(), { whole: false });
    for (const [what, more] of [
      [content(), { only: ['new'] }],
      [content(), { source: patterns }],
      [some, {}],
      [partial, {}],
    ] as const) {
      fs.mkdirSync(join(root, 'app'));
      fs.writeFileSync(join(root, 'app/old'), 'old');
      const { undo } = await filesEngine.restore(what, restoreRequest({ overwrite: true, ...more }));
      expect(fs.readdirSync(join(root, 'app'))).toEqual(['new', 'old']);
      fs.rmSync(undo!, { recursive: true });
      fs.rmSync(join(root, 'app'), { recursive: true });
    }
  });

  it.each([['/'], ['relative/path']])('%s is refused', async (toPath) => {
    const request = restoreRequest({ toPath, overwrite: true });
    await expect(filesEngine.restore(content(), request)).rejects.toMatchObject({ code: 'target_refused' });
  });

  it('is followed where it is a link, and refused where the link leads nowhere', async () => {
    fs.mkdirSync(join(root, 'real'));
    fs.symlinkSync('real', join(root, 'link'));
    fs.symlinkSync('nowhere', join(root, 'dangling'));
    await filesEngine.restore(content(), restoreRequest({ toPath: join(root, 'link') }));
    expect(fs.readdirSync(join(root, 'real'))).toEqual(['new']);
    expect(fs.readlinkSync(join(root, 'link'))).toBe('real');
    const request = restoreRequest({ toPath: join(root, 'dangling') });
    await expect(filesEngine.restore(content(), request)).rejects.toMatchObject({ code: 'target_refused' });
  });

  it('is not touched by a dry run', async () => {
    const outcome = await filesEngine.restore(content(), restoreRequest({ dryRun: true }));
    expect(outcome).toMatchObject({ target: join(root, 'app'), filesCount: 1, sizeBytes: 3 });
    expect(outcome.plan?.join('\n')).toContain(join(root, 'app'));
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it('of several sources is replaced and taken back as one', async () => {
    const sources = ['a', 'b', 'c'].map((name) => ({
      path: join(root, name),
      entry: name,
      kind: 'directory' as const,
    }));
    for (const name of ['a', 'b']) {
      fs.mkdirSync(join(root, name));
      fs.writeFileSync(join(root, name, 'old'), 'old');
    }
    const before = describeTree(root).slice(1);
    const items = ['a', 'b', 'c'].flatMap((name) => [folder(name), file(`${name}/new`)]);
    const request = restoreRequest({ overwrite: true });
    const { undo } = await filesEngine.restore(memoryContent(items, sources), request);
    expect(undo?.split(', ')).toHaveLength(3);
    expect(['a', 'b', 'c'].flatMap((name) => fs.readdirSync(join(root, name)))).toEqual([
      'new',
      'new',
      'new',
    ]);
    const outcome = await filesEngine.swaps!.undo(restoreRequest({ toPath: join(root, 'b') }));
    expect(outcome.restored.name).toBe(undo);
    const visible = () =>
      describeTree(root).filter((line) => !line.includes('"path":"."') && !line.includes('.dguard-'));
    expect(visible().slice(1)).toEqual(before);
    // An undo can itself be undone; then all of it is dropped.
    await filesEngine.swaps!.undo(restoreRequest({ toPath: join(root, 'a') }));
    expect(fs.readFileSync(join(root, 'c/new'), 'utf8')).toBe('c/new');
    expect(await filesEngine.swaps!.dropUndo(restoreRequest({ toPath: join(root, 'c') }), 0)).toHaveLength(1);
    expect(fs.readdirSync(root)).toEqual(['a', 'b', 'c']);
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

describe('parts and details', () => {
  it('restores a selection with the folders above it', async () => {
    const content = contentOf(folder(''), folder('a', { mode: 0o700 }), file('a/x'), file('a/y'), file('b'));
    await filesEngine.restore(content, restoreRequest({ toPath: join(root, 'to'), only: ['a/x'] }));
    expect(describeTree(join(root, 'to')).map((line) => JSON.parse(line).path)).toEqual(['', 'a', 'a/x']);
    expect(fs.statSync(join(root, 'to/a')).mode & 0o777).toBe(0o700);
    const nothing = restoreRequest({ toPath: join(root, 'other'), only: ['nope'] });
    await expect(filesEngine.restore(content, nothing)).rejects.toMatchObject({ code: 'nothing_there' });
    expect(fs.readdirSync(root)).toEqual(['to']);
  });

  it('makes of selected further names of a file a file and a link to it', async () => {
    const content = contentOf(
      folder(''),
      file('a', 'content', { linkGroup: 7 }),
      hardlink('b', 'a'),
      hardlink('c', 'a'),
    );
    await filesEngine.restore(content, restoreRequest({ toPath: join(root, 'to'), only: ['b', 'c'] }));
    expect(fs.readFileSync(join(root, 'to/b'), 'utf8')).toBe('content');
    expect(fs.statSync(join(root, 'to/b')).ino).toBe(fs.statSync(join(root, 'to/c')).ino);
    expect(fs.readdirSync(join(root, 'to'))).toEqual(['b', 'c']);
  });

  it('makes missing folders above an entry with mode 0755', async () => {
    await filesEngine.restore(
      contentOf(file('a/b/c'), file('a/d')),
      restoreRequest({ toPath: join(root, 'to') }),
    );
    for (const path of ['to', 'to/a', 'to/a/b'])
      expect(fs.statSync(join(root, path)).mode & 0o777).toBe(0o755);
    expect(fs.readFileSync(join(root, 'to/a/d'), 'utf8')).toBe('a/d');
  });

  describe.each(['on a disk', 'in memory'])('%s', (where) => {
    const MiB = 1024 * 1024;
    const sizes = [MiB - 1, MiB, MiB + 1, 2 * MiB, 2 * MiB + 65_536, 2 * MiB + 65_537, 7 * MiB + 123];
    const large = (size: number) => ({
      entry: record(`large-${size}`, { size, mode: 0o640, mtimeNs: BigInt(size) * 1_000_000_000n }),
      content: Buffer.alloc(size, `${size} is what it has `),
    });
    const items = sizes.map(large).sort((a, b) => (a.entry.path < b.entry.path ? -1 : 1));
    const openFiles = () => fs.readdirSync('/proc/self/fd').length;

    it('large files come back with their bytes, modes and times', async () => {
      const home = where === 'in memory' ? fs.mkdtempSync('/dev/shm/dguard-large-') : root;
      const app = join(home, 'app');
      const before = openFiles();
      try {
        const content = memoryContent([folder(''), ...items], [{ path: app, entry: '', kind: 'directory' }]);
        await filesEngine.restore(content, restoreRequest());
        for (const { entry, content } of items) {
          const path = join(app, entry.path);
          expect(fs.readFileSync(path).equals(content)).toBe(true);
          expect(fs.statSync(path)).toMatchObject({ mode: 0o100640, mtimeMs: entry.size * 1000 });
        }
      } finally {
        if (home !== root) removeFolder(home);
      }
      expect(openFiles()).toBe(before);
    });
  });

  it('a large file whose content ends early is told, and leaves no file open', async () => {
    const before = fs.readdirSync('/proc/self/fd').length;
    const size = 9 * 1024 * 1024;
    const short = { entry: record('short', { size }), content: Buffer.alloc(size - 1) };
    await expect(filesEngine.restore(contentOf(folder(''), short), restoreRequest())).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('its content ends early'),
    });
    expect(fs.readdirSync(root)).toEqual([]);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('writes no runs of zeros of a sparse file, and all of one that was not', async () => {
    const data = Buffer.alloc(3_000_000);
    data.write('begin', 0);
    data.write('middle', 1_234_567);
    const entry = (path: string, sparse: boolean) => ({
      entry: record(path, { size: data.length, ...(sparse ? { sparse } : {}) }),
      content: data,
    });
    await filesEngine.restore(
      contentOf(folder(''), entry('full', false), entry('holes', true)),
      restoreRequest(),
    );
    for (const name of ['full', 'holes']) {
      expect(fs.readFileSync(join(root, 'app', name)).equals(data)).toBe(true);
    }
    expect(fs.statSync(join(root, 'app/holes')).blocks * 512).toBeLessThan(50_000);
    expect(fs.statSync(join(root, 'app/full')).blocks * 512).toBeGreaterThan(2_900_000);
  });

  it.runIf(isRoot)('gives owners by the names that this host knows', async () => {
    const content = contentOf(
      folder(''),
      file('known', 'x', { uid: 4242, gid: 4242, user: 'daemon', group: 'daemon' }),
      file('unknown', 'x', { uid: 4242, gid: 4243, user: 'nobody-knows-this', group: 'nor-this' }),
    );
    await filesEngine.restore(content, restoreRequest());
    expect(fs.statSync(join(root, 'app/known'))).toMatchObject({ uid: 1, gid: 1 });
    expect(fs.statSync(join(root, 'app/unknown'))).toMatchObject({ uid: 4242, gid: 4243 });
  });

  it.runIf(isRoot)('as another user restores what it can and says what it cannot', async () => {
    fs.chmodSync(root, 0o777);
    const content = contentOf(
      folder('', { mode: 0o555 }),
      folder('closed', { mode: 0 }),
      file('closed/first', 'x', { linkGroup: 3, mode: 0o400 }),
      hardlink('second', 'closed/first', 3),
      file('setuid', 'x', { mode: 0o4755, xattrs: [{ name: 'user.kept', value: Buffer.from('1') }] }),
      symlink('z', 'second'),
    );
    const request = restoreRequest({
      privileged: true,
      host: { name: 'h', bootId: '', pid: 1, privileged: false },
    });
    process.setegid!(65534);
    process.seteuid!(65534);
    try {
      await filesEngine.restore(content, request);
    } finally {
      process.seteuid!(0);
      process.setegid!(0);
    }
    const app = join(root, 'app');
    expect(fs.statSync(app)).toMatchObject({ uid: 65534 });
    expect(fs.statSync(app).mode & 0o7777).toBe(0o555);
    expect(fs.statSync(join(app, 'closed')).mode & 0o7777).toBe(0);
    expect(fs.statSync(join(app, 'second')).ino).toBe(fs.statSync(join(app, 'closed/first')).ino);
    expect(fs.statSync(join(app, 'setuid')).mode & 0o7777).toBe(0o755);
    expect(execFileSync('getfattr', ['-d', join(app, 'setuid')], { encoding: 'utf8' })).toContain(
      'user.kept',
    );
    expect(request.warnings.map(({ message }) => message)).toEqual([
      expect.stringContaining('owners'),
      expect.stringContaining('--privileged'),
    ]);
  });
});
