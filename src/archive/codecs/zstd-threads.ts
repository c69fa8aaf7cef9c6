import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { threadFile } from '../../threads.ts';

/** `bytes`: a block to compress, or a frame to decompress (`hash`: and to hash what it holds). */
export type ZstdJob =
  | { readonly kind: 'compress'; readonly bytes: Uint8Array; readonly level: number }
  | { readonly kind: 'decompress' | 'hash'; readonly bytes: Uint8Array; readonly maxBytes: number };

/** `bytes` lie in the thread's own memory. */
export type ZstdAnswer =
  | { readonly bytes: Uint8Array; readonly sha256?: string }
  | { readonly failure: string };

/** Must read what it needs of an answer before it returns: the memory is used again. */
type Take = (answer: { readonly bytes: Uint8Array; readonly sha256?: string }) => void;

interface Waiting {
  readonly job: ZstdJob;
  readonly take: Take;
  readonly reject: (error: unknown) => void;
}
interface Thread {
  readonly worker: Worker;
  /** Handed over and not answered, in order. */
  readonly jobs: Waiting[];
  /** Shared memory for the jobs' bytes, used in turn. */
  readonly rooms: Uint8Array[];
  handed: number;
}

/** More would wait for the one thread that reads, cuts and writes. */
const MAX_THREADS = 6;
/** One at work and one at hand, so that a thread does not wait for this one. */
export const JOBS_PER_THREAD = 2;
/** A job is a message: little garbage. */
const THREAD_HEAP = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 };

/** Threads for zstd, as many as there are cores, started as they are needed, kept for the life of the process. */
export function createZstdThreads(file: URL) {
  const maxThreads = Math.min(availableParallelism(), MAX_THREADS);
  const threads: Thread[] = [];
  const queue: Waiting[] = [];

  function start(): Thread {
    const worker = new Worker(file, { resourceLimits: THREAD_HEAP });
    const thread: Thread = { worker, jobs: [], rooms: [], handed: 0 };
    // Node waits for a thread at the end of the process: only while it works.
    worker.unref();
    worker.on('message', (answer: ZstdAnswer) => {
      const { take, reject } = thread.jobs.shift()!;
      if (thread.jobs.length === 0) worker.unref();
      if ('bytes' in answer) take(answer);
      else reject(new Error(answer.failure));
      handOut();
    });
    const gone = (error: Error) => {
      const at = threads.indexOf(thread);
      if (at >= 0) threads.splice(at, 1);
      for (const { reject } of thread.jobs.splice(0)) reject(error);
      handOut();
    };
    worker.on('error', gone);
    worker.on('exit', (code) => gone(new Error(`a thread for zstd ended with code ${code}`)));
    threads.push(thread);
    return thread;
  }

  function idlest(): Thread | undefined {
    let found: Thread | undefined;
    for (const thread of threads) if (!found || thread.jobs.length < found.jobs.length) found = thread;
    return (!found || found.jobs.length > 0) && threads.length < maxThreads ? start() : found;
  }

  function handOut(): void {
    while (queue.length > 0) {
      const thread = idlest();
      if (thread === undefined || thread.jobs.length >= JOBS_PER_THREAD) return;
      const waiting = queue.shift()!;
      try {
        thread.worker.postMessage({ ...waiting.job, bytes: share(thread, waiting.job.bytes) });
      } catch (error) {
        // No memory. It must take no place among the jobs: answers, and rooms, would be those of others.
        waiting.reject(error);
        continue;
      }
      thread.handed++;
      thread.jobs.push(waiting);
      thread.worker.ref();
    }
  }

  /**
   * Has a job done in one of the threads. Its bytes must stay untouched until the answer; those in shared
   * memory are not copied.
   */
  return <T>(
    job: ZstdJob,
    read: (answer: { readonly bytes: Uint8Array; readonly sha256?: string }) => T,
  ): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      queue.push({ job, take: (answer) => resolve(read(answer)), reject });
      handOut();
    });
}

function share(thread: Thread, bytes: Uint8Array): Uint8Array {
  if (bytes.buffer instanceof SharedArrayBuffer) return bytes;
  const slot = thread.handed % JOBS_PER_THREAD;
  const room = roomIn(thread.rooms, slot, bytes.length);
  room.set(bytes);
  return room;
}

/** `bytes` of the shared memory of a slot, which grows in large steps: what it outgrows is garbage. */
export function roomIn(rooms: Uint8Array[], slot: number, bytes: number): Uint8Array {
  const STEP = 4.5 * 1024 * 1024;
  if ((rooms[slot]?.length ?? 0) < bytes)
    rooms[slot] = new Uint8Array(new SharedArrayBuffer(Math.ceil(bytes / STEP) * STEP));
  return rooms[slot]!.subarray(0, bytes);
}

let shared: ReturnType<typeof createZstdThreads> | undefined;

/** The process's threads; undefined where the code runs as TypeScript. */
export function zstdThreads(): ReturnType<typeof createZstdThreads> | undefined {
  const file = threadFile('archive/codecs/zstd-thread');
  if (file) shared ??= createZstdThreads(file);
  return shared;
}
