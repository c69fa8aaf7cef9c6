import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { packedItems } from '../../archive/packed.ts';
import { DguardError, throwIfAborted } from '../../errors.ts';
import type { LargeContent, TreeItem } from '../member.ts';
import type { Warning } from '../types.ts';
import { largeContent } from './large-content.ts';
import type { WalkRequest } from './walk.ts';
import {
  CLOCK,
  CONTROL_BYTES,
  DONE,
  ROOM_BYTES,
  roomOf,
  SLOTS,
  STOP,
  type WalkMessage,
  type WalkThreadData,
} from './walk-messages.ts';

export interface WalkerOptions {
  readonly nowMs: () => number;
  readonly warn: (warning: Warning) => void;
  readonly signal: AbortSignal;
}

/** How long a thread has to end by itself (it may wait for a disk) before it is ended. */
const END_MS = 2_000;

/** What it makes is sent or forgotten at once: a small nursery keeps its garbage from being held. */
const THREAD_HEAP = { maxYoungGenerationSizeMb: 4 };

/**
 * The entries of the sources, walked and read in a thread of its own: runs of small files are read while
 * those before are cut and hashed here. A batch is valid until the next is asked for; at most `SLOTS` lie
 * ready. Errors: of a source itself, with its errno as `code`; `internal` where the thread broke.
 *
 * @param file the compiled `walk-thread`
 */
export async function* walkInThread(
  request: WalkRequest,
  file: URL,
  { nowMs, warn, signal }: WalkerOptions,
): AsyncGenerator<Iterable<TreeItem>> {
  const control = new SharedArrayBuffer(CONTROL_BYTES);
  const slots = Array.from({ length: SLOTS }, () => new SharedArrayBuffer(ROOM_BYTES));
  const counters = new Int32Array(control);
  const clock = new Float64Array(control);
  clock[CLOCK] = nowMs();
  const workerData: WalkThreadData = { request, control, slots };
  // Files that it opened are closed here: what it leaves open is not its own to close.
  const thread = new Worker(file, { workerData, trackUnmanagedFds: false, resourceLimits: THREAD_HEAP });
  const inbox = createInbox(thread, signal);
  let large: LargeContent | undefined;
  try {
    for (;;) {
      const message = await inbox.next();
      for (const warning of message.warnings) warn(warning);
      if (message.kind === 'end') return;
      if (message.kind === 'error') throw Object.assign(new Error(message.message), { code: message.errno });
      if (message.kind === 'run') {
        const { tar, heads, paths } = roomOf(slots[message.slot]!);
        yield packedItems({
          ...message.run,
          tar: tar.subarray(0, message.tarBytes),
          heads: heads.subarray(0, message.headsBytes),
          paths: paths.subarray(0, message.pathsBytes),
        });
      } else if (message.kind === 'large') {
        const { fd, path, before, unsure } = message.file;
        large = largeContent(fd, path, before, unsure, warn);
        yield [{ entry: message.entry, content: large }];
        large.finish();
        large = undefined;
      } else {
        const { entry, content } = message;
        yield [content === undefined ? { entry } : { entry, content }];
      }
      clock[CLOCK] = nowMs();
      Atomics.add(counters, DONE, 1);
      Atomics.notify(counters, DONE);
    }
  } finally {
    large?.finish();
    Atomics.store(counters, STOP, 1);
    Atomics.notify(counters, DONE);
    await inbox.ended();
  }
}

/** What the thread sent, in order; its end and its failure are the last of it. */
function createInbox(thread: Worker, signal: AbortSignal) {
  const messages: WalkMessage[] = [];
  let failure: Error | undefined;
  let over = false;
  let wake: (() => void) | undefined;
  const changed = () => {
    wake?.();
    wake = undefined;
  };
  thread.on('message', (message: WalkMessage) => {
    messages.push(message);
    changed();
  });
  thread.on('error', (error) => {
    failure = error;
    changed();
  });
  thread.on('exit', () => {
    over = true;
    changed();
  });
  signal.addEventListener('abort', changed);
  const change = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });

  return {
    async next(): Promise<WalkMessage> {
      for (;;) {
        throwIfAborted(signal);
        const message = messages.shift();
        if (message !== undefined) return message;
        if (failure !== undefined || over) {
          throw new DguardError('internal', 'the thread that reads the files broke', {
            operation: 'backup',
            cause: failure,
          });
        }
        await change();
      }
    },
    /** Waits for the thread's end and closes the files that nobody took over. */
    async ended(): Promise<void> {
      const timer = setTimeout(() => void thread.terminate(), END_MS);
      while (!over) await change();
      clearTimeout(timer);
      signal.removeEventListener('abort', changed);
      for (const message of messages) if (message.kind === 'large') closeSync(message.file.fd);
    },
  };
}
