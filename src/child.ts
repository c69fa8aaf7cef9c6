import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  CHUNK_BYTES,
  endOf,
  type OpenPipe,
  openPipe,
  outputOfPipe,
  outputOfStream,
  PIPE_BYTES,
} from './child-output.ts';
import { abortError, DguardError, type ErrorCode, errnoOf, errorText } from './errors.ts';

/** The only user of execa: programs are started here, without a shell, in a process group of their own. */

export interface ChildOptions {
  /** All that the child inherits; nothing is added. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborting kills the child's process group: SIGTERM, and SIGKILL after `KILL_AFTER_MS`. */
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Written to the child's stdin; undefined: it gets none. What it throws ends the child, and is the error. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** How much output is gathered before it is handed on; default 1 MiB. 1: as it comes, for a dialogue. */
  readonly chunkBytes?: number;
  /**
   * For much output: a folder where a named pipe can be made for it for a moment. It is read without garbage then,
   * and each chunk is good until the next is asked for. Where none can be made, it is read as any other. A program of
   * the C library's is told to write it in as large pieces as the pipe holds, where stdbuf(1) knows how.
   */
  readonly pipeFolder?: string;
  /** What works may have another file system (chroot, nsenter, a container): no library of this one is given to it. */
  readonly elsewhere?: boolean;
  /** Secrets: taken out of what the child said before it gets into an error. */
  readonly redact?: readonly string[];
  /** What a failure of the child is; default `source_failed` with the program as operation. */
  readonly failure?: {
    readonly code: ErrorCode;
    readonly operation?: string;
    readonly subject?: string;
    readonly hint?: string;
  };
}

export interface Child {
  /** In chunks of about 1 MiB. Throws, never merely ends, when the child failed. Read once. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Settles when the child is gone and its output was read; rejects like `stdout`. Nobody has to look at it. */
  readonly done: Promise<ChildEnd>;
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
}

export interface ChildEnd {
  /** The end of what it wrote to stderr, redacted. */
  readonly stderr: string;
  /** It closed its stdin, or ended, before it had read everything. */
  readonly stdinCutShort: boolean;
  /** The reader of stdout went away early, and the child was stopped for it. */
  readonly stopped: boolean;
}

export interface ChildResult {
  readonly failed: boolean;
  /** Why it failed, with the end of what it wrote to stderr. */
  readonly message: string;
}

const STDERR_TAIL_CHARS = 4000;
const KILL_AFTER_MS = 5000;

/** Groups of running children, killed should dguard itself exit before they do. */
const running = new Set<number>();
process.once('exit', () => {
  for (const pid of running) killGroup(pid, 'SIGTERM');
});

/**
 * Starts a program (no shell) whose output is read as a stream. Errors, by `stdout` and `done` alike:
 * `tool_missing` when there is no such program, the signal's reason on abort, the error of `stdin`, else
 * `failure.code` with the exit status and the end of stderr.
 */
