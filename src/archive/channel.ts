interface Chunk {
  readonly bytes: Uint8Array;
  readonly released: () => void;
}
const NOTHING: Chunk = { bytes: new Uint8Array(), released: () => {} };

/** A bounded queue between a producer that waits for room and a consumer that iterates. */
export function createChannel(limitBytes: number) {
  const queue: Chunk[] = [];
  let reading: Chunk = NOTHING;
  let queued = 0;
  let taken = 0;
  let ended = false;
  let closed = false;
  let failure: unknown;
  let wakeReader: (() => void) | undefined;
  let wakeWriter: (() => void) | undefined;
  const signalReader = () => {
    wakeReader?.();
    wakeReader = undefined;
  };
  const signalWriter = () => {
    wakeWriter?.();
    wakeWriter = undefined;
  };

  /** Nobody reads what lies here any more, nor what was read last. */
  const releaseAll = () => {
    for (const { released } of [reading, ...queue.splice(0)]) released();
    reading = NOTHING;
  };

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        reading.released();
        reading = NOTHING;
        if (failure !== undefined) throw failure;
        const next = queue.shift();
        if (next) {
          queued -= next.bytes.length;
          taken += next.bytes.length;
          reading = next;
          signalWriter();
          yield next.bytes;
        } else if (ended) return;
        else
          await new Promise<void>((resolve) => {
            wakeReader = resolve;
          });
      }
    } finally {
      closed = true;
      releaseAll();
      signalWriter();
    }
  }

  return {
    items: read(),
    /** Bytes that were read so far. */
    taken: () => taken,
    /**
     * Undefined where there is room; else a promise that resolves when there is. `released` is called when the
     * reader asks for what comes next, or reads no more.
     */
    push(bytes: Uint8Array, released: () => void): Promise<void> | undefined {
      if (closed) {
        released();
        return undefined;
      }
      queue.push({ bytes, released });
      queued += bytes.length;
      signalReader();
      if (queued <= limitBytes) return undefined;
      return new Promise((resolve) => {
        wakeWriter = resolve;
      });
    },
    end() {
      ended = true;
      signalReader();
    },
    fail(reason: unknown) {
      failure = reason;
      closed = true;
      releaseAll();
      signalReader();
      signalWriter();
    },
    close() {
      closed = true;
      releaseAll();
      signalWriter();
    },
  };
}
