import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fsPath } from '../../fs-paths.ts';

/**
 * Runs a small tool of the system in a folder. A child's working directory is given as text, which not every
 * folder's name is: on Linux the folder is named by its descriptor.
 */
export function runIn(folder: string, tool: string, args: readonly string[]): void {
  const fd = openSync(fsPath(folder), 'r');
  try {
    const cwd = process.platform === 'linux' ? `/proc/${process.pid}/fd/${fd}` : folder;
    execFileSync(tool, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  } finally {
    closeSync(fd);
  }
}