export async function openChild(argv: readonly string[], options: ChildOptions): Promise<Child> {
  if (options.signal.aborted) throw abortError(options.signal);
  const { execa } = await import('execa');
  const [program = '', ...args] = argv;
  const [pipe, buffered] =
    options.pipeFolder === undefined
      ? []
      : await Promise.all([
          makePipe(options.pipeFolder, options),
          options.elsewhere ? {} : bufferedOutput(options),
        ]);
  // An abort meanwhile was heard by nobody.
  if (options.signal.aborted) {
    if (pipe) for (const end of [pipe.reader, pipe.writer]) closeSync(end);
    throw abortError(options.signal);
  }
  const subprocess = execa(program, args, {
    env: { ...options.env, ...buffered } as Record<string, string>,
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
  const { pid } = subprocess;
  if (pid !== undefined) running.add(pid);
  const state: State = { stderr: '', stdinCutShort: false, stopped: false, inputError: undefined };
  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    if (pid === undefined || killTimer !== undefined) return;
    killGroup(pid, 'SIGTERM');
    killTimer = setTimeout(() => killGroup(pid, 'SIGKILL'), KILL_AFTER_MS);
  };
  // Drained whatever happens: a child blocks once its stderr is full.
  subprocess.stderr.setEncoding('utf8').on('data', (text: string) => {
    state.stderr = (state.stderr + text).slice(-2 * STDERR_TAIL_CHARS);
  });
  const input = options.stdin === undefined ? undefined : feed(subprocess.stdin!, options.stdin, state, stop);
  const output = pipe
    ? outputOfPipe(pipe.reader)
    : outputOfStream(subprocess.stdout, options.chunkBytes ?? CHUNK_BYTES);
  const abort = () => {
    stop();
    // Its end is seen also where nobody reads.
    output.discard();
  };
  options.signal.addEventListener('abort', abort, { once: true });

  const done = (async (): Promise<ChildEnd> => {
    // Not merely the exit: the pipes may still hold its last words.
    const [result] = await Promise.all([subprocess, output.ended, endOf(subprocess.stderr)]);
    await input;
    clearTimeout(killTimer);
    options.signal.removeEventListener('abort', abort);
    if (pid !== undefined) running.delete(pid);
    const stderr = redacted(state.stderr, options.redact).slice(-STDERR_TAIL_CHARS).trim();
    if (options.signal.aborted) throw abortError(options.signal);
    if (state.inputError !== undefined) throw state.inputError;
    if (result.failed && !state.stopped) throw childError(program, result, stderr, options);
    return { stderr, stdinCutShort: state.stdinCutShort, stopped: state.stopped };
  })();
  done.catch(() => {});

  async function* read(): AsyncGenerator<Uint8Array> {
    let ended = false;
    try {
      for (;;) {
        const chunk = await output.take();
        if (chunk === undefined) break;
        yield chunk;
      }
      ended = true;
    } finally {
      if (!ended) {
        state.stopped = true;
        stop();
        output.discard();
        await done.catch(() => {});
      }
    }
    await done;
  }
  return { stdout: { [Symbol.asyncIterator]: read }, done, pid };
}

/** The output of a small program as text. Errors: those of `openChild`; `failure.code` beyond `maxBytes`. */
export async function readChild(
  argv: readonly string[],
  options: ChildOptions & { readonly maxBytes: number },
): Promise<string> {
  const child = await openChild(argv, options);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of child.stdout) {
    sizeBytes += chunk.length;
    if (sizeBytes > options.maxBytes) {
      throw new DguardError(
        options.failure?.code ?? 'source_failed',
        `${argv[0]} wrote more than ${options.maxBytes} bytes`,
        { operation: options.failure?.operation ?? `run ${argv[0]}` },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Runs a program (no shell) to its end; its output goes nowhere but, stderr's tail, into the message. */
export async function runChild(
  argv: readonly string[],
  options: { env: Readonly<Record<string, string | undefined>>; signal: AbortSignal },
): Promise<ChildResult> {
  try {
    const child = await openChild(argv, options);
    for await (const _ of child.stdout);
    return { failed: false, message: (await child.done).stderr };
  } catch (error) {
    return { failed: true, message: errorText(error) };
  }
}

async function makePipe(
  folder: string,
  { env, signal }: Pick<ChildOptions, 'env' | 'signal'>,
): Promise<OpenPipe | undefined> {
  const path = join(folder, `output-${randomBytes(6).toString('hex')}`);
  const { failed } = await runChild(['mkfifo', '-m', '600', path], { env, signal });
  if (!failed) return await openPipe(path).catch(() => undefined);
  // An abort may have met it when the pipe was made.
  await rm(path, { force: true }).catch(() => {});
  return undefined;
}

/**
 * What stdbuf(1) adds to the environment of a program, for writes as large as the pipe instead of 4 KiB: each of those
 * would be two system calls, and often a change of threads. A sixth of the CPU time of `pg_dump | zstd`.
 */
async function bufferedOutput({
  env: { PATH, LD_PRELOAD },
  signal,
}: Pick<ChildOptions, 'env' | 'signal'>): Promise<Record<string, string>> {
  const env = { PATH, LD_PRELOAD };
  const argv = ['stdbuf', `--output=${PIPE_BYTES}`, 'env'];
  const said = await readChild(argv, { env, signal, maxBytes: 100_000 }).catch(() => '');
  const added = Object.fromEntries(
    said.split('\n').flatMap((line) => {
      const [, name, value] = /^(LD_PRELOAD|_STDBUF_O)=(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value!]];
    }),
  );
  const known = new Set(LD_PRELOAD?.split(/[ :]/));
  const libraries = (added['LD_PRELOAD'] ?? '').split(/[ :]/).filter((path) => !known.has(path));
  return (await Promise.all(libraries.map(isOnlyOurs))).every(Boolean) ? added : {};
}

/**
 * Whether nobody but root and this user can put another file into its place: the stdbuf of uutils makes the library
 * in a temporary folder, which goes with it, and then anybody may make a folder of that name.
 */
async function isOnlyOurs(library: string): Promise<boolean> {
  const found = await Promise.all([stat(library), stat(dirname(library))]).catch(() => []);
  const users = [0, process.getuid?.()];
  return found.length > 0 && found.every(({ uid, mode }) => users.includes(uid) && (mode & 0o022) === 0);
}

interface State {
  stderr: string;
  stdinCutShort: boolean;
  stopped: boolean;
  inputError: unknown;
}

/** Writes the input; that the child no longer reads is no error here: its own end tells why. */
async function feed(
  stdin: NodeJS.WritableStream,
  input: AsyncIterable<Uint8Array>,
  state: State,
  stop: () => void,
): Promise<void> {
  let closed = false;
  let onDrain = () => {};
  let onClosed = () => {};
  const close = () => {
    closed = true;
    onClosed();
  };
  stdin
    .on('error', close)
    .on('close', close)
    .on('drain', () => onDrain());
  const iterator = input[Symbol.asyncIterator]();
  try {
    for (;;) {
      // The child may go away while the input has nothing to say.
      const next = await new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
        onClosed = () => resolve(undefined);
        if (closed) resolve(undefined);
        else iterator.next().then(resolve, reject);
      });
      if (next === undefined || closed) break;
      if (next.done) return await closeInput(stdin, state);
      if (stdin.write(next.value)) continue;
      await new Promise<void>((resolve) => {
        onDrain = resolve;
        onClosed = resolve;
        if (closed) resolve();
      });
    }
    state.stdinCutShort = true;
    // Not awaited: a generator that waits for something ends only after that.
    iterator.return?.().then(undefined, () => {});
  } catch (error) {
    state.inputError = error;
    stop();
    (stdin as NodeJS.WritableStream & { destroy(): void }).destroy();
  }
}

/** Closes stdin; a child that goes away with input left unread breaks the pipe even now. */
function closeInput(stdin: NodeJS.WritableStream, state: State): Promise<void> {
  return new Promise((resolve) => {
    const cutShort = () => {
      state.stdinCutShort = true;
      resolve();
    };
    stdin.once('error', cutShort);
    stdin.once('close', resolve);
    stdin.end(resolve);
  });
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH' && errnoOf(error) !== 'EPERM') throw error;
  }
}

