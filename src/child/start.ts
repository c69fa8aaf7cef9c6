import { closeSync } from 'node:fs';
import { abortError, errnoOf } from '../errors.ts';
import { withoutSecrets } from '../redact.ts';
import { childError } from './failure.ts';
import { feedInput } from './input.ts';
import type { WideOutput } from './output.ts';
import { CHUNK_BYTES, endOf, type Output, outputOfPipe, outputOfStream } from './output.ts';
import type { Child, ChildEnd, ChildOptions } from './types.ts';

/** The only user of execa: programs are started here, without a shell, in a process group of their own. */

const STDERR_TAIL_CHARS = 4000;
/** Of a long stderr its beginning is kept too: tools say why they fail, and then repeat a statement of any length. */
const STDERR_HEAD_CHARS = 500;
/** So much more of either is read than is shown: of a secret that is cut in two (tokens are long) none is found. */
const SECRET_CHARS = 4000;
const KILL_AFTER_MS = 5000;

/**
 * Starts a program whose output goes through the pipe of `wide` where that has one: whatever happens, its ends
 * are closed here. Errors: those of `openChild`.
 */
export async function startChild(
  argv: readonly string[],
  options: ChildOptions,
  wide: WideOutput = {},
): Promise<Child> {
  const { pipe } = wide;
  const { execa } = await import('execa');
  // An abort meanwhile was heard by nobody.
  if (options.signal.aborted) {
    if (pipe) for (const end of [pipe.reader, pipe.writer]) closeSync(end);
    throw abortError(options.signal);
  }
  const [program = '', ...args] = argv;
  const subprocess = execa(program, args, {
    env: { ...options.env, ...wide.env } as Record<string, string>,
    extendEnv: false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? 'ignore' : 'pipe',
    // The types know no descriptors beyond 9.
    stdout: (pipe?.writer ?? 'pipe') as 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    detached: true,
    stripFinalNewline: false,
  });
  if (pipe) closeSync(pipe.writer);
  const group = groupOf(subprocess.pid);
  const said = endsOf(subprocess.stderr);
  const input = options.stdin && feedInput(subprocess.stdin!, options.stdin, group.stop);
  const output = pipe
    ? outputOfPipe(pipe.reader)
    : outputOfStream(subprocess.stdout, options.chunkBytes ?? CHUNK_BYTES);
  let stopped = false;
  const stop = () => {
    group.stop();
    // Its end is seen also where nobody reads.
    output.discard();
  };
  options.signal.addEventListener('abort', stop, { once: true });

  const done = (async (): Promise<ChildEnd> => {
    // Not merely the exit: the pipes may still hold its last words.
    const [result] = await Promise.all([subprocess, output.ended, endOf(subprocess.stderr)]);
    await input?.ended;
    group.gone();
    options.signal.removeEventListener('abort', stop);
    const stderr = said(options.redact ?? []);
    if (options.signal.aborted) throw abortError(options.signal);
    const inputFailure = input?.failure();
    if (inputFailure !== undefined) throw inputFailure;
    if (result.failed && !stopped) throw childError(program, result, stderr, options);
    return { stderr, stdinCutShort: input?.cutShort() ?? false, stopped };
  })();
  done.catch(() => {});

  const leave = async () => {
    stopped = true;
    stop();
    await done.catch(() => {});
  };
  return { stdout: { [Symbol.asyncIterator]: () => read(output, done, leave) }, done, pid: subprocess.pid };
}

/** All of the output, then the child's end; `leave` where the reader goes away before. */
async function* read(
  output: Output,
  done: Promise<ChildEnd>,
  leave: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let ended = false;
  try {
    for (;;) {
      const chunk = await output.take();
      if (chunk === undefined) break;
      yield chunk;
    }
    ended = true;
  } finally {
    if (!ended) await leave();
  }
  await done;
}

/**
 * What a stream of text said, of a long one first and last, without secrets. It is drained whatever happens: a child
 * blocks once its stderr is full.
 */
function endsOf(stderr: NodeJS.ReadableStream): (redact: readonly string[]) => string {
  let head = '';
  let tail = '';
  let length = 0;
  stderr.setEncoding('utf8').on('data', (text: string) => {
    length += text.length;
    head += text.slice(0, STDERR_HEAD_CHARS + SECRET_CHARS - head.length);
    tail = (tail + text).slice(-STDERR_TAIL_CHARS - SECRET_CHARS);
  });
  return (redact) => {
    const end = withoutSecrets(tail, redact).slice(-STDERR_TAIL_CHARS).trim();
    if (length <= STDERR_TAIL_CHARS) return end;
    return `${withoutSecrets(head, redact).slice(0, STDERR_HEAD_CHARS).trim()}\n…\n${end}`;
  };
}

/** Groups of running children, killed should dguard itself exit before they do. */
const running = new Set<number>();
process.once('exit', () => {
  for (const pid of running) killGroup(pid, 'SIGTERM');
});

/** The process group of a child that was started; undefined: it could not be. */
function groupOf(pid: number | undefined) {
  let killTimer: NodeJS.Timeout | undefined;
  if (pid !== undefined) running.add(pid);
  return {
    stop() {
      if (pid === undefined || killTimer !== undefined) return;
      killGroup(pid, 'SIGTERM');
      killTimer = setTimeout(() => killGroup(pid, 'SIGKILL'), KILL_AFTER_MS);
    },
    gone() {
      clearTimeout(killTimer);
      if (pid !== undefined) running.delete(pid);
    },
  };
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH' && errnoOf(error) !== 'EPERM') throw error;
  }
}
