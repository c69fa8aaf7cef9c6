import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { pidNamespace, processStart } from '../../src/core/owner.ts';
import type { DguardEvent } from '../../src/events.ts';
import type { Runtime } from '../../src/runtime.ts';

/** Of each test of the file that imports this. */
export let folder: string;
export let events: DguardEvent[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dguard-lock-'));
  events = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A run on this host; its locks lie in `folder`. */
export function runtime(host: Partial<Runtime['host']> = {}): Runtime {
  return {
    now: () => new Date(),
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    env: {},
    host: {
      name: 'here',
      bootId: 'boot-1',
      pid: process.pid,
      pidStart: processStart(process.pid),
      pidNamespace: pidNamespace(),
      privileged: false,
      ...host,
    },
    tempDir: folder,
    lockDir: join(folder, 'locks'),
    version: '0',
  };
}

/** What lies there but for signs of life. */
export const lockFiles = () =>
  readdirSync(join(folder, 'locks'))
    .filter((name) => !name.startsWith('alive-'))
    .sort();
