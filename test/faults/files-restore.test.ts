import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../src/engines/files/engine.ts';
import type { FilesOptions } from '../../src/engines/files/options.ts';
import type { BackupContent, RestoreRequest } from '../../src/engines/types.ts';
import { writeJson } from '../../src/engines/undo/marks.ts';
import {
  describeTree,
  filesSource,
  isRoot,
  removeFolder,
  restoreRequest,
  tempFolder,
} from '../engines/files/support.ts';
import { file as fileItem, folder, type MemoryItem, memoryContent } from '../engines/files/support-items.ts';
import { countCalls, type FaultMode, forEveryCall, traceCalls, withFault } from './fs-faults.mjs';
import { tornByPowerCut } from './power.ts';

let root: string;
beforeEach(() => {
  // In memory: a disk that others write to makes every sync a wait.
  root = fs.existsSync('/dev/shm') ? fs.mkdtempSync('/dev/shm/dguard-faults-') : tempFolder();
});
afterEach(() => removeFolder(root));

const file = (path: string, text = `new ${path}`) => fileItem(path, text);

const MODES: FaultMode[] = ['die', 'eio', 'enospc'];

/** What is there for everybody: everything but dguard's own folders. */
function visible(path: string): string[] {
  return describeTree(path)
    .slice(1)
    .filter((line) => !line.includes('.dguard-undo-'))
    .map((line) => line.replace(/"mtimeUs":"1(?:7[5-9]|8)\d+"/, '"mtimeUs":"now"'));
}

function marked(path: string): string[] {
  return fs.readdirSync(path).filter((name) => name.includes('.dguard-'));
}

interface Scene {
  /** Fills an empty folder with what is there before. */
  make(at: string): void;
  content(at: string): BackupContent;
  request(at: string): Partial<RestoreRequest<FilesOptions>>;
  /** Folders that may hold marked ones. */
  places(at: string): string[];
}

const write = (path: string, text: string) => {
  fs.mkdirSync(join(path, '..'), { recursive: true });
  fs.writeFileSync(path, text);
};

/** Old times, so that a folder that is touched and not given its time back shows. */
function settle(path: string): void {
  for (const name of fs.readdirSync(path)) {
    const child = join(path, name);
    if (fs.lstatSync(child).isDirectory()) settle(child);
    fs.lutimesSync(child, 1_600_000_000, 1_600_000_000);
  }
}

const appItems = () => [
  folder('', { mode: 0o750 }),
  folder('both', { mode: 0o711 }),
  file('both/added'),
  file('both/replaced'),
  folder('file-now-folder'),
  file('file-now-folder/in'),
  file('folder-now-file'),
  folder('new'),
  file('new/in'),
  // Written beside the thread.
  file('new/large', 'large '.repeat(180_000)),
];

const makeApp = (at: string) => {
  write(join(at, 'app/both/replaced'), 'old');
  write(join(at, 'app/both/stays'), 'old');
  write(join(at, 'app/folder-now-file/in'), 'old');
  write(join(at, 'app/file-now-folder'), 'old');
  write(join(at, 'app/extra/deep/in'), 'old');
  write(join(at, 'app/extra/keep.log'), 'old');
  settle(at);
};

const oneSource = (at: string, items: MemoryItem[]) =>
  memoryContent(items, [{ path: join(at, 'app'), entry: '', kind: 'directory' }]);

const SCENES: Record<string, Scene> = {
  'a swap': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({ source: filesSource({ source_path: [join(at, 'app')] }), overwrite: true }),
    places: (at) => [at],
  },
  'a swap of two folders and a file as one': {
    make(at) {
      for (const name of ['a', 'b']) write(join(at, name, 'old'), 'old');
      write(join(at, 'c'), 'old');
      settle(at);
    },
    content: (at) =>
      memoryContent(
        [folder('a'), file('a/x'), folder('b'), file('b/x'), file('c')],
        [
          { path: join(at, 'a'), entry: 'a', kind: 'directory' },
          { path: join(at, 'b'), entry: 'b', kind: 'directory' },
          { path: join(at, 'c'), entry: 'c', kind: 'file' },
        ],
      ),
    request: (at) => ({
      source: filesSource({ source_path: ['a', 'b', 'c'].map((name) => join(at, name)) }),
      overwrite: true,
    }),
    places: (at) => [at],
  },
  'a restore to where nothing is': {
    make: (at) => settle(at),
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({ source: filesSource({ source_path: [join(at, 'app')] }) }),
    places: (at) => [at],
  },
  'a merge': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({
      source: filesSource({ source_path: [join(at, 'app')], exclude_patterns: ['*.log'] }),
      overwrite: true,
    }),
    places: (at) => [at],
  },
  'a merge that deletes what the backup does not hold': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({
      source: filesSource({ source_path: [join(at, 'app')], exclude_patterns: ['*.log'] }),
      overwrite: true,
      deleteExtra: true,
    }),
    places: (at) => [at],
  },
};

