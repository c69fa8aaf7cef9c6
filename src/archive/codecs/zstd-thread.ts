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

function answer({ kind, bytes, room, level, hashed }: ZstdOrder): ZstdAnswer {
  try {
    const compress = kind === 'compress';
    const length = compress ? zstd.compress(room, bytes, level) : zstd.decompress(room, bytes);
    if (!hashed) return { length };
    return { length, sha256: hash('sha256', compress ? bytes : room.subarray(0, length), 'hex') };
  } catch (error) {
    return { failure: errorText(error) };
  }
}
