import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EntryRecord } from '../../../src/archive/entry.ts';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import { describeTree, filesSource, isRoot, removeFolder, restoreRequest, tempFolder } from './support.ts';
import { file as fileItem, folder, type MemoryItem, memoryContent } from './support-items.ts';

let root: string;
let app: string;
beforeEach(() => {
  root = tempFolder();
  app = join(root, 'app');
  fs.mkdirSync(app);
});
afterEach(() => removeFolder(root));

const file = (path: string, text = 'new', more: Partial<EntryRecord> = {}) => fileItem(path, text, more);
const content = (...items: MemoryItem[]) =>
  memoryContent(items, [{ path: app, entry: '', kind: 'directory' }]);
const write = (name: string, text = 'old') => {
  fs.mkdirSync(join(app, name, '..'), { recursive: true });
  fs.writeFileSync(join(app, name), text);
};
const read = (name: string) => fs.readFileSync(join(app, name), 'utf8');
const source = (more: object = {}) => filesSource({ source_path: [app], ...more });
const merge = (items: MemoryItem[], more: object = {}) =>
  filesEngine.restore(
    content(...items),
    restoreRequest({ source: source({ exclude_patterns: ['*.log'] }), overwrite: true, ...more }),
  );

describe('a merge', () => {
  it('needs --overwrite', async () => {
    write('a');
    await expect(merge([folder(''), file('b')], { overwrite: false })).rejects.toMatchObject({
      code: 'target_refused',
    });
  });

  it('never writes through a folder that is a link: the link is replaced, and kept', async () => {
    const outside = join(root, 'outside');
    fs.mkdirSync(outside);
    fs.writeFileSync(join(outside, 'x'), 'theirs');
    fs.symlinkSync(outside, join(app, 'link'));
    const { undo } = await merge([folder(''), folder('link'), file('link/x')]);
    expect(fs.readFileSync(join(outside, 'x'), 'utf8')).toBe('theirs');
    expect(fs.lstatSync(join(app, 'link')).isDirectory()).toBe(true);
    expect(fs.readlinkSync(join(undo!, 'data/link'))).toBe(outside);
    await filesEngine.swaps!.undo(restoreRequest({ source: source() }));
    expect(fs.readlinkSync(join(app, 'link'))).toBe(outside);
  });

  it('refuses a folder that somebody replaces by a link between plan and move', async () => {
    const outside = join(root, 'outside');
    fs.mkdirSync(outside);
    write('sub/x');
    const before = describeTree(app);
    let calls = 0;
    // The second look at the clock is the last thing before the moves.
    const now = () => {
      calls += 1;
      if (calls === 2) {
        const rename = fs.renameSync;
        let moved = 0;
        fs.renameSync = (from, to) => {
          moved += 1;
          // Once the journal has its name, before the first move.
          rename(from, to);
          if (moved !== 1) return;
          rename(join(app, 'sub'), join(root, 'away'));
          fs.symlinkSync(outside, join(app, 'sub'));
        };
      }
      return new Date();
    };
    const { renameSync } = fs;
    const { syncBuiltinESMExports } = await import('node:module');
    try {
      const work = merge([folder(''), folder('sub'), file('sub/x')], {
        now: () => {
          const at = now();
          syncBuiltinESMExports();
          return at;
        },
      });
      await expect(work).rejects.toMatchObject({ code: expect.stringMatching(/target_/) });
    } finally {
      fs.renameSync = renameSync;
      syncBuiltinESMExports();
    }
    expect(fs.readdirSync(outside)).toEqual([]);
    fs.unlinkSync(join(app, 'sub'));
    fs.renameSync(join(root, 'away'), join(app, 'sub'));
    await filesEngine.swaps!.recover(restoreRequest({ source: source() }));
    expect(describeTree(app).map((line) => line.replace(/"mtimeUs":"\d+"/, ''))).toEqual(
      before.map((line) => line.replace(/"mtimeUs":"\d+"/, '')),
    );
  });

  it('gives folders that the backup holds their modes, and leaves those above a selection alone', async () => {
    write('a/b/x');
    fs.chmodSync(join(app, 'a'), 0o711);
    fs.chmodSync(join(app, 'a/b'), 0o711);
    const items = [
      folder('', { mode: 0o700 }),
      folder('a', { mode: 0o700 }),
      folder('a/b', { mode: 0o700 }),
      file('a/b/x'),
    ];
    await merge(items, { only: ['a/b'] });
    const mode = (name: string) => fs.statSync(join(app, name)).mode & 0o777;
    expect([mode(''), mode('a'), mode('a/b'), read('a/b/x')]).toEqual([0o755, 0o711, 0o700, 'new']);
    await filesEngine.swaps!.undo(restoreRequest({ source: source() }));
    expect([mode('a/b'), read('a/b/x')]).toEqual([0o711, 'old']);
  });

  it('is what a restore of a whole source is where something is that backups leave out', async () => {
    for (const [what, make] of [
      ['a cache', () => write('cache/CACHEDIR.TAG', 'Signature: 8a477f597d28d172789f06886806bc55')],
      ['a folder tagged by a file', () => write('cache/.nobackup')],
      ["dguard's own", () => write('own/y')],
    ] as const) {
      make();
      write('cache/data');
      write('stale');
      const request = restoreRequest({
        source: source({ exclude_if_present: ['.nobackup'] }),
        overwrite: true,
        deleteExtra: true,
      });
      const more = { ownPaths: what === "dguard's own" ? [join(app, 'own'), join(app, 'cache')] : [] };
      await filesEngine.restore(content(folder(''), file('x')), { ...request, ...more });
      expect(request.warnings[0]?.message, what).toContain('leave out');
      expect(read('cache/data'), what).toBe('old');
      expect(fs.existsSync(join(app, 'stale')), what).toBe(false);
      for (const name of fs.readdirSync(app)) fs.rmSync(join(app, name), { recursive: true });
    }
  });

  it('is what a restore of a whole source into a destination is, and --delete-extra is refused there', async () => {
    write('job/backup');
    for (const own of [app, join(app, '..')]) {
      const request = restoreRequest({ source: source(), overwrite: true });
      await filesEngine.restore(content(folder(''), file('x')), { ...request, ownPaths: [own] });
      expect([read('x'), read('job/backup')]).toEqual(['new', 'old']);
      const deleting = restoreRequest({ source: source(), overwrite: true, deleteExtra: true });
      await expect(
        filesEngine.restore(content(folder(''), file('x')), { ...deleting, ownPaths: [own] }),
      ).rejects.toMatchObject({ code: 'target_refused' });
    }
  });

  it('--delete-extra keeps to what the backup is of', async () => {
    for (const name of ['keep.log', 'sub/keep.log', 'sub/extra', 'extra/x', 'other/x.jpg', 'other/y.txt'])
      write(name);
    const includes = source({ include_patterns: ['sub/**', 'other/*.jpg'] });
    const some = Object.assign(content(folder(''), folder('sub'), file('sub/x')), {
      patterns: { include: ['sub/**', 'other/*.jpg'], exclude: ['*.log'] },
    });
    const request = { source: includes, overwrite: true, deleteExtra: true };
    const { plan } = await filesEngine.restore(some, restoreRequest({ ...request, dryRun: true }));
    const removed = plan!
      .filter((line) => line.startsWith('remove'))
      .map((line) => line.slice(line.indexOf('/app/') + 5));
    expect(removed).toEqual(['other/x.jpg', 'sub/extra']);
    await filesEngine.restore(some, restoreRequest(request));
    expect(fs.readdirSync(join(app, 'other'))).toEqual(['y.txt']);
    expect(fs.readdirSync(join(app, 'sub')).sort()).toEqual(['keep.log', 'x']);
    expect(fs.existsSync(join(app, 'extra/x'))).toBe(true);
    // Of a selection, only what it selects.
    await merge([folder(''), folder('sub'), file('sub/x')], { only: ['sub'], deleteExtra: true });
    expect(fs.existsSync(join(app, 'extra/x'))).toBe(true);
  });

  it('--delete-extra refuses where the patterns of then and now cannot be told apart', async () => {
    write('a');
    const odd = Object.assign(content(folder(''), file('x')), {
      patterns: { include: ['x', 'y'], exclude: [] },
    });
    const request = restoreRequest({ source: source(), overwrite: true, deleteExtra: true });
    await expect(filesEngine.restore(odd, request)).rejects.toMatchObject({ code: 'target_refused' });
    expect(read('a')).toBe('old');
  });

  it('an undo keeps what came up after the restore', async () => {
    write('a');
    await merge([folder(''), file('a'), folder('made'), file('made/x')]);
    write('made/since', 'work');
    write('since', 'work');
    const { undo } = await filesEngine.swaps!.undo(restoreRequest({ source: source() }));
    expect([read('a'), read('since')]).toEqual(['old', 'work']);
    expect(fs.readFileSync(join(undo!, 'data-2/made/since'), 'utf8')).toBe('work');
  });

  it.runIf(isRoot)('and a swap of a folder whose parent cannot be written: done inside it', () => {
    write('a');
    write('sub/old');
    fs.chmodSync(join(app, 'sub'), 0o555);
    for (const name of ['', 'a', 'sub', 'sub/old']) fs.chownSync(join(app, name), 65534, 65534);
    fs.chmodSync(root, 0o755);
    // As somebody else, for real: access(2) asks for the real user.
    const script = `
      import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
      import { filesEngine } from ${JSON.stringify(new URL('../../../dist/engines/files/engine.js', import.meta.url).href)};
      const entry = (path, kind, mode, size = 0) => ({ type: 'tree', path, kind, size, mtimeNs: 10n ** 18n, ctimeNs: 0n, ino: 1n, dev: 1n, mode, uid: 65534, gid: 65534, slices: [] });
      const entries = [entry('', 'directory', 0o755), entry('a', 'file', 0o644, 3), entry('ro', 'directory', 0o555), entry('ro/x', 'file', 0o644, 3)];
      const content = {
        facts: { consistency: 'none' }, whole: true, sources: [{ path: process.argv[1], entry: '', kind: 'directory' }],
        async *entries() { yield* entries; },
        entry: async (path) => entries.find((each) => each.path === path),
        async *readAll(all) { for await (const each of all) yield { entry: each, position: 0, bytes: Buffer.from('new'), last: true }; },
      };
      const request = {
        source: { name: 'app', options: { source_path: [process.argv[1]], include_patterns: [], exclude_patterns: [] } },
        signal: new AbortController().signal, now: () => new Date(), tempDir: '/tmp', warn: () => {},
        host: { name: 'h', bootId: '', pid: process.pid, privileged: false }, only: [], overwrite: true,
        deleteExtra: false, scratch: false, dryRun: false, privileged: false, backupId: 'full-x', onProgress: () => {},
      };
      const look = () => fs.readdirSync(process.argv[1]).filter((name) => !name.startsWith('.')).map((name) => [name, (fs.statSync(process.argv[1] + '/' + name).mode & 0o777).toString(8)].join(' '));
      const { undo } = await filesEngine.restore(content, request);
      const restored = look();
      await filesEngine.swaps.undo(request);
      const undone = look();
      await filesEngine.swaps.dropUndo(request, 0);
      console.log(JSON.stringify({ undo, restored, undone, left: fs.readdirSync(process.argv[1]) }));`;
    const options = { uid: 65534, gid: 65534, encoding: 'utf8' as const };
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script, app], options);
    expect(JSON.parse(out)).toEqual({
      undo: join(app, '.dguard-undo-full-x'),
      restored: ['a 644', 'ro 555'],
      undone: ['a 644', 'sub 555'],
      left: ['a', 'sub'],
    });
  });
});

