import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeTree, filesSource, isRoot, removeFolder, restoreRequest, tempFolder } from './support.ts';
import { file, folder, hardlink, type MemoryItem, memoryContent, record, symlink } from './support-items.ts';

let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

function contentOf(...items: MemoryItem[]): BackupContent {
  return memoryContent(items, [{ path: join(root, 'app'), entry: '', kind: 'directory' }]);
}

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
