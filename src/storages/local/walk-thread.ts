import { parentPort, workerData } from 'node:worker_threads';
import { errnoOf, errorText } from '../../errors.ts';
import { walkObjects } from './walk.ts';
import type { WalkedMessage, WalkRest } from './walk-ahead.ts';

/** Runs in a thread of its own: see `walkBatches`. */

const OBJECTS = 500;
const { root, prefix, after } = workerData as WalkRest;
const send = (message: WalkedMessage) => parentPort!.postMessage(message);

let keys: string[] = [];
let sizes: number[] = [];
let times: number[] = [];
try {
  for (const object of walkObjects(root, prefix, after)) {
    if (!object) continue;
    keys.push(object.key);
    sizes.push(object.sizeBytes);
    times.push(object.modifiedAt.getTime());
    if (keys.length === OBJECTS) flush();
  }
  flush();
  send({ kind: 'end' });
} catch (error) {
  send({ kind: 'error', message: errorText(error), errno: errnoOf(error) });
}

function flush(): void {
  send({ kind: 'objects', keys, sizes, times });
  keys = [];
  sizes = [];
  times = [];
}
