import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let root: string;

/**
 * Every temporary folder of a run lies below one, which goes with the run: a test need not remove what it made. Its name
 * is short (a socket's path has 107 bytes), and other users may work in it, as in /tmp.
 */
export function setup(): void {
  root = mkdtempSync(join(tmpdir(), 'dg-'));
  chmodSync(root, 0o1777);
  process.env['TMPDIR'] = root;
}

export function teardown(): void {
  rmSync(root, { recursive: true, force: true, maxRetries: 3 });
}
