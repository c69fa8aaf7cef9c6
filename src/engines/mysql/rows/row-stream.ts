import type { Connection, Query } from 'mysql2';
import type { BufferPool } from './buffers.ts';

/** Turns rows into bytes of a dump, which it hands on in chunks. */
export interface RowEncoder {
  /**
   * One row of the server's text protocol: every value as its length and its bytes, in `bytes[from…to)`, which
   * are valid during the call.
   * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html
   */
  row(bytes: Buffer, from: number, to: number): void;
  /** Hands on what is left. */
  end(): void;
}

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
  const encoder = makeEncoder((chunk) => {
    chunks.push(chunk);
    waitingBytes += chunk.length;
    if (waitingBytes > maxBytes && !paused) {
      paused = true;
      client.pause();
    }
    wake();
  });
  const sent = new Promise<void>((resolve) => {
    const stop = () => end(new Error('the connection was closed'));
    const end = (error: unknown) => {
      if (ended) return;
      gone.removeEventListener('abort', stop);
      failure = error ?? undefined;
      if (failure === undefined) encoder.end();
      ended = true;
      resolve();
      wake();
    };
    takeRows(client.query({ sql }, end), encoder);
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
            client.resume();
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

interface RowPacket {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
  isEOF(): boolean;
}

/** The driver asks the command itself what to do with a row: the one place that it leaves open. */
function takeRows(command: Query, encoder: RowEncoder): void {
  const hooked = command as unknown as { row(packet: RowPacket, connection: unknown): unknown };
  const last = hooked.row;
  hooked.row = function row(this: unknown, packet, connection): unknown {
    if (packet.isEOF()) return last.call(this, packet, connection);
    encoder.row(packet.buffer, packet.offset, packet.end);
    return row;
  };
}
