import { spawnSync } from 'node:child_process';
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MEASURE = fileURLToPath(new URL('measure.py', import.meta.url));

/**
 * @typedef {{ command: string[], env?: Record<string, string>, cwd?: string }} Command
 * @typedef {{ wallS: number, cpuS: number, userS: number, rssBytes: number }} Cost
 */

/**
 * Runs a command after a `sync`, so that it does not pay for what the run before it left to be written, and returns what
 * its process tree cost. Throws with its last lines when it fails.
 * @param {Command} what
 * @param {string} scratch a folder for its output
 * @returns {Cost}
 */
export function measure({ command, env = {}, cwd }, scratch) {
  mkdirSync(scratch, { recursive: true });
  spawnSync('sync');
  const result = join(scratch, 'cost.json');
  const log = join(scratch, 'output.txt');
  rmSync(result, { force: true });
  const out = openSync(log, 'w');
  const child = spawnSync('python3', ['-I', '-S', MEASURE, result, ...command], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', out, out],
  });
  closeSync(out);
  if (child.error || child.status !== 0) throw new Error(child.error?.message ?? lastLines(log));
  const { status, ...cost } = JSON.parse(readFileSync(result, 'utf8'));
  if (status !== 0)
    throw new Error(`${command.slice(0, 2).join(' ')} ended with ${status}: ${lastLines(log)}`);
  return cost;
}

/** Runs a command that is not measured (preparation) and returns its stdout. */
export function prepare({ command, env = {}, cwd }) {
  const [program, ...args] = command;
  const child = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (child.error) throw child.error;
  if (child.status !== 0)
    throw new Error(`${command.slice(0, 3).join(' ')} ended with ${child.status}: ${child.stderr.trim()}`);
  return child.stdout;
}

/** The sum of the sizes of all files below a path. */
export function sizeBelow(path) {
  const stat = lstatSync(path);
  if (!stat.isDirectory()) return stat.isFile() ? stat.size : 0;
  return readdirSync(path).reduce((sum, name) => sum + sizeBelow(join(path, name)), 0);
}

export function emptyFolder(path) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}

function lastLines(path) {
  return readFileSync(path, 'utf8').trim().split('\n').slice(-6).join('\n    ');
}