for (const [name, scene] of Object.entries(SCENES)) {
  describe.each(MODES)(`${name}: %s at every call`, (mode) => {
    let count = 0;
    const fresh = () => {
      count += 1;
      const at = join(root, String(count));
      fs.mkdirSync(at);
      scene.make(at);
      return at;
    };
    const restore = (at: string) => filesEngine.restore(scene.content(at), restoreRequest(scene.request(at)));
    const target = (at: string) => restoreRequest(scene.request(at));

    it('of a restore leaves the target old or new', async () => {
      const sample = fresh();
      const old = visible(sample);
      await restore(sample);
      const replaced = visible(sample);
      expect(replaced).not.toEqual(old);
      const isKept = marked(sample).length > 0;
      const calls = await forEveryCall(mode, {
        prepare: fresh,
        run: restore,
        async check(at, { hit, error }) {
          if (hit !== undefined && mode !== 'die' && error !== undefined) expect(visible(at)).toEqual(old);
          await filesEngine.swaps!.recover(target(at));
          const now = visible(at);
          expect([old, replaced]).toContainEqual(now);
          if (error === undefined) expect(now).toEqual(replaced);
          const isNew = JSON.stringify(now) === JSON.stringify(replaced);
          const copies = await filesEngine.swaps!.undoCopies(target(at));
          expect(copies).toHaveLength(isNew && isKept ? 1 : 0);
          if (!isNew) for (const place of scene.places(at)) expect(marked(place)).toEqual([]);
          else if (isKept) {
            await filesEngine.swaps!.undo(target(at));
            expect(visible(at)).toEqual(old);
          }
          expect(await filesEngine.swaps!.recover(target(at))).toEqual([]);
          removeFolder(at);
        },
      });
      expect(calls).toBeGreaterThan(20);
    });

    it('of an undo leaves the target old or new', async () => {
      const sample = fresh();
      const old = visible(sample);
      await restore(sample);
      if (marked(sample).length === 0) return;
      const replaced = visible(sample);
      const calls = await forEveryCall(mode, {
        async prepare() {
          const at = fresh();
          await restore(at);
          return at;
        },
        run: (at) => filesEngine.swaps!.undo(target(at)),
        async check(at, { hit, error }) {
          if (hit !== undefined && mode !== 'die' && error !== undefined) {
            expect(visible(at)).toEqual(replaced);
          }
          await filesEngine.swaps!.recover(target(at));
          const now = visible(at);
          expect([old, replaced]).toContainEqual(now);
          if (error === undefined) expect(now).toEqual(old);
          // Whichever it is, the other one is what an undo gives.
          expect(await filesEngine.swaps!.undoCopies(target(at))).toHaveLength(1);
          await filesEngine.swaps!.undo(target(at));
          const other = JSON.stringify(now) === JSON.stringify(old) ? replaced : old;
          expect(visible(at)).toEqual(other);
          removeFolder(at);
        },
      });
      expect(calls).toBeGreaterThan(10);
    });

    // What is new is not made durable: only what replaces something is.
    if (mode === 'die' && scene !== SCENES['a restore to where nothing is']) {
      it('of a restore, an undo, or of taking one back: a power cut tears nothing', async () => {
        const torn = new Map<string, string>();
        const look = async (at: string, what: string, failAt: number, work: (at: string) => unknown) => {
          const { trace, hit } = await traceCalls(() => work(at), failAt);
          const targets = ['app', 'a', 'b', 'c'].map((name) => join(at, name));
          for (const line of tornByPowerCut(trace, targets)) {
            torn.set(line.replaceAll(at, ''), `${what}, call ${failAt} (${hit}) failed`);
          }
          removeFolder(at);
          return trace.length;
        };
        const restored = async () => {
          const at = fresh();
          await restore(at);
          return at;
        };
        const undo = (at: string) => filesEngine.swaps!.undo(target(at));
        const drop = (at: string) => filesEngine.swaps!.dropUndo(target(at), 0);
        const recover = (at: string) => filesEngine.swaps!.recover(target(at));
        const commands: [string, () => string | Promise<string>, (at: string) => unknown][] = [
          ['restore', fresh, restore],
          ['undo', restored, undo],
          ['removal', restored, drop],
        ];
        for (const [what, begin, work] of commands) {
          const sample = await begin();
          const total = await countCalls(() => work(sample));
          expect(await look(await begin(), what, 0, work)).toBeGreaterThanOrEqual(total);
          for (let call = 1; call <= total; call += 1) {
            await look(await begin(), what, call, work);
            const at = await begin();
            await withFault('die', call, () => work(at));
            await look(at, `recovery of a ${what} that died at ${call}`, 0, recover);
          }
        }
        expect([...torn]).toEqual([]);
      });
    }

    // Removing takes no room, and what fails is there to be removed again: only a death can tear it.
    if (mode !== 'die') return;
    it('of the removal of an undo copy leaves all of it or nothing', async () => {
      const sample = fresh();
      await restore(sample);
      if (marked(sample).length === 0) return;
      const replaced = visible(sample);
      await forEveryCall(mode, {
        async prepare() {
          const at = fresh();
          await restore(at);
          return at;
        },
        run: (at) => filesEngine.swaps!.dropUndo(target(at), 0),
        async check(at) {
          await filesEngine.swaps!.recover(target(at));
          expect(visible(at)).toEqual(replaced);
          const copies = await filesEngine.swaps!.undoCopies(target(at));
          if (copies.length === 0) for (const place of scene.places(at)) expect(marked(place)).toEqual([]);
          removeFolder(at);
        },
      });
    });
  });
}

