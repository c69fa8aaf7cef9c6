import { setImmediate } from 'node:timers/promises';
import { throwIfAborted } from '../../errors.ts';
import { threadFile } from '../../threads.ts';
import type { ListOptions, StoredObject } from '../types.ts';
import { walkObjects } from './walk.ts';

/** What a listing looks for. */
export interface Walk extends ListOptions {
  readonly root: string;
  readonly prefix: string;
  /** Told of the key of each link that is passed over, maybe more than once. */
  readonly onLink?: (key: string) => void;
}

/** What is left of a walk, for the thread: everything after this key. */
export interface WalkRest {
  readonly root: string;
  readonly prefix: string;
  readonly after: string;
  readonly readNext: string | undefined;
}

/** What the thread says. Objects come as columns, which are quick to hand over. */
export type WalkedMessage =
  | {
      readonly kind: 'objects';
      readonly keys: readonly string[];
      readonly sizes: readonly number[];
      readonly times: readonly number[];
      /** What was read ahead, one behind the other, and whose it is: the index of its key, and where it ends. */
      readonly bytes: Uint8Array;
      readonly read: readonly { readonly at: number; readonly end: number }[];
    }
  | { readonly kind: 'end'; readonly links: readonly string[] }
  | { readonly kind: 'error'; readonly message: string; readonly errno: string | undefined };

/** Entries between two turns of the event loop: a few milliseconds of work. */
const ENTRIES_PER_TURN = 1000;
/** So many turns, and it is worth to start a thread: 30 ms. */
const TURNS_HERE = 2;

/**
 * The objects of `walkObjects`, several at a time. Of a large destination a thread walks ahead, and reads what is
 * read next, while the caller looks at what it was given; where there can be none, the walk goes on here, in turns
 * with other work. Throws the signal's reason soon after its abort, whether there are objects or not.
 */
export async function* walkBatches(
  walk: Walk,
  thread = threadFile('storages/local/walk-thread'),
): AsyncGenerator<readonly StoredObject[], void, undefined> {
  const { root, prefix, readNext, signal, onLink = () => {} } = walk;
  yield* walkInTurns({ root, prefix, after: '', readNext }, thread, signal, onLink);
}

async function* walkInTurns(
  rest: WalkRest,
  thread: URL | undefined,
  signal: AbortSignal | undefined,
  onLink: (key: string) => void,
): AsyncGenerator<readonly StoredObject[], void, undefined> {
  let batch: StoredObject[] = [];
  let entries = 0;
  for (const object of walkObjects(rest.root, rest.prefix, rest.after, onLink)) {
    if (object) batch.push(object);
    if (++entries % ENTRIES_PER_TURN !== 0) continue;
    const after = batch.at(-1)?.key;
    yield batch;
    if (thread && after !== undefined && entries >= TURNS_HERE * ENTRIES_PER_TURN)
      return yield* walkInThread({ ...rest, after }, thread, signal, onLink);
    batch = [];
    await setImmediate();
    if (signal) throwIfAborted(signal);
  }
  yield batch;
}

async function* walkInThread(
  rest: WalkRest,
  file: URL,
  signal: AbortSignal | undefined,
  onLink: (key: string) => void,
): AsyncGenerator<readonly StoredObject[], void, undefined> {
  const { Worker } = await import('node:worker_threads');
  const messages: WalkedMessage[] = [];
  let isGone = false;
  let wake = () => {};
  const thread = new Worker(file, { workerData: rest });
  thread.on('message', (message: WalkedMessage) => {
    messages.push(message);
    wake();
  });
  const gone = () => {
    isGone = true;
    wake();
  };
  thread.on('error', gone);
  thread.on('exit', gone);
  const aborted = () => wake();
  signal?.addEventListener('abort', aborted);
  let { after } = rest;
  try {
    for (;;) {
      if (signal) throwIfAborted(signal);
      const message = messages.shift();
      if (message?.kind === 'end') return message.links.forEach(onLink);
      if (message?.kind === 'error') throw Object.assign(new Error(message.message), { code: message.errno });
      if (message) {
        yield objectsOf(message);
        after = message.keys.at(-1) ?? after;
        await setImmediate(); // signals, and what the thread has said meanwhile
      } else if (isGone) break;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    signal?.removeEventListener('abort', aborted);
    await thread.terminate();
  }
  // The system refused it, or ended it.
  yield* walkInTurns({ ...rest, after }, undefined, signal, onLink);
}

function objectsOf(message: WalkedMessage & { readonly kind: 'objects' }): StoredObject[] {
  const { keys, sizes, times, bytes, read } = message;
  const objects: StoredObject[] = keys.map((key, i) => ({
    key,
    sizeBytes: sizes[i]!,
    modifiedAt: new Date(times[i]!),
  }));
  let start = 0;
  for (const { at, end } of read) {
    objects[at] = { ...objects[at]!, bytes: bytes.subarray(start, end) };
    start = end;
  }
  return objects;
}
