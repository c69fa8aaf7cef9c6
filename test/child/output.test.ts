import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { openChild } from '../../src/child/open.ts';
import { DguardError } from '../../src/errors.ts';
import { describeWithCommands } from '../services/needs.ts';

const folder = mkdtempSync(join(tmpdir(), 'dguard-child-output-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = process.env;
const COUNTED = 'seq 1 3000000';

function open(script: string, pipeFolder = folder, signal = new AbortController().signal) {
  return openChild(['sh', '-c', script], { env, signal, pipeFolder });
}

function digestOf(numbers: number): string {
  const hash = createHash('sha256');
  for (let n = 1; n <= numbers; n++) hash.update(`${n}\n`);
  return hash.digest('hex');
}

/** What came, each chunk looked at before the next is asked for. */
async function digest(chunks: AsyncIterable<Uint8Array>, each: (index: number) => unknown = () => {}) {
  const hash = createHash('sha256');
  let index = 0;
  for await (const chunk of chunks) {
    await each(index++);
    hash.update(chunk);
  }
  return hash.digest('hex');
}

it('much output comes by a named pipe, whole, to a reader that stops now and then, and leaves no file', async () => {
  const child = await open(`test -p /dev/stdout || exit 9; ${COUNTED}`);
  expect(readdirSync(folder)).toEqual([]);
  // Longer than the pipe and the rooms behind it need to be full.
  const seen = await digest(child.stdout, (index) => (index % 10 === 0 ? sleep(20) : undefined));
  expect(seen).toBe(digestOf(3_000_000));
  await expect(child.done).resolves.toMatchObject({ stopped: false });
});

it('a chunk stays as it is until the next is asked for, however far the child has got', async () => {
  const child = await open(COUNTED);
  let text = '';
  for await (const chunk of child.stdout) {
    const before = Buffer.from(chunk);
    await sleep(5);
    expect(before.equals(chunk)).toBe(true);
    text += before.toString('latin1').slice(0, 10);
  }
  expect(text.startsWith('1\n2\n')).toBe(true);
});

describeWithCommands(['stdbuf'], 'a program that writes much', () => {
  /** What it wrote, and by how many system calls, itself and its children. */
  const run = async (path: string | undefined) => {
    const argv = ['sh', '-c', `${COUNTED}; grep syscw /proc/$$/io >&2`];
    const signal = new AbortController().signal;
    const child = await openChild(argv, { env: { ...env, PATH: path }, signal, pipeFolder: folder });
    const written = await digest(child.stdout);
    return { written, calls: Number(/syscw: (\d+)/.exec((await child.done).stderr)?.[1]) };
  };

  it('is told to do so in pieces as large as the pipe; one that cannot be told writes the same', async () => {
    const few = await run(env['PATH']);
    expect(few.written).toBe(digestOf(3_000_000));
    expect(few.calls).toBeLessThan(1000);
    const programs = join(folder, 'programs');
    mkdirSync(programs);
    for (const name of ['sh', 'seq', 'grep', 'mkfifo'])
      symlinkSync(String(execFileSync('sh', ['-c', `command -v ${name}`])).trim(), join(programs, name));
    const many = await run(programs);
    expect(many.written).toBe(few.written);
    expect(many.calls).toBeGreaterThan(5000);
    rmSync(programs, { recursive: true });
  });
});

it.each([
  ['is gone with it', 'rm -r "$made"'],
  ['lies where anybody writes', 'chmod 777 "$made"'],
])('a library of stdbuf that %s is not loaded', async (_, then) => {
  const programs = mkdtempSync(join(folder, 'stdbuf-'));
  const made = join(programs, 'made');
  const script = `#!/bin/sh
made=${made}; mkdir "$made"; touch "$made/lib.so"
printf 'LD_PRELOAD=%s\n_STDBUF_O=65536\n' "$made/lib.so"
${then}
`;
  writeFileSync(join(programs, 'stdbuf'), script, { mode: 0o755 });
  const child = await openChild(['sh', '-c', 'printenv LD_PRELOAD || echo none'], {
    env: { ...env, PATH: `${programs}:${env['PATH']}` },
    signal: new AbortController().signal,
    pipeFolder: folder,
  });
  let said = '';
  for await (const chunk of child.stdout) said += Buffer.from(chunk).toString();
  expect(said).toBe('none\n');
  rmSync(programs, { recursive: true });
});

it('a little output, and none, end too', async () => {
  expect(await digest((await open('echo 1')).stdout)).toBe(digestOf(1));
  expect(await digest((await open('true')).stdout)).toBe(digestOf(0));
});

it('where no pipe can be made the output comes all the same', async () => {
  const child = await open(`test -p /dev/stdout && exit 9; ${COUNTED}`, join(folder, 'missing'));
  expect(await digest(child.stdout)).toBe(digestOf(3_000_000));
});

it('a program that fails makes the stream throw, and one that is not there is missing', async () => {
  const failed = await open('echo data; echo why >&2; exit 3');
  await expect(digest(failed.stdout)).rejects.toMatchObject({ message: 'sh: exit status 3: why' });
  const missing = await openChild(['dguard-has-no-such-program'], {
    env,
    signal: new AbortController().signal,
    pipeFolder: folder,
  });
  await expect(digest(missing.stdout)).rejects.toMatchObject({ code: 'tool_missing' });
});

it('a reader that goes away stops the child, however much is left', async () => {
  const child = await open('seq 1 1000000000');
  for await (const _ of child.stdout) break;
  await expect(child.done).resolves.toMatchObject({ stopped: true });
});

it('an abort is the error, also of a reader that waits', async () => {
  const controller = new AbortController();
  const child = await open('echo data; sleep 1000', folder, controller.signal);
  const reason = new DguardError('terminated', 'asked to end');
  setTimeout(() => controller.abort(reason), 50);
  await expect(digest(child.stdout)).rejects.toThrow('asked to end');
});

it('an abort while the pipe is made starts nothing', async () => {
  const controller = new AbortController();
  const begun = open('echo data; sleep 1000', folder, controller.signal);
  controller.abort(new DguardError('terminated', 'asked to end'));
  await expect(begun).rejects.toThrow('asked to end');
  expect(readdirSync(folder)).toEqual([]);
});

it('a pipe that is there though its maker failed is taken away', async () => {
  const bin = mkdtempSync(join(tmpdir(), 'dguard-child-bin-'));
  try {
    const pipes = join(bin, 'pipes');
    mkdirSync(pipes);
    // As an abort that comes in between has it.
    writeFileSync(join(bin, 'mkfifo'), `#!/bin/sh\nPATH='${env['PATH']}' mkfifo "$@"\nexit 1\n`, {
      mode: 0o755,
    });
    const child = await openChild(['/bin/sh', '-c', 'echo data'], {
      env: { PATH: bin },
      signal: new AbortController().signal,
      pipeFolder: pipes,
    });
    for await (const chunk of child.stdout) expect(chunk.toString()).toBe('data\n');
    expect(readdirSync(pipes)).toEqual([]);
  } finally {
    rmSync(bin, { recursive: true, force: true });
  }
});
