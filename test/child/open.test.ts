import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openChild } from '../../src/child/open.ts';
import { readChild, runChild } from '../../src/child/read.ts';
import { DguardError } from '../../src/errors.ts';
import { errorOf } from '../error-of.ts';

const MIB = 1024 * 1024;
const env = process.env;
const quiet = () => new AbortController().signal;
const shell = (script: string) => ['sh', '-c', script];

async function collect(chunks: AsyncIterable<Uint8Array>, onChunk: (size: number) => void = () => {}) {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) {
    onChunk(chunk.length);
    all.push(chunk);
  }
  return Buffer.concat(all);
}

function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody waited for yet is gone too.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

it('all output arrives, in large chunks', async () => {
  const child = await openChild(['head', '-c', String(40 * MIB + 7), '/dev/zero'], {
    env,
    signal: quiet(),
  });
  const sizes: number[] = [];
  expect((await collect(child.stdout, (size) => sizes.push(size))).length).toBe(40 * MIB + 7);
  expect(sizes.length).toBeLessThanOrEqual(41);
  await expect(child.done).resolves.toMatchObject({ stderr: '', stdinCutShort: false, stopped: false });
});

it('a program that fails after its output makes the stream throw, not end', async () => {
  const child = await openChild(shell('echo data; echo why >&2; exit 3'), { env, signal: quiet() });
  let got = '';
  const error = await errorOf(
    (async () => {
      for await (const chunk of child.stdout) got += Buffer.from(chunk).toString();
    })(),
  );
  expect(got).toBe('data\n');
  expect(error).toMatchObject({ code: 'source_failed', message: 'sh: exit status 3: why' });
  expect(await errorOf(child.done)).toBe(error);
});

it('a program killed by a signal makes the stream throw', async () => {
  const child = await openChild(shell('echo data; kill -9 $$'), { env, signal: quiet() });
  expect((await errorOf(collect(child.stdout))).message).toBe('sh: killed by SIGKILL');
});

it('a missing program is tool_missing', async () => {
  const child = await openChild(['dguard-has-no-such-program'], {
    env,
    signal: quiet(),
    failure: { code: 'source_failed', hint: 'apt-get install it' },
  });
  expect(child.pid).toBeUndefined();
  const error = await errorOf(collect(child.stdout));
  expect(error).toMatchObject({ code: 'tool_missing', hint: 'apt-get install it' });
  expect(error.message).toContain('dguard-has-no-such-program');
});

it('a missing program that was to get input is tool_missing too', async () => {
  const child = await openChild(['dguard-has-no-such-program'], { env, signal: quiet(), stdin: zeros(MIB) });
  expect(await errorOf(collect(child.stdout))).toMatchObject({ code: 'tool_missing' });
});

it('a file that is no program is said to be one that cannot be started', async () => {
  const child = await openChild(['/etc/passwd'], { env, signal: quiet() });
  expect(await errorOf(collect(child.stdout))).toMatchObject({ code: 'tool_missing' });
});

it('of a long secret no part is left where a long stderr is cut', async () => {
  const token = Array.from({ length: 1500 }, (_, n) => String.fromCharCode(97 + ((n * n) % 26))).join('');
  const child = await openChild(
    shell(`echo "BEGIN $TOKEN" >&2; head -c 6000 /dev/zero | tr "\\0" . >&2; echo "$TOKEN END" >&2; exit 1`),
    { env: { ...env, TOKEN: token }, signal: quiet(), redact: [token] },
  );
  const { message } = await errorOf(collect(child.stdout));
  expect(message).toMatch(/: BEGIN \[redacted\]\n\.+\n…\n\.+\[redacted\] END$/);
});

it('huge stderr neither blocks the child nor fills memory; its beginning and end are kept', async () => {
  const child = await openChild(
    shell('echo THE-BEGINNING >&2; head -c 20000000 /dev/zero | tr "\\0" x >&2; echo THE-END >&2; exit 1'),
    {
      env,
      signal: quiet(),
    },
  );
  const { message } = await errorOf(collect(child.stdout));
  expect(message).toMatch(/: THE-BEGINNING\nx+\n…\nx+THE-END$/);
  expect(message.length).toBeLessThan(5000);
});

it('secrets are taken out of what the child said', async () => {
  const child = await openChild(shell('echo "password p4ss w0rd is wrong" >&2; exit 1'), {
    env,
    signal: quiet(),
    redact: ['p4ss w0rd', ''],
  });
  expect((await errorOf(child.done)).message).toBe('sh: exit status 1: password [redacted] is wrong');
});

it('a secret of a letter or two leaves what the program said readable', async () => {
  const child = await openChild(shell('echo "database a is away" >&2; exit 1'), {
    env,
    signal: quiet(),
    redact: ['a', 'is'],
  });
  expect((await errorOf(child.done)).message).toBe('sh: exit status 1: database a is away');
});

it('a slow reader slows the child down', async () => {
  const child = await openChild(['head', '-c', String(200 * MIB), '/dev/zero'], { env, signal: quiet() });
  const iterator = child.stdout[Symbol.asyncIterator]();
  await iterator.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(isAlive(child.pid!)).toBe(true);
  await iterator.return!();
  expect(isAlive(child.pid!)).toBe(false);
});

