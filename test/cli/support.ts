import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const DGUARD = join(ROOT, 'bin/dguard');

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built program as a user would. */
export function dguard(cwd: string, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [DGUARD, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

/** A folder with the example configuration and its data. */
export function demoFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-cli-'));
  cpSync(join(ROOT, 'fixtures/demo'), join(folder, 'fixtures/demo'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  cpSync(join(ROOT, 'backup.example.yaml'), join(folder, 'backup.example.yaml'));
  return folder;
}
