import type { Socket } from 'node:net';
import type { Connection } from 'mysql2';
import type { BufferPool } from './buffers.ts';
import { type RowEncoder, takePackets } from './row-packets.ts';

/** Rows on their way, as the encoder's chunks. */
export interface RowStream {
  /** To the last row, each chunk valid until the next is asked for. Throws the driver's errors. Called once. */
  read(): AsyncGenerator<Buffer>;
  /** The server has sent everything, or failed: the connection is free again. Never rejects. */
  readonly sent: Promise<void>;
}

export interface RowStreamOptions {
  readonly maxBytes: number;
  /** We closed the connection ourselves, of which the driver tells nobody. */
  readonly gone: AbortSignal;
  /** Where chunks go once the next one is asked for. */
  readonly pool: BufferPool;
}

/**
 * Sends a query at once and encodes its rows as they come; holds the server up while more than `maxBytes` wait
 * to be read. The driver's own rows, a string for each value, are several times slower.
 */
export function streamRows(
  client: Connection,
  sql: string,
  makeEncoder: (emit: (chunk: Buffer) => void) => RowEncoder,
  { maxBytes, gone, pool }: RowStreamOptions,
): RowStream {
  const chunks: Buffer[] = [];
  let waitingBytes = 0;
  let ended = false;
  let failure: unknown;
  let paused = false;
  let wake = () => {};
  // Not the driver's own pause: rows that it has in hand would come after those that pass it by.
  const socket = (client as unknown as { readonly stream: Socket }).stream;
  const encoder = makeEncoder((chunk) => {
    chunks.push(chunk);
    waitingBytes += chunk.length;
    if (waitingBytes > maxBytes && !paused) {
      paused = true;
      socket.pause();
    }
    wake();
  });
  const sent = new Promise<void>((resolve) => {
    let giveBack = () => {};
    const stop = () => end(new Error('the connection was closed'));
    const end = (error: unknown) => {
      if (ended) return;
      gone.removeEventListener('abort', stop);
      giveBack();
      failure = error ?? undefined;
      if (failure === undefined) encoder.end();
      ended = true;
      resolve();
      wake();
    };
    giveBack = takePackets(client, client.query({ sql }, end), encoder, (error) => {
      end(error);
      // The rows that still come are nobody's.
      socket.destroy();
    });
    if (gone.aborted) stop();
    else gone.addEventListener('abort', stop, { once: true });
  });
  return {
    sent,
    async *read() {
      for (;;) {
        const chunk = chunks.shift();
        if (chunk !== undefined) {
          waitingBytes -= chunk.length;
          if (paused && waitingBytes <= maxBytes / 2) {
            paused = false;
            socket.resume();
          }
          yield chunk;
          pool.give(chunk);
        } else if (failure !== undefined) throw failure;
        else if (ended) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}
