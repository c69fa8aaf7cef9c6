import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../src/engines/files/engine.ts';
import { writeJson } from '../../src/engines/undo/marks.ts';
import { isRoot, restoreRequest } from '../engines/files/support.ts';
import { folder, memoryContent } from '../engines/files/support-items.ts';
import { forEveryCall } from './fs-faults.mjs';
import { appItems, file, MODES, makeApp, marked, oneSource, root, visible, write } from './support-files.ts';

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