it('what came up where something was away is not written over when that is taken back', async () => {
  const place = join(root, 'c');
  const content = memoryContent([file('c')], [{ path: place, entry: 'c', kind: 'file' }]);
  const request = () => restoreRequest({ source: filesSource({ source_path: [place] }), overwrite: true });
  const restore = () => filesEngine.restore(content, request());
  fs.writeFileSync(place, 'old');
  const { trace } = await traceCalls(restore);
  const away = trace.find(({ name, path }) => name === 'rename' && path === place)!.at;
  await filesEngine.swaps!.undo(request());
  await filesEngine.swaps!.dropUndo(request(), 0);
  await withFault('die', away + 1, restore);
  expect(fs.existsSync(place)).toBe(false);
  fs.writeFileSync(place, 'came up');
  await expect(filesEngine.swaps!.recover(request())).rejects.toMatchObject({ code: 'target_refused' });
  expect(fs.readFileSync(place, 'utf8')).toBe('came up');
  fs.unlinkSync(place);
  await filesEngine.swaps!.recover(request());
  expect(fs.readFileSync(place, 'utf8')).toBe('old');
});

it('a death while an interruption is taken back loses nothing', async () => {
  const scene = SCENES['a merge that deletes what the backup does not hold']!;
  let count = 0;
  const make = () => {
    count += 1;
    const at = join(root, String(count));
    fs.mkdirSync(at);
    scene.make(at);
    return at;
  };
  const restore = (at: string) => filesEngine.restore(scene.content(at), restoreRequest(scene.request(at)));
  const recover = (at: string) => filesEngine.swaps!.recover(restoreRequest(scene.request(at)));
  const old = visible(make());
  const sample = make();
  const { calls } = await withFault('count', 0, () => restore(sample));
  for (let first = 1; first <= calls; first += 15) {
    await forEveryCall('die', {
      async prepare() {
        const at = make();
        await withFault('die', first, () => restore(at));
        return at;
      },
      run: recover,
      async check(at) {
        await recover(at);
        if ((await filesEngine.swaps!.undoCopies(restoreRequest(scene.request(at)))).length === 0) {
          expect(visible(at)).toEqual(old);
          expect(marked(at)).toEqual([]);
        }
        removeFolder(at);
      },
    });
  }
});

