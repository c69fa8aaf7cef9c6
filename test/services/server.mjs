import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findCommand } from './child.mjs';

/** What the servers that the tests start share. */

/** Whom a server runs as: each of them refuses root. */
export function serverUser() {
  if (process.getuid?.() !== 0) {
    const { uid, gid, username } = userInfo();
    return { uid, gid, name: username };
  }
  for (const name of ['postgres', 'nobody']) {
    if (!findCommand('id')) break;
    const id = (flag) => Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout);
    if (id('-u') > 0) return { uid: id('-u'), gid: id('-g'), name };
  }
  return { uid: 65534, gid: 65534, name: 'nobody' };
}

/** One of the loopback interface. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Waits until a server that was started answers. Where it ends instead, or takes too long, its last lines are said.
 * @param {import('node:child_process').ChildProcess} child
 * @param {{ name: string, isReady: () => boolean | Promise<boolean>, lastLines: () => string, withinMs?: number }} how
 */
export async function untilReady(child, { name, isReady, lastLines, withinMs = 60_000 }) {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; ) {
    if (child.exitCode !== null) throw new Error(`${name} ended at once:\n${lastLines()}`);
    if (await isReady()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${name} was not ready within ${withinMs} ms:\n${lastLines()}`);
}

/** PostgreSQL writes `ready` into the eighth line of its pid file. */
export function isPostgresReady(child, data) {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready';
  } catch {
    return false; // Not written yet.
  }
}

/** Ends a server, if it runs, and waits until it is gone. */
export async function end(child, signal) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

const unable = async () => {
  throw new Error('a server of somebody else is not stopped');
};
/** What the environment names is used, and left as it is. */
export const SOMEBODY_ELSES = { pid: undefined, halt: unable, resume: unable, stop: async () => {} };
