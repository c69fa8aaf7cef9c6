import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { createContext } from '../../src/cli/context.ts';
import { loadConfig } from '../../src/config/load.ts';
import { groupLock, hooksLock } from '../../src/core/groups.ts';
import { breakLock, lockHolder, takeLock } from '../../src/core/lock.ts';
import type { Runtime } from '../../src/runtime.ts';
import { workspace } from './support.ts';

// A name of its own: locks are of this host, whatever the folder.
const JOB = `unlock-${process.pid}`;
const place = workspace();
mkdirSync(place.path('src'));
const file = place.config({
  datasources: { files: { type: 'files', source_path: './src' } },
  destinations: { here: { type: 'local', path: './backups' } },
  jobs: { [JOB]: { datasources: ['files'], destinations: ['here'] } },
});
const { config } = await loadConfig(file, { env: {}, cwd: place.folder, uid: process.getuid?.() });
const lock = groupLock(config, config.jobs[JOB]!, 'files');
/** What the program sees of this host, so that its locks are ours. */
const { runtime } = createContext({}, new AbortController().signal);

afterEach(() => breakLock(lock, runtime));
afterAll(() => place.remove());

/** A backup of the job that holds its lock: of this very process, or of another where `host` says so. */
const held = (host: Partial<Runtime['host']> = {}) =>
  takeLock(lock, 'backup', 0, { ...runtime, host: { ...runtime.host, ...host } });
const isHeld = async () => (await lockHolder(lock, runtime)) !== undefined;

describe('unlock', () => {
  it('of what nothing holds says so, of a job that is none is a usage error', async () => {
    expect(await place.run('unlock', JOB)).toMatchObject({
      code: 0,
      stdout: `nothing is locked of ${JOB}\n`,
    });
    expect((await place.run('unlock', 'nosuch')).code).toBe(2);
  });

  it('refuses where the holder runs, and names it; --force --yes removes its lock', async () => {
    await held();
    const refused = await place.run('unlock', JOB, '--yes');
    expect(refused).toMatchObject({ code: 5, stdout: expect.stringContaining('which runs') });
    expect(refused.stderr).toContain(`kill ${process.pid}`);
    expect(await isHeld()).toBe(true);
    expect(await place.run('unlock', JOB, '--force', '--yes')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 locks removed'),
    });
    expect(await isHeld()).toBe(false);
  });

  it('removes that of a process which is gone without a question', async () => {
    await held({ pid: 2 ** 22 + 1, pidStart: '1' });
    const { code, document } = await place.json('unlock', JOB);
    expect(code).toBe(0);
    expect(document).toMatchObject({ unlocked: [{ name: lock, state: 'dead', operation: 'backup' }] });
    expect(await isHeld()).toBe(false);
  });

  it('finds those of the hooks and of single databases too', async () => {
    const job = config.jobs[JOB]!;
    const others = [hooksLock(config, job), groupLock(config, job, 'files.app')];
    for (const other of others) await takeLock(other, 'backup', 0, runtime);
    // Another configuration's job of that name writes elsewhere.
    const foreign = `${others[1]!.slice(0, -8)}00000000`;
    await takeLock(foreign, 'backup', 0, runtime);
    try {
      const { stdout } = await place.run('unlock', JOB, '--force', '--yes');
      expect(stdout).toContain('2 locks removed');
      for (const other of others) expect(await lockHolder(other, runtime)).toBeUndefined();
      expect(await lockHolder(foreign, runtime)).toBeDefined();
    } finally {
      for (const each of [...others, foreign]) await breakLock(each, runtime);
    }
  });

  it('of another container that shows no sign of life takes a yes', async () => {
    await held({ pidNamespace: 'pid:[1]' });
    const { alive } = (await lockHolder(lock, runtime))!;
    if (alive !== '') rmSync(join(runtime.lockDir, alive));
    expect((await place.run('backup', JOB)).stderr).toMatch(
      /another container.*cannot be seen from here.*holds/,
    );
    const { code, stdout } = await place.run('unlock', JOB, '--yes');
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('cannot be seen') });
    expect(await isHeld()).toBe(false);
  });

  it('of another host takes a yes', async () => {
    await held({ name: 'elsewhere' });
    expect((await place.run('unlock', JOB)).code).toBe(2);
    expect(await isHeld()).toBe(true);
    expect((await place.run('unlock', JOB, '--yes')).code).toBe(0);
    expect(await isHeld()).toBe(false);
  });
});