describe.runIf(isRoot && canMount())('a mount point', () => {
  const request = () => restoreRequest({ toPath: join(root, 'app'), overwrite: true });
  const make = () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', join(root, 'app')]);
    makeApp(root);
  };
  const content = () => oneSource(root, appItems());
  beforeEach(() => {
    fs.mkdirSync(join(root, 'app'));
    make();
  });
  afterEach(() => void execFileSync('umount', [join(root, 'app')]));

  it('is replaced entry by entry, and taken back', async () => {
    const old = visible(join(root, 'app'));
    const { undo } = await filesEngine.restore(content(), request());
    expect(undo).toMatch(/\/app\/\.dguard-undo-/);
    expect(fs.readdirSync(join(root, 'app')).filter((name) => !name.startsWith('.'))).toEqual([
      'both',
      'file-now-folder',
      'folder-now-file',
      'new',
    ]);
    expect(fs.statSync(join(root, 'app')).mode & 0o777).toBe(0o750);
    await filesEngine.swaps!.undo(request());
    expect(visible(join(root, 'app'))).toEqual(old);
    await filesEngine.swaps!.dropUndo(request(), 0);
    expect(marked(join(root, 'app'))).toEqual([]);
  });

  it('is replaced as a whole again, though what the restore before has kept lies in it', async () => {
    await filesEngine.restore(content(), request());
    const replaced = visible(join(root, 'app'));
    write(join(root, 'app/extra'), 'came since');
    await filesEngine.restore(content(), request());
    expect(visible(join(root, 'app'))).toEqual(replaced);
    expect(marked(join(root, 'app'))).toHaveLength(2);
    await filesEngine.swaps!.undo(request());
    expect(fs.existsSync(join(root, 'app/extra'))).toBe(true);
  });

  it.each(MODES)('is old or new after %s at every call', async (mode) => {
    const app = join(root, 'app');
    const old = visible(app);
    await filesEngine.restore(content(), request());
    const replaced = visible(app);
    await forEveryCall(mode, {
      prepare() {
        execFileSync('umount', [app]);
        make();
      },
      run: () => filesEngine.restore(content(), request()),
      async check(_, { error }) {
        await filesEngine.swaps!.recover(request());
        const now = visible(app);
        expect([old, replaced]).toContainEqual(now);
        if (error === undefined) expect(now).toEqual(replaced);
        expect(await filesEngine.swaps!.undoCopies(request())).toHaveLength(
          JSON.stringify(now) === JSON.stringify(replaced) ? 1 : 0,
        );
      },
    });
  });

  it('that is really full leaves it as it was', async () => {
    const app = join(root, 'app');
    const old = visible(app);
    const big = [...appItems(), file('z', 'x'.repeat(5 * 1024 * 1024))];
    await expect(filesEngine.restore(oneSource(root, big), request())).rejects.toMatchObject({
      code: 'target_failed',
      message: expect.stringContaining('ENOSPC'),
    });
    expect(visible(app)).toEqual(old);
    expect(marked(app)).toEqual([]);
  });

  it('with room for half of a mark has none: a mark that is cut names nothing', () => {
    const filler = fs.openSync(join(root, 'app/filler'), 'w');
    const page = Buffer.alloc(4096);
    let pages = 0;
    try {
      for (;;) pages += fs.writeSync(filler, page) / page.length;
    } catch {
      fs.ftruncateSync(filler, (pages - 1) * page.length);
    }
    fs.closeSync(filler);
    expect(() => writeJson(join(root, 'app'), 'mark.json', { members: 'x'.repeat(6000) })).toThrow('ENOSPC');
    expect(fs.existsSync(join(root, 'app/mark.json'))).toBe(false);
  });

  it('inside a target stays where it is', async () => {
    fs.writeFileSync(join(root, 'stays'), 'old');
    const outer = restoreRequest({ toPath: root, overwrite: true });
    const items = [folder(''), folder('app'), file('x')];
    await filesEngine.restore(memoryContent(items, []), outer);
    expect(fs.readdirSync(root).filter((name) => !name.startsWith('.'))).toEqual(['app', 'stays', 'x']);
    expect(fs.existsSync(join(root, 'app/both/stays'))).toBe(true);
    expect(outer.warnings[0]?.message).toContain('leave out');
    const into = memoryContent([folder(''), folder('app'), file('app/y')], []);
    await expect(filesEngine.restore(into, outer)).rejects.toMatchObject({ code: 'target_refused' });
    for (const name of marked(root)) fs.rmSync(join(root, name), { recursive: true });
  });
});

function canMount(): boolean {
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
