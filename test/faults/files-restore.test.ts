import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesEngine } from '../../src/engines/files/engine.ts';
import { filesSource, removeFolder, restoreRequest } from '../engines/files/support.ts';
import { memoryContent } from '../engines/files/support-items.ts';
import { countCalls, forEveryCall, traceCalls, withFault } from './fs-faults.mjs';
import { tornByPowerCut } from './power.ts';
import { file, MODES, marked, root, SCENES, staged, visible } from './support-files.ts';

for (const [name, scene] of Object.entries(SCENES)) {
  describe.each(MODES)(`${name}: %s at every call`, (mode) => {
    const { fresh, restore, target } = staged(scene);

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
  const { fresh, restore, target } = staged(SCENES['a merge that deletes what the backup does not hold']!);
  const recover = (at: string) => filesEngine.swaps!.recover(target(at));
  const old = visible(fresh());
  const sample = fresh();
  const { calls } = await withFault('count', 0, () => restore(sample));
  for (let first = 1; first <= calls; first += 15) {
    await forEveryCall('die', {
      async prepare() {
        const at = fresh();
        await withFault('die', first, () => restore(at));
        return at;
      },
      run: recover,
      async check(at) {
        await recover(at);
        if ((await filesEngine.swaps!.undoCopies(target(at))).length === 0) {
          expect(visible(at)).toEqual(old);
          expect(marked(at)).toEqual([]);
        }
        removeFolder(at);
      },
    });
  }
});
