import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { packedItems } from '../../../archive/packed.ts';
import type { LargeContent, TreeItem } from '../../member.ts';
import type { Warning } from '../../types.ts';
import { largeContent } from './large-content.ts';
import { runFiles } from './open-limit.ts';
import type { WalkRequest } from './walk.ts';
import { createInbox } from './walk-inbox.ts';
import {
  CLOCK,
  CONTROL_BYTES,
  DONE,
  type OpenThreadData,
  type ReadThreadData,
  ROOM_BYTES,
  roomOf,
  SLOTS,
} from './walk-messages.ts';

export interface WalkerOptions {
  readonly nowMs: () => number;
  readonly warn: (warning: Warning) => void;
  readonly signal: AbortSignal;
}

/** What it makes is sent or forgotten at once: a small nursery keeps its garbage from being held. */
const THREAD_HEAP = { maxYoungGenerationSizeMb: 4 };

/** The compiled modules that the threads run. */
export interface WalkThreads {
  /** `open-thread` */
  readonly open: URL;
  /** `read-thread` */
  readonly read: URL;
}

/**
 * The entries of the sources. One thread walks and opens files, a second reads, hashes and packs the small
 * ones, while those before are cut here; everything passes from one to the next in the order of the walk. A
 * batch is valid until the next is asked for; at most `SLOTS` lie ready, and a few hundred files are open.
 * Errors: of a source itself, with its errno as `code`; `internal` where a thread broke.
 */
export async function* walkInThreads(
  request: WalkRequest,
  threads: WalkThreads,
  { nowMs, warn, signal }: WalkerOptions,
): AsyncGenerator<Iterable<TreeItem>> {
  const control = new SharedArrayBuffer(CONTROL_BYTES);
  const slots = Array.from({ length: SLOTS }, () => new SharedArrayBuffer(ROOM_BYTES));
  const counters = new Int32Array(control);
  const clock = new Float64Array(control);
  clock[CLOCK] = nowMs();
  const runs = new MessageChannel();
  const openData: OpenThreadData = { request, control, runs: runs.port1, runFiles: runFiles() };
  const readData: ReadThreadData = { control, runs: runs.port2, slots };
  const opener = startThread(threads.open, openData, runs.port1);
  const reader = startThread(threads.read, readData, runs.port2);
  const inbox = createInbox(opener, reader, counters, signal);
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
    await inbox.ended();
  }
}

/** Files are opened in one thread and closed in another: what one leaves open is not its own to close. */
function startThread(file: URL, workerData: object, runs: MessagePort): Worker {
  const own = { trackUnmanagedFds: false, resourceLimits: THREAD_HEAP };
  return new Worker(file, { workerData, transferList: [runs], ...own });
}