function redacted(text: string, secrets: readonly string[] = []): string {
  return secrets
    .filter((secret) => secret !== '')
    .reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text);
}

function childError(
  program: string,
  result: {
    readonly exitCode?: number | undefined;
    readonly signal?: string | undefined;
    readonly code?: string | undefined;
    readonly originalMessage?: string | undefined;
  },
  stderr: string,
  { failure, redact, cwd }: ChildOptions,
): DguardError {
  const details = {
    operation: failure?.operation ?? `run ${program}`,
    ...(failure?.subject === undefined ? {} : { subject: failure.subject }),
    ...(failure?.hint === undefined ? {} : { hint: failure.hint }),
  };
  if (result.exitCode === undefined && result.signal === undefined) {
    const why = redacted(result.originalMessage ?? result.code ?? 'unknown reason', redact);
    if (result.code === 'ENOENT' && cwd === undefined) {
      const hint = failure?.hint ?? `install it, or put its folder into PATH`;
      return new DguardError('tool_missing', `there is no program ${program}`, { ...details, hint });
    }
    return new DguardError('tool_missing', `${program} could not be started: ${why}`, details);
  }
  const how = result.signal === undefined ? `exit status ${result.exitCode}` : `killed by ${result.signal}`;
  const message = stderr === '' ? `${program}: ${how}` : `${program}: ${how}: ${stderr}`;
  return new DguardError(failure?.code ?? 'source_failed', message, details);
}
