/** One unit of what is read ahead: bytes that stay valid. */
export interface ReadAhead {
  /** Begins to read, if it has not begun. */
  start(): void;
  /** The chunks, once. */
  chunks(): AsyncGenerator<Uint8Array>;
  /** Stops reading. */
  stop(): Promise<void>;
}

/**
 * Reads a source ahead of who consumes it, at most `maxBytes` and one chunk. An error of the source comes out
 * where the bytes end.
 */
export function readAhead(source: () => AsyncGenerator<Uint8Array>, maxBytes: number): ReadAhead {
  const queue: Uint8Array[] = [];
  let queuedBytes = 0;
  let ended = false;
  let failure: unknown;
  let stopped = false;
  let running: Promise<void> | undefined;
  let wakeReader = () => {};
  let wakeConsumer = () => {};

  async function run(): Promise<void> {
    const chunks = source();
    try {
      for await (const chunk of chunks) {
        if (stopped) break;
        queue.push(chunk);
        queuedBytes += chunk.length;
        wakeConsumer();
        while (queuedBytes >= maxBytes && !stopped) {
          await new Promise<void>((resolve) => {
            wakeReader = resolve;
          });
        }
        if (stopped) break;
      }
    } catch (error) {
      failure = error ?? new Error('unknown');
    } finally {
      ended = true;
      wakeConsumer();
    }
  }
  const start = () => {
    running ??= run();
  };
  return {
    start,
    async *chunks() {
      start();
      for (;;) {
        const chunk = queue.shift();
        if (chunk !== undefined) {
          // Until it is done with: of very large ones not two are there at once.
          yield chunk;
          queuedBytes -= chunk.length;
          wakeReader();
        } else if (failure !== undefined) throw failure;
        else if (ended) return;
        else {
          await new Promise<void>((resolve) => {
            wakeConsumer = resolve;
          });
        }
      }
    },
    async stop() {
      stopped = true;
      wakeReader();
      await running;
    },
  };
}