it('a reader that goes away early stops the child and what it started', async () => {
  const child = await openChild(shell('sleep 1000 & echo $!; head -c 5000000 /dev/zero; wait'), {
    env,
    signal: quiet(),
  });
  let grandchild = 0;
  for await (const chunk of child.stdout) {
    grandchild = Number.parseInt(Buffer.from(chunk.subarray(0, 20)).toString(), 10);
    break;
  }
  expect(grandchild).toBeGreaterThan(1);
  await expect(child.done).resolves.toMatchObject({ stopped: true });
  await expect.poll(() => isAlive(grandchild)).toBe(false);
});

it('an abort kills the whole group, also what ignores SIGTERM, and its reason is the error', async () => {
  const controller = new AbortController();
  const child = await openChild(
    shell('trap "" TERM; sleep 1000 & echo $!; head -c 2000000 /dev/zero; wait; wait'),
    {
      env,
      signal: controller.signal,
    },
  );
  const iterator = child.stdout[Symbol.asyncIterator]();
  const first = await iterator.next();
  const grandchild = Number.parseInt(Buffer.from(first.value!.subarray(0, 20)).toString(), 10);
  const reason = new DguardError('terminated', 'asked to end');
  controller.abort(reason);
  const drain = async () => {
    while (!(await iterator.next()).done);
  };
  expect(await errorOf(drain())).toBe(reason);
  await expect.poll(() => isAlive(grandchild)).toBe(false);
  await expect(openChild(['true'], { env, signal: controller.signal })).rejects.toBe(reason);
});

it('input is written as it comes, whole', async () => {
  const child = await openChild(['sha256sum'], { env, signal: quiet(), stdin: zeros(30 * MIB) });
  const said = (await collect(child.stdout)).toString();
  // head -c 31457280 /dev/zero | sha256sum
  expect(said).toMatch(/^[0-9a-f]{64} {2}-\n$/);
  expect(said).toBe(await readChild(shell(`head -c ${30 * MIB} /dev/zero | sha256sum`), limits()));
  await expect(child.done).resolves.toMatchObject({ stdinCutShort: false });
});

it('a child that stops reading is no EPIPE: it ended well, and that it read a part is told', async () => {
  const child = await openChild(['head', '-c', '10'], { env, signal: quiet(), stdin: zeros(30 * MIB) });
  expect((await collect(child.stdout)).length).toBe(10);
  await expect(child.done).resolves.toMatchObject({ stdinCutShort: true });
});

it("a child that fails while it gets input is reported with its own error, not the pipe's", async () => {
  const child = await openChild(shell('head -c 10 >/dev/null; echo "bad row" >&2; exit 4'), {
    env,
    signal: quiet(),
    stdin: zeros(30 * MIB),
  });
  expect((await errorOf(child.done)).message).toBe('sh: exit status 4: bad row');
});

it('a child that ends while its input has nothing to say is not waited for', async () => {
  async function* silent(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first');
    await new Promise(() => {});
  }
  const child = await openChild(shell('exit 2'), { env, signal: quiet(), stdin: silent() });
  expect((await errorOf(child.done)).message).toBe('sh: exit status 2');
});

it('input that throws ends the child, and is the error', async () => {
  const cause = new DguardError('corrupt', 'a block does not hold');
  async function* broken() {
    yield Buffer.alloc(10);
    throw cause;
  }
  const child = await openChild(['cat'], { env, signal: quiet(), stdin: broken() });
  expect(await errorOf(collect(child.stdout))).toBe(cause);
  await expect.poll(() => isAlive(child.pid!)).toBe(false);
});

it('the child sees the environment it is given and nothing else', async () => {
  const said = await readChild(['env'], {
    ...limits(),
    env: { PATH: env['PATH'], ONLY: 'this', NOT: undefined },
  });
  expect(said.trim().split('\n').sort()).toEqual(['ONLY=this', `PATH=${env['PATH']}`]);
});

it('readChild refuses more than it was told to hold', async () => {
  const error = await errorOf(readChild(['head', '-c', '3000000', '/dev/zero'], limits()));
  expect(error.message).toContain('more than 1000000 bytes');
});

it('runChild says how a program failed, and that one could not be run', async () => {
  const options = { env, signal: quiet() };
  expect(await runChild(['true'], options)).toEqual({ failed: false, message: '' });
  expect(await runChild(shell('echo no >&2; exit 2'), options)).toEqual({
    failed: true,
    message: 'sh: exit status 2: no',
  });
  expect((await runChild(['dguard-has-no-such-program'], options)).failed).toBe(true);
  // More output than a buffer would hold is no failure.
  expect((await runChild(shell('head -c 3000000 /dev/zero'), options)).failed).toBe(false);
});

function limits() {
  return { env, signal: quiet(), maxBytes: 1_000_000 };
}

async function* zeros(sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let left = sizeBytes; left > 0; left -= MIB) yield new Uint8Array(Math.min(left, MIB));
}
