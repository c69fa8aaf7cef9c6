import { createHash } from 'node:crypto';
import { abortError, DguardError, toDguardError } from '../errors.ts';
import type { Storage } from '../storages/types.ts';
import { createChannel } from './channel.ts';

/** One destination of a run, and where in it the backup goes. */
export interface Target {
  readonly name: string;
  readonly storage: Storage;
  /** The backup's folder: a key without a trailing slash. */
  readonly folder: string;
}

/** What one object became. */
export interface WrittenObject {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** Bytes that wait for one slow destination before the source has to wait too. */
const QUEUE_BYTES = 2 * 1024 * 1024;
/** What an interrupted put may take to remove what it began, and any other call of an interrupted run. */
const CLEANUP_MS = 10_000;

/**
 * Feeds one pass over the source to several destinations. A destination that fails, or neither takes
 * anything nor answers for `stallMs`, is dropped, its calls aborted and no longer waited for, and reported
 * once; when none is left, writing throws the first one's error.
 */
export function createFanout(
  targets: readonly Target[],
  options: {
    signal: AbortSignal;
    stallMs: number;
    cleanupMs?: number;
    onDrop: (target: Target, error: DguardError) => void;
  },
) {
  const { cleanupMs = CLEANUP_MS } = options;
  const dropped = new Map<Target, DguardError>();
  const written: WrittenObject[] = [];
  const givenUp = new Map(targets.map((target) => [target, new AbortController()]));
  const signals = new Map(
    targets.map((target) => [target, AbortSignal.any([options.signal, givenUp.get(target)!.signal])]),
  );

  function drop(target: Target, thrown: unknown): void {
    if (dropped.has(target)) return;
    const error = toDguardError(thrown, 'storage_failed', { operation: 'write', subject: target.name });
    dropped.set(target, error);
    givenUp.get(target)?.abort(error);
    options.onDrop(target, error);
  }

  function stalled(target: Target, afterMs = options.stallMs): DguardError {
    const seconds = Math.round(afterMs / 1000);
    return new DguardError('timeout', `neither took anything nor answered for ${seconds} s`, {
      operation: 'write',
      subject: target.name,
      hint: 'check the destination; the next run writes there again',
    });
  }

  function alive(): Target[] {
    const left = targets.filter((target) => !dropped.has(target));
    if (options.signal.aborted) throw abortError(options.signal);
    if (left.length === 0)
      throw dropped.values().next().value ?? new DguardError('storage_failed', 'no destination');
    return left;
  }

  /** Begins an object; exactly one of `close` and `abort` ends it. */
  function open(name: string, sizeBytes?: number) {
    const hash = createHash('sha256');
    let size = 0;
    let aborted = false;
    const feeds = alive().map((target) => {
      const channel = createChannel(QUEUE_BYTES);
      const put = target.storage
        .put(`${target.folder}/${name}`, channel.items, {
          signal: signals.get(target)!,
          ...(sizeBytes === undefined ? {} : { sizeBytes }),
        })
        .then(
          () => undefined,
          (error: unknown) => {
            if (!aborted) drop(target, error);
            channel.close();
          },
        );
      return { target, channel, put };
    });

    function giveUp({ target, channel }: (typeof feeds)[number]): void {
      drop(target, stalled(target));
      channel.fail(dropped.get(target));
    }

    /** Waits for the end of a put for as long as it takes bytes. */
    async function settle(feed: (typeof feeds)[number]): Promise<void> {
      const { target, channel, put } = feed;
      for (let before = -1; !dropped.has(target); ) {
        const taken = channel.taken();
        if (taken === before) return giveUp(feed);
        before = taken;
        if (await within(put, options.stallMs, options.signal)) break;
      }
      if (options.signal.aborted) await within(put, cleanupMs);
    }

    return {
      /** `released` is called once no destination reads the bytes any more; calls come in the order of writes. */
      async write(bytes: Uint8Array, released?: () => void): Promise<void> {
        hash.update(bytes);
        size += bytes.length;
        let readers = feeds.length;
        const done = () => {
          if (--readers === 0) released?.();
        };
        for (const feed of feeds) {
          if (dropped.has(feed.target)) done();
          const room = dropped.has(feed.target) ? undefined : feed.channel.push(bytes, done);
          if (room && !(await within(room, options.stallMs, options.signal))) giveUp(feed);
        }
        alive();
      },
      async close(): Promise<WrittenObject> {
        for (const { channel } of feeds) channel.end();
        await Promise.all(feeds.map(settle));
        alive();
        const object = { name, size, sha256: hash.digest('hex') };
        written.push(object);
        return object;
      },
      /** Gives the object up for what no destination is to blame for: each of them stays. */
      async abort(reason: DguardError): Promise<void> {
        aborted = true;
        for (const { channel } of feeds) channel.fail(reason);
        await Promise.all(feeds.map(({ put }) => within(put, cleanupMs)));
      },
    };
  }

  return {
    open,
    /**
     * Another call to one destination: its result, or undefined where it failed or did not answer, which
     * drops the destination. An abort of the run does not end it, but then it has little time left.
     */
    async attempt<T>(target: Target, call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
      let result: T | undefined;
      const done = call(givenUp.get(target)!.signal).then(
        (value) => {
          result = value;
        },
        (error: unknown) => drop(target, error),
      );
      const { signal, stallMs } = options;
      if (!(await within(done, stallMs, signal))) drop(target, stalled(target));
      else if (signal.aborted && !(await within(done, cleanupMs))) drop(target, stalled(target, cleanupMs));
      return dropped.has(target) ? undefined : result;
    },
    /** Puts a small object whole. */
    async put(name: string, bytes: Uint8Array): Promise<WrittenObject> {
      const object = open(name, bytes.length);
      await object.write(bytes);
      return object.close();
    },
    alive,
    drop,
    dropped: dropped as ReadonlyMap<Target, DguardError>,
    /** All objects that were put whole so far. */
    written: written as readonly WrittenObject[],
  };
}

export type Fanout = ReturnType<typeof createFanout>;

/** True if `promise` resolved within the time; an abort counts as resolved (the caller looks). */
async function within(promise: Promise<void>, timeMs: number, signal?: AbortSignal): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const outcome = await Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeMs);
      onAbort = () => resolve(true);
      if (signal?.aborted) resolve(true);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  ]);
  clearTimeout(timer);
  if (onAbort) signal?.removeEventListener('abort', onAbort);
  return outcome;
}
