/** What is written to a child's stdin, and how that ended. */
export interface Input {
  readonly ended: Promise<void>;
  /** Good to ask once the child is gone: it closed its stdin, or ended, before it had read everything. */
  cutShort(): boolean;
  /** What the source of the input threw. */
  failure(): unknown;
}

/** Writes the input; that the child no longer reads is no error here: its own end tells why. */
export function feedInput(
  stdin: NodeJS.WritableStream,
  source: AsyncIterable<Uint8Array>,
  stop: () => void,
): Input {
  let cutShort = false;
  let failure: unknown;
  const onCutShort = () => {
    cutShort = true;
  };
  const ended = writeAll(stdin, source, onCutShort).catch((error: unknown) => {
    failure = error;
    stop();
    (stdin as NodeJS.WritableStream & { destroy(): void }).destroy();
  });
  return { ended, cutShort: () => cutShort, failure: () => failure };
}

async function writeAll(
  stdin: NodeJS.WritableStream,
  source: AsyncIterable<Uint8Array>,
  onCutShort: () => void,
): Promise<void> {
  let closed = false;
  let onDrain = () => {};
  let onClosed = () => {};
  const close = () => {
    closed = true;
    onClosed();
  };
  stdin
    .on('error', close)
    .on('close', close)
    .on('drain', () => onDrain());
  const iterator = source[Symbol.asyncIterator]();
  for (;;) {
    // The child may go away while the input has nothing to say.
    const next = await new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
      onClosed = () => resolve(undefined);
      if (closed) resolve(undefined);
      else iterator.next().then(resolve, reject);
    });
    if (next === undefined || closed) break;
    if (next.done) return await closeInput(stdin, onCutShort);
    if (stdin.write(next.value)) continue;
    await new Promise<void>((resolve) => {
      onDrain = resolve;
      onClosed = resolve;
      if (closed) resolve();
    });
  }
  onCutShort();
  // Not awaited: a generator that waits for something ends only after that.
  iterator.return?.().then(undefined, () => {});
}

/** Closes stdin; a child that goes away with input left unread breaks the pipe even now. */
function closeInput(stdin: NodeJS.WritableStream, onCutShort: () => void): Promise<void> {
  return new Promise((resolve) => {
    stdin.once('error', () => {
      onCutShort();
      resolve();
    });
    stdin.once('close', resolve);
    stdin.end(resolve);
  });
}
