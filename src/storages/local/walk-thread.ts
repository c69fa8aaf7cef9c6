import { parentPort, workerData } from 'node:worker_threads';
import { errnoOf, errorText } from '../../errors.ts';
import { readSmall } from './open.ts';
import { walkObjects } from './walk.ts';
import type { WalkedMessage, WalkRest } from './walk-ahead.ts';

/** Runs in a thread of its own: see `walkBatches`. */

const OBJECTS = 500;
const { root, prefix, after, readNext } = workerData as WalkRest;
const send = (message: WalkedMessage, transfer: ArrayBuffer[] = []) =>
  parentPort!.postMessage(message, transfer);

let keys: string[] = [];
let sizes: number[] = [];
let times: number[] = [];
let read: { at: number; end: number }[] = [];
let chunks: Buffer[] = [];
let end = 0;
const links: string[] = [];
try {
  for (const object of walkObjects(root, prefix, after, (key) => links.push(key))) {
    if (!object) continue;
    const { key } = object;
    const bytes =
      readNext !== undefined && key.endsWith(`/${readNext}`) ? readSmall(`${root}/${key}`) : undefined;
    if (bytes) {
      end += bytes.length;
      read.push({ at: keys.length, end });
      chunks.push(bytes);
    }
    keys.push(key);
    sizes.push(object.sizeBytes);
    times.push(object.modifiedAt.getTime());
    if (keys.length === OBJECTS) flush();
  }
  flush();
  send({ kind: 'end', links });
} catch (error) {
  send({ kind: 'error', message: errorText(error), errno: errnoOf(error) });
}

function flush(): void {
  const bytes = new Uint8Array(end);
  let filled = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  send({ kind: 'objects', keys, sizes, times, bytes, read }, [bytes.buffer]);
  keys = [];
  sizes = [];
  times = [];
  read = [];
  chunks = [];
  end = 0;
}
