import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ownerOf, ownerState, processStart } from '../../src/core/owner.ts';
import { folder, runtime } from './support-locks.ts';

describe('owner', () => {
  it('is dead only where that is certain', () => {
    const { host } = runtime();
    const me = ownerOf(host);
    expect(ownerState(me, host)).toBe('alive');
    expect(ownerState({ ...me, pid_start: '' }, host)).toBe('alive');
    expect(ownerState({ ...me, pid_start: '1' }, host)).toBe('dead');
    expect(ownerState({ ...me, boot_id: 'boot-0' }, host)).toBe('dead');
    expect(ownerState({ ...me, boot_id: '' }, host)).toBe('unknown');
    for (const pid_namespace of ['', 'pid:[1]'])
      expect(ownerState({ ...me, pid_namespace, pid_start: '1' }, host)).toBe('unknown');
    expect(ownerState({ ...me, host: 'elsewhere', boot_id: 'boot-0' }, host)).toBe('unknown');
    // What names no process: to kill(2) those numbers mean whole groups, which are always there.
    for (const pid of [0, -1]) expect(ownerState({ ...me, pid, pid_start: '' }, host)).toBe('dead');
  });

  it.runIf(process.platform === 'linux')(
    'is told by when it started, whatever its program is called',
    async () => {
      const program = join(folder, 'a) S 1 (b');
      copyFileSync('/bin/sleep', program);
      chmodSync(program, 0o700);
      const child = spawn(program, ['60']);
      try {
        await once(child, 'spawn');
        const [own, its] = [processStart(process.pid), processStart(child.pid!)].map(Number);
        expect(own).toBeGreaterThan(0);
        expect(its).toBeGreaterThanOrEqual(own!);
        expect(its).toBeLessThanOrEqual(Math.ceil((uptime() + 1) * 100));
      } finally {
        child.kill('SIGKILL');
      }
    },
  );
});
