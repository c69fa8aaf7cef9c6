import { spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Runs a program to its end and returns what it printed. A program that cannot be started or fails throws an Error that
 * carries its last lines.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string>, gentle?: boolean }} [options] `gentle` lowers the priority.
 * @returns {string}
 */
export function run(command, args, options = {}) {
  const [program, argv] =
    options.gentle && findCommand('nice') ? ['nice', [command, ...args]] : [command, args];
  const child = spawnSync(program, argv, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.error) throw new Error(`${command} could not be started: ${child.error.message}`);
  if (child.status !== 0) {
    const said = `${child.stdout}\n${child.stderr}`.trim().split('\n').slice(-12).join('\n  ');
    throw new Error(`${command} ${args[0] ?? ''} ended with ${child.signal ?? child.status}:\n  ${said}`);
  }
  return child.stdout;
}

/**
 * The path of a command in PATH, or undefined.
 * @param {string} name
 * @returns {string | undefined}
 */
export function findCommand(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (folder !== '' && isProgram(path)) return path;
  }
  return undefined;
}

/** @param {string} path */
export function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
