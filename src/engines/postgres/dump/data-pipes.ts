import { constants, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { readChild } from '../../../child/read.ts';
import { errnoOf, throwIfAborted } from '../../../errors.ts';

/** A named pipe in the place of a file that a program is going to read once, from its begin to its end. */
export interface DataPipe {
  readonly path: string;
  /** What is written into it, once; each chunk is good until the next is asked for. */
  data(): AsyncIterable<Uint8Array>;
}

/** How often is looked whether somebody waits at another pipe: nothing tells. */
const LOOK_MS = 15;
const PATHS_AT_ONCE = 100;

/** Makes named pipes by mkfifo(1); false where that cannot be (no such program, a disk that holds none): then there are none. */
export async function makePipes(
  paths: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    for (let at = 0; at < paths.length; at += PATHS_AT_ONCE) {
      const some = paths.slice(at, at + PATHS_AT_ONCE);
      await readChild(['mkfifo', '-m', '600', ...some], { env, signal, maxBytes: 1000 });
    }
    return true;
  } catch {
    throwIfAborted(signal);
    for (const path of paths) await rm(path, { force: true });
    return false;
  }
}

/**
 * Writes into each pipe once its reader opens it, into no more than `readers` at a time, until `gone` settles:
 * the reader's end. When the data of one fail, or it cannot be opened, `stop` ends the reader before a pipe is
 * closed, as it would take the end of the pipe for the end of the data; the error is thrown.
 */
export async function feedPipes(
  pipes: readonly DataPipe[],
  reader: { readonly readers: number; readonly gone: Promise<unknown>; stop(error: unknown): void },
): Promise<void> {
  let isGone = false;
  let wake = () => {};
  /** Until something ends, or for so long. No race with `gone`, which would keep each of them. */
  const pause = (ms?: number) =>
    new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const end = () => {
    isGone = true;
    wake();
  };
  const gone = reader.gone.then(end, end);
  let failure: { readonly error: unknown } | undefined;
  const failed = async (error: unknown) => {
    failure ??= { error };
    reader.stop(error);
    await gone;
  };
  const waiting = new Set(pipes);
  const fed = new Set<Promise<void>>();
  const feedAll = async () => {
    while (!isGone && waiting.size > 0) {
      for (const pipe of waiting) {
        if (fed.size >= reader.readers) break;
        const descriptor = openIfRead(pipe.path);
        if (descriptor === undefined) continue;
        waiting.delete(pipe);
        const feeding = feed(pipe, descriptor, failed).finally(() => {
          fed.delete(feeding);
          wake();
        });
        fed.add(feeding);
      }
      await pause(fed.size >= reader.readers ? undefined : LOOK_MS);
    }
  };
  // A reader that waits at a pipe which nobody opens would wait for ever.
  await feedAll().catch(failed);
  await Promise.all(fed);
  await gone;
  if (failure) throw failure.error;
}

/** A descriptor to write to a pipe with, or undefined while nobody has it open to read. */
function openIfRead(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENXIO') return undefined;
    throw error;
  }
}

async function feed(
  pipe: DataPipe,
  descriptor: number,
  failed: (error: unknown) => Promise<void>,
): Promise<void> {
  const socket = new Socket({ fd: descriptor, readable: false, writable: true });
  let closed = false;
  let wake = () => {};
  const close = () => {
    closed = true;
    wake();
  };
  socket.on('error', close).on('close', close);
  const until = (begin?: () => void) =>
    new Promise<void>((resolve) => {
      wake = resolve;
      begin?.();
    });
  try {
    for await (const chunk of pipe.data()) {
      // Until it is all in the pipe: the next one comes in the same memory.
      if (!closed) await until(() => socket.write(chunk, () => wake()));
      // The reader's own end tells why.
      if (closed) return;
    }
    socket.end();
    while (!closed) await until();
  } catch (error) {
    await failed(error);
  } finally {
    socket.destroy();
  }
}
