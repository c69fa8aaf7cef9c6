import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DguardError, errorText } from '../../errors.ts';
import { copyShared, threadFile } from '../../threads.ts';
import { createSharedRooms } from './shared-rooms.ts';

/** What there is to do. Where it is hashed, then the block: what is compressed, or came out. */
interface ZstdWork {
  readonly kind: 'compress' | 'decompress';
  readonly bytes: Uint8Array;
  /** Of a compression. */
  readonly level: number;
  readonly hashed: boolean;
}

/**
 * `maxBytes` is what may come out; it lies in `room` (shared memory), else in a room of the threads' own that is
 * to be given back.
 */
export interface ZstdJob extends ZstdWork {
  readonly maxBytes: number;
  readonly room?: Buffer;
}

/** What a thread is told: all bytes lie in shared memory, the result goes into `room`. */
export interface ZstdOrder extends ZstdWork {
  readonly room: Uint8Array;
}

/** `sha256`: hex. */
export type ZstdAnswer = { readonly length: number; readonly sha256?: string } | { readonly failure: string };

/** `bytes` lie in the job's room. */
export interface ZstdResult {
  readonly bytes: Buffer;
  readonly sha256: string | undefined;
}

interface Waiting {
  readonly job: ZstdJob;
  readonly resolve: (result: ZstdResult) => void;
  readonly reject: (error: unknown) => void;
}
interface Running extends Waiting {
  /** In shared memory. */
  readonly bytes: Uint8Array;
  readonly room: Buffer;
}
interface Thread {
  readonly worker: Worker;
  /** Handed over and not answered, in order. */
  readonly jobs: Running[];
}

/** More would wait for the one thread that reads, cuts and writes. */
const MAX_THREADS = 6;
/** One at work and one at hand, so that a thread does not wait for this one. */
const JOBS_PER_THREAD = 2;
/** A job is a message: little garbage. */
const THREAD_HEAP = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 };

/** Threads for zstd, as many as there are cores, started as they are needed, kept for the life of the process. */
export function createZstdThreads(file: URL) {
  const maxThreads = Math.min(availableParallelism(), MAX_THREADS);
  const threads: Thread[] = [];
  const queue: Waiting[] = [];
  const rooms = createSharedRooms();

  function start(): Thread {
    const worker = new Worker(file, { resourceLimits: THREAD_HEAP });
    const thread: Thread = { worker, jobs: [] };
    // Node waits for a thread at the end of the process: only while it works.
    worker.unref();
    worker.on('message', (answer: ZstdAnswer) => {
      const { job, bytes, room, resolve, reject } = thread.jobs.shift()!;
      if (thread.jobs.length === 0) worker.unref();
      if (bytes !== job.bytes) rooms.giveBack(bytes);
      if ('length' in answer) resolve({ bytes: room.subarray(0, answer.length), sha256: answer.sha256 });
      else {
        rooms.giveBack(room);
        reject(new Error(answer.failure));
      }
      handOut();
    });
    const gone = (error: Error) => {
      const at = threads.indexOf(thread);
      if (at >= 0) threads.splice(at, 1);
      for (const { reject } of thread.jobs.splice(0)) reject(noThread(error));
      handOut();
    };
    worker.on('error', gone);
    worker.on('exit', (code) => gone(new Error(`a thread for zstd ended with code ${code}`)));
    threads.push(thread);
    return thread;
  }

  /** Throws where not one can be had. */
  function idlest(): Thread {
    let found: Thread | undefined;
    for (const thread of threads) if (!found || thread.jobs.length < found.jobs.length) found = thread;
    if (found && (found.jobs.length === 0 || threads.length >= maxThreads)) return found;
    try {
      return start();
    } catch (error) {
      if (found === undefined) throw error;
      return found; // as many as the system gives
    }
  }

  function handOut(): void {
    while (queue.length > 0) {
      const waiting = queue[0]!;
      const { job, reject } = waiting;
      try {
        const thread = idlest();
        if (thread.jobs.length >= JOBS_PER_THREAD) return;
        queue.shift();
        const running = { ...waiting, bytes: share(job.bytes), room: job.room ?? rooms.take(job.maxBytes) };
        const { bytes, room } = running;
        const { kind, level, hashed } = job;
        thread.worker.postMessage({ kind, level, hashed, bytes, room } satisfies ZstdOrder);
        thread.jobs.push(running);
        thread.worker.ref();
      } catch (error) {
        // No memory, no thread. It must take no place among the jobs: answers, and rooms, would be those of others.
        if (queue[0] === waiting) queue.shift();
        reject(noThread(error));
      }
    }
  }

  function share(bytes: Uint8Array): Uint8Array {
    return bytes.buffer instanceof SharedArrayBuffer ? bytes : copyShared(rooms.take(bytes.length), bytes);
  }

  return {
    /**
     * Has a job done in one of the threads. Its bytes must stay untouched until the answer; those in shared
     * memory are not copied.
     */
    run: (job: ZstdJob): Promise<ZstdResult> =>
      new Promise((resolve, reject) => {
        queue.push({ job, resolve, reject });
        handOut();
      }),
    /** The memory of a result, which nobody reads any more. */
    giveBack: rooms.giveBack,
    /** Starts all threads now: each takes some 60 ms, which its first job need not wait for. */
    startAll(): void {
      try {
        while (threads.length < maxThreads) start();
      } catch {} // as many as the system gives: a job that finds none says so
    },
  };
}

/** Unlike a thread's own answer, this says nothing about the job's bytes. */
function noThread(cause: unknown): DguardError {
  return new DguardError('internal', `no thread for zstd: ${errorText(cause)}`, {
    operation: 'zstd',
    hint: 'look at what limits this process (memory, number of threads: ulimit -u, pids.max) and try again',
    cause,
  });
}

let shared: ReturnType<typeof createZstdThreads> | undefined;

/** The process's threads; undefined where the code runs as TypeScript. */
export function zstdThreads(): ReturnType<typeof createZstdThreads> | undefined {
  const file = threadFile('archive/codecs/zstd-thread');
  if (file) shared ??= createZstdThreads(file);
  return shared;
}
