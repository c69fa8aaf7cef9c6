import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { breakLock, lockHolder, takeLock } from '../../src/core/lock.ts';
import { ownerOf } from '../../src/core/owner.ts';
import { traceCalls } from '../faults/fs-faults.mjs';
import { events, folder, lockFiles, runtime } from './support-locks.ts';

describe('lock', () => {
  it.each(['', '\0\0\0', 'null'])(
    'that a power cut has left as %j is taken over: who made it is as dead',
    async (left) => {
      await takeLock('prod/db', 'backup prod', 0, runtime());
      const [name] = lockFiles();
      writeFileSync(join(folder, 'locks', name!), left);
      const lock = await takeLock('prod/db', 'backup prod', 0, runtime());
      expect(await lockHolder('prod/db', runtime())).toMatchObject({ pid: process.pid });
      expect(events).toMatchObject([
        { level: 'warning', message: expect.stringMatching(/power cut.*taken over/) },
      ]);
      await lock.release();
    },
  );

  it('is held by one, and free again when it is released', async () => {
    const lock = await takeLock('prod/db', 'backup prod', 0, runtime());
    expect(await lockHolder('prod/db', runtime())).toMatchObject({
      pid: process.pid,
      operation: 'backup prod',
    });
    await expect(takeLock('prod/db', 'prune prod', 0, runtime())).rejects.toMatchObject({
      code: 'locked',
      exitStatus: 5,
      hint: expect.stringContaining('--wait-lock'),
    });
    const whereItLies = takeLock('prod/db', 'prune prod', 0, runtime(), (path) => path);
    const [file] = lockFiles();
    await expect(whereItLies).rejects.toMatchObject({ hint: join(folder, 'locks', file!) });
    await takeLock('prod/files', 'backup prod', 0, runtime()).then((other) => other.release());
    await lock.release();
    await takeLock('prod/db', 'prune prod', 0, runtime()).then((next) => next.release());
    expect(lockFiles()).toEqual([]);
  });

  it('is waited for', async () => {
    const lock = await takeLock('prod/db', 'backup prod', 0, runtime());
    setTimeout(() => void lock.release(), 300);
    await takeLock('prod/db', 'prune prod', 20_000, runtime()).then((next) => next.release());
    const again = await takeLock('prod/db', 'backup prod', 0, runtime());
    await expect(takeLock('prod/db', 'prune prod', 400, runtime())).rejects.toThrow(/did not let go within/);
    await again.release();
  });

  it('of a dead process is taken over with a warning', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    await takeLock('prod/db', 'backup prod', 0, runtime({ pid: child.pid!, pidStart: '17' }));
    await takeLock('prod/db', 'prune prod', 0, runtime());
    expect(events).toMatchObject([
      { type: 'log', level: 'warning', message: expect.stringMatching(/is gone/) },
    ]);
  });

  it('of a process whose number was given out again is taken over', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime({ pidStart: '17' }));
    await takeLock('prod/db', 'prune prod', 0, runtime());
  });

  it('of an earlier boot is taken over, that of another host never', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime({ bootId: 'boot-0' }));
    const lock = await takeLock('prod/db', 'prune prod', 0, runtime());
    await lock.release();
    await takeLock('prod/db', 'backup prod', 0, runtime({ name: 'elsewhere' }));
    await expect(takeLock('prod/db', 'prune prod', 0, runtime())).rejects.toMatchObject({ code: 'locked' });
    expect(await breakLock('prod/db', runtime())).toBe(true);
    expect(await breakLock('prod/db', runtime())).toBe(false);
    await takeLock('prod/db', 'prune prod', 0, runtime());
  });

  it('is taken over by one only of many that find its owner dead at once', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime({ bootId: 'boot-0' }));
    const takers = Array.from({ length: 20 }, () => takeLock('prod/db', 'prune prod', 0, runtime()));
    const results = await Promise.allSettled(takers);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('of a dead process that another took over a moment before is left to that one', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    await takeLock('prod/db', 'backup prod', 0, runtime({ pid: child.pid!, pidStart: '17' }));
    const file = join(folder, 'locks', lockFiles()[0]!);
    const faster = { ...ownerOf(runtime().host), name: 'prod/db', operation: 'restore prod', taken_at: '' };
    const late = runtime();
    const { host } = late;
    let looks = 0;
    // The second look at who we are is for the judgement of the owner: from then on it is another one.
    Object.defineProperty(late, 'host', {
      get() {
        if (++looks === 2) writeFileSync(file, JSON.stringify(faster));
        return host;
      },
    });
    await expect(takeLock('prod/db', 'prune prod', 0, late)).rejects.toMatchObject({ code: 'locked' });
    expect(looks).toBeGreaterThan(2);
    expect(await lockHolder('prod/db', runtime())).toMatchObject({ operation: 'restore prod' });
    expect(events).toEqual([]);
  });

  it('of a dead process that another is just taking over is left to that one, until it is done', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime({ bootId: 'boot-0' }));
    const file = join(folder, 'locks', lockFiles()[0]!);
    writeFileSync(`${file}.takeover`, '');
    let looks = 0;
    const now = () => {
      // The first is for the lock's own time. The other one is done when it was looked at three times.
      if (++looks === 4) {
        expect(lockFiles()).toHaveLength(2);
        expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ boot_id: 'boot-0' });
        rmSync(`${file}.takeover`);
      }
      return new Date();
    };
    await takeLock('prod/db', 'prune prod', 0, { ...runtime(), now });
    expect(looks).toBeGreaterThanOrEqual(4);
    expect(await lockHolder('prod/db', runtime())).toMatchObject({ operation: 'prune prod' });
  });

  it('whose takeover was itself cut short is taken over all the same', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime({ bootId: 'boot-0' }));
    const file = join(folder, 'locks', lockFiles()[0]!);
    writeFileSync(`${file}.takeover`, '');
    utimesSync(`${file}.takeover`, Date.now() / 1000 - 60, Date.now() / 1000 - 60);
    let looks = 0;
    const now = () => {
      if (++looks > 10) throw new Error('it is waited for, for ever');
      return new Date();
    };
    await takeLock('prod/db', 'prune prod', 0, { ...runtime(), now });
    expect(await lockHolder('prod/db', runtime())).toMatchObject({ operation: 'prune prod' });
    expect(lockFiles()).toHaveLength(1);
  });

  it('that cannot be read is of somebody: nobody takes it over', async () => {
    const lock = await takeLock('prod/db', 'backup prod', 0, runtime());
    const file = join(folder, 'locks', lockFiles()[0]!);
    await lock.release();
    // As where a folder's disk fails, or permissions are in the way: to root those are none.
    symlinkSync(file, file);
    await expect(takeLock('prod/db', 'prune prod', 0, runtime())).rejects.toMatchObject({ code: 'locked' });
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
  });

  it('comes into being whole: nobody can meet half of one, and take it for what a power cut has left', async () => {
    const { trace } = await traceCalls(() => takeLock('prod/db', 'backup prod', 0, runtime()));
    const file = join(folder, 'locks', lockFiles()[0]!);
    const about = trace.filter(({ path, to }) => path === file || to === file);
    expect(about.map(({ name, to }) => [name, to])).toEqual([['link', file]]);
    const before = trace.slice(0, trace.indexOf(about[0]!));
    expect(before.map(({ name, path }) => [name, path])).toContainEqual(['writeFile', about[0]!.path]);
  });

  it('is let go by who holds it alone: one that was unlocked by force and taken since stays', async () => {
    const forced = await takeLock('prod/db', 'backup prod', 0, runtime());
    await breakLock('prod/db', runtime());
    const lock = await takeLock('prod/db', 'prune prod', 0, runtime());
    await forced.release();
    expect(await lockHolder('prod/db', runtime())).toMatchObject({ operation: 'prune prod' });
    await lock.release();
    expect(await lockHolder('prod/db', runtime())).toBeUndefined();
  });

  it('of two names are two, however alike these are in a file name', async () => {
    const long = 'x'.repeat(100);
    for (const [one, other] of [
      ['prod/db', 'prod_db'],
      [`${long}1`, `${long}2`],
    ] as const) {
      await takeLock(one, 'backup prod', 0, runtime());
      await takeLock(other, 'backup prod', 0, runtime());
    }
    expect(lockFiles()).toHaveLength(4);
  });

  it('lies in a folder of this user alone, else it proves nothing', async () => {
    const locks = join(folder, 'locks');
    const refused = /locks cannot be kept/;
    writeFileSync(locks, 'a file in the way');
    await expect(takeLock('prod/db', 'backup prod', 0, runtime())).rejects.toThrow(refused);
    rmSync(locks);
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), locks);
    await expect(takeLock('prod/db', 'backup prod', 0, runtime())).rejects.toThrow(refused);
    expect(readdirSync(join(folder, 'elsewhere'))).toEqual([]);
    rmSync(locks);
    const before = process.umask(0);
    try {
      await takeLock('prod/db', 'backup prod', 0, runtime());
    } finally {
      process.umask(before);
    }
    expect(statSync(locks).mode & 0o777).toBe(0o700);
  });

  it.runIf(process.getuid?.() === 0)('a folder of another user is refused [needs root]', async () => {
    mkdirSync(join(folder, 'locks'), { mode: 0o700 });
    chownSync(join(folder, 'locks'), 65534, 65534);
    await expect(takeLock('prod/db', 'backup prod', 0, runtime())).rejects.toThrow(
      /not a folder of this user/,
    );
  });

  it('ends its wait when the run is interrupted', async () => {
    await takeLock('prod/db', 'backup prod', 0, runtime());
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    const waiting = takeLock('prod/db', 'prune prod', 60_000, { ...runtime(), signal: controller.signal });
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
  });
});
