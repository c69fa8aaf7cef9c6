import { hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { errorText } from '../../errors.ts';
import { loadZstdContexts } from '../../native.ts';
import { createZstd } from './zstd-context.ts';
import type { ZstdAnswer, ZstdOrder } from './zstd-threads.ts';

/** Runs in a thread of its own: does one job after the other. See `zstd-threads.ts`. */

const port = parentPort!;
const zstd = createZstd(loadZstdContexts()!);

port.on('message', (order: ZstdOrder) => port.postMessage(answer(order)));

function answer({ kind, bytes, room, level }: ZstdOrder): ZstdAnswer {
  try {
    if (kind === 'compress') return { length: zstd.compress(room, bytes, level) };
    const length = zstd.decompress(room, bytes);
    return { length, sha256: hash('sha256', room.subarray(0, length), 'hex') };
  } catch (error) {
    return { failure: errorText(error) };
  }
}
