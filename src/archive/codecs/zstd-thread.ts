import { hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { errorText } from '../../errors.ts';
import { loadZstdContexts } from '../../native.ts';
import { createZstd } from './zstd-context.ts';
import { JOBS_PER_THREAD, roomIn, type ZstdAnswer, type ZstdJob } from './zstd-threads.ts';

/** Runs in a thread of its own: does one job after the other. See `zstd-threads.ts`. */

const port = parentPort!;
const zstd = createZstd(loadZstdContexts()!);
/** What a job's answer lies in is used again when as many more jobs were asked for: by then it was read. */
const rooms: Uint8Array[] = [];
let done = 0;

port.on('message', (job: ZstdJob) => {
  let answer: ZstdAnswer;
  try {
    const { bytes } = job;
    if (job.kind === 'compress') {
      const room = roomFor(zstd.bound(bytes.length));
      answer = { bytes: room.subarray(0, zstd.compress(room, bytes, job.level)) };
    } else {
      const room = roomFor(job.maxBytes);
      const plain = room.subarray(0, zstd.decompress(room, bytes));
      answer = { bytes: plain, ...(job.kind === 'hash' ? { sha256: hash('sha256', plain, 'hex') } : {}) };
    }
  } catch (error) {
    answer = { failure: errorText(error) };
  }
  port.postMessage(answer);
});

function roomFor(bytes: number): Uint8Array {
  return roomIn(rooms, done++ % JOBS_PER_THREAD, bytes);
}