it('scratch: a test restore leaves nothing, whatever happens', async () => {
  const toPath = join(root, 'scratch');
  const request = () => restoreRequest({ toPath, scratch: true });
  const outcome = await filesEngine.restore(content(folder(''), file('x')), request());
  expect(outcome).toMatchObject({ filesCount: 1, sizeBytes: 3 });
  const fewer = memoryContent([folder(''), file('x')], [], 2);
  await expect(filesEngine.restore(fewer, request())).rejects.toMatchObject({ code: 'corrupt' });
  const broken = content(folder(''), file('x', 'abc', { size: 4 }));
  await expect(filesEngine.restore(broken, request())).rejects.toMatchObject({ code: 'corrupt' });
  expect(fs.readdirSync(root)).toEqual(['app']);
});

it('undo_keep: older undo copies go with the next restore', async () => {
  const request = () => restoreRequest({ source: source({ undo_keep: 1 }), overwrite: true });
  write('a');
  const first = await filesEngine.restore(content(folder(''), file('a', '1')), request());
  const second = await filesEngine.restore(content(folder(''), file('a', '2')), request());
  expect([fs.existsSync(first.undo!), fs.existsSync(second.undo!)]).toEqual([false, true]);
  await filesEngine.swaps!.undo(request());
  expect(read('a')).toBe('1');
});
