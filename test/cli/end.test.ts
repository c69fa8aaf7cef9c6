import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dguard-end-'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program that ends as bin/dguard does, with that status, while it opens a pipe that nobody writes to. */
async function endsWith(status: number, path: string, call = 'endWhenWritten') {
  const script = join(folder, `${call}-${status}.mjs`);
  writeFileSync(
    script,
    `import { open } from 'node:fs';
import { endNow, endWhenWritten } from ${JSON.stringify(MAIN)};
open(${JSON.stringify(path)}, 'r', () => undefined);
process.on('SIGINT', () => undefined);
process.exitCode = ${status};
${call}();`,
  );
  const { exitCode, signal } = await execa(process.execPath, [script], {
    reject: false,
    timeout: 60_000,
    killSignal: 'SIGQUIT',
  });
  return signal ?? exitCode;
}

it.concurrent('a process whose call into a file system hangs ends by itself', async () => {
  const pipe = join(folder, 'pipe');
  const ends = await Promise.all([130, 143].map((status) => endsWith(status, pipe)));
  expect(ends).toEqual(['SIGINT', 'SIGTERM']);
  expect(await endsWith(1, pipe, 'endNow')).toBe('SIGKILL');
});

it.concurrent('one that waits for nothing ends with its status', async () => {
  expect(await endsWith(3, join(folder, 'not-there'))).toBe(3);
});
