import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeLock } from '../../src/core/lock.ts';
import { showLife } from '../../src/core/sign-of-life.ts';
import { events, folder, lockFiles, runtime } from './support-locks.ts';

/** False where a temporary folder cannot hold a socket that all of this kernel meet at: its path too long, its file system odd. */
const showsLife = await (async () => {
  const place = mkdtempSync(join(tmpdir(), 'dguard-lock-'));
  mkdirSync(join(place, 'locks'));
  const { name, end } = await showLife(join(place, 'locks'));
  await end();
  rmSync(place, { recursive: true });
  return name !== '';
})();

describe.runIf(showsLife)('a lock', () => {
  it('of another container, whose numbers mean nothing here, is held as long as its sign of life is shown', async () => {
    const there = runtime({ pidNamespace: 'pid:[1]', pid: 2 ** 22 + 1, pidStart: '17' });
    const lock = await takeLock('prod/db', 'backup prod', 0, there);
    const taking = takeLock('prod/db', 'prune prod', 0, runtime());
    await expect(taking).rejects.toThrow(
      /process 4194305 on here, by the numbers of another container, \(backup prod since \S+\) holds the lock$/,
    );
    await lock.release();
    expect(readdirSync(join(folder, 'locks'))).toEqual([]);
  });

  it('of another container that was killed is taken over, and without a sign of life never', async () => {
    const there = runtime({ pidNamespace: 'pid:[1]', pid: 2 ** 22 + 1, pidStart: '17' });
    await (await takeLock('prod/db', 'backup prod', 0, there)).release();
    const alive = 'alive-0123456789abcdef';
    const listen = `require('node:net').createServer().listen(process.argv[1], () => console.log('listens'))`;
    const child = spawn(process.execPath, ['-e', listen, join(folder, 'locks', alive)]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const held = await takeLock('prod/db', 'backup prod', 0, there);
    const file = join(folder, 'locks', lockFiles()[0]!);
    const text = JSON.parse(readFileSync(file, 'utf8')) as object;
    for (const none of ['', 'alive-gone000000000000', `../locks/${alive}`]) {
      writeFileSync(file, JSON.stringify({ ...text, alive: none }));
      await expect(takeLock('prod/db', 'prune prod', 0, runtime())).rejects.toThrow(
        /cannot be seen from here/,
      );
    }
    writeFileSync(file, JSON.stringify({ ...text, alive }));
    await (await takeLock('prod/db', 'prune prod', 0, runtime())).release();
    expect(events).toMatchObject([{ level: 'warning', message: expect.stringMatching(/is gone/) }]);
    await held.release();
    expect(readdirSync(join(folder, 'locks'))).toEqual([]);
  });
});
