import { closeSync, constants, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';

/** The output of a child as it is read: in large chunks, with an end. */
export interface Output {
  /** The next chunk; undefined at the end. Throws where reading itself failed. */
  take(): Promise<Uint8Array | undefined>;
  readonly ended: Promise<void>;
  /** Lets the rest run through unread, so that the child's end is seen. */
  discard(): void;
}

/** Every wake-up costs more than the copy into a larger chunk. */
export const CHUNK_BYTES = 1024 * 1024;
const QUEUE_BYTES = 4 * CHUNK_BYTES;

/** Of a stream that node made: every piece of it is memory of its own. */
export function outputOfStream(stdout: NodeJS.ReadableStream, chunkBytes: number): Output {
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let ended = false;
  let discarding = false;
  let wake = () => {};
  stdout.on('data', (chunk: Uint8Array) => {
    if (discarding) return;
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes >= QUEUE_BYTES) stdout.pause();
    if (sizeBytes >= chunkBytes) wake();
  });
  const whenEnded = endOf(stdout).then(() => {
    ended = true;
    wake();
  });
  return {
    async take() {
      while (sizeBytes < chunkBytes && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (sizeBytes === 0) return undefined;
      const taken = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes);
      chunks = [];
      sizeBytes = 0;
      stdout.resume();
      return taken;
    },
    ended: whenEnded,
    discard() {
      discarding = true;
      chunks = [];
      sizeBytes = 0;
      stdout.resume();
    },
  };
}

/** When a pipe of the child has nothing more to give; broken or not is told by the child's own end. */
export function endOf(stream: NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolve) => {
    stream
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve());
  });
}

/** Both ends of a named pipe. */
export interface OpenPipe {
  readonly reader: number;
  /** For the child; closed here once it has it, or the pipe would never end. */
  readonly writer: number;
}

/** How the output of a program that has much of it comes here faster than through a stream of node's. */
export interface WideOutput {
  readonly pipe?: OpenPipe | undefined;
  /** Beside the environment that the child has anyway. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Opens both ends of the named pipe at `path`, which is gone afterwards. Throws what the file system throws. */
export async function openPipe(path: string): Promise<OpenPipe> {
  // Not waiting for a writer. The reader that is there then lets the writer's end open at once.
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { reader, writer: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(reader);
    throw error;
  } finally {
    await rm(path, { force: true });
  }
}

/** Small enough to stay in a core's cache from the pipe to whoever hashes and copies it. */
const ROOM_BYTES = 256 * 1024;
const ROOMS = 4;
/** What a pipe holds: as much as one read of it can give. */
export const PIPE_BYTES = 64 * 1024;

/**
 * Of the reading end of a pipe, into a few rooms of memory that are used in turn: a chunk is good until the next
 * one is taken. Node's own streams make a piece of memory for each read; to collect them took a fifth of the time
 * of a dump.
 */
export function outputOfPipe(reader: number): Output {
  let filling: Buffer = Buffer.allocUnsafeSlow(ROOM_BYTES);
  const free: Buffer[] = Array.from({ length: ROOMS - 1 }, () => Buffer.allocUnsafeSlow(ROOM_BYTES));
  let filled = 0;
  const full: Buffer[] = [];
  /** How much of each of them is. */
  const lengths: number[] = [];
  let given: Buffer | undefined;
  let isEnded = false;
  let failure: Error | undefined;
  let discarding = false;
  let wake = () => {};
  // https://nodejs.org/docs/latest-v20.x/api/net.html#new-netsocketoptions; the types know it of connections alone.
  const options: SocketConstructorOpts & Pick<ConnectOpts, 'onread'> = {
    fd: reader,
    readable: true,
    writable: false,
    onread: {
      buffer: () => filling.subarray(filled),
      callback(bytes: number) {
        if (discarding) return true;
        filled += bytes;
        if (ROOM_BYTES - filled >= PIPE_BYTES) return true;
        // There is always one more: what is read next goes there, even after a pause.
        full.push(filling);
        lengths.push(filled);
        filling = free.shift()!;
        filled = 0;
        wake();
        return free.length > 0;
      },
    },
  };
  const socket = new Socket(options);
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      isEnded = true;
      wake();
      resolve();
    };
    socket
      .on('error', (error) => {
        failure = error;
      })
      .once('end', end)
      .once('close', end);
  });
  socket.resume();
  return {
    async take() {
      if (given) {
        free.push(given);
        given = undefined;
        socket.resume();
      }
      while (full.length === 0 && !isEnded) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const next = full.shift();
      if (next) {
        given = next;
        return next.subarray(0, lengths.shift());
      }
      if (failure) throw failure;
      const rest = filling.subarray(0, filled);
      filled = 0;
      return rest.length === 0 ? undefined : rest;
    },
    ended,
    discard() {
      discarding = true;
      filled = 0;
      socket.resume();
    },
  };
}
