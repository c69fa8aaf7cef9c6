import { DguardError, throwIfAborted, unlessAborted } from '../errors.ts';

/**
 * The chunks of a put's body. Ends at once when `signal` aborts, even while the body hangs, and holds the
 * body to its announced length. Throws the body's own error unchanged, the abort's error, or
 * `storage_failed` for a body of another length than `sizeBytes`.
 */
export async function* bodyChunks(
  body: AsyncIterable<Uint8Array>,
  key: string,
  options: { sizeBytes?: number; signal?: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { sizeBytes, signal } = options;
  const iterator = body[Symbol.asyncIterator]();
  let received = 0;
  let ended = false;
  try {
    while (true) {
      const step = await nextOrAbort(iterator, signal);
      ended = step.done === true;
      if (step.done) break;
      received += step.value.byteLength;
      if (sizeBytes !== undefined && received > sizeBytes) throw wrongSize(key, sizeBytes, `more than that`);
      yield step.value;
    }
    if (sizeBytes !== undefined && received !== sizeBytes) throw wrongSize(key, sizeBytes, String(received));
  } finally {
    // Not awaited: a generator that hangs in next() answers return() only after it.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

function nextOrAbort(
  iterator: AsyncIterator<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<Uint8Array>> {
  if (signal === undefined) return iterator.next();
  throwIfAborted(signal);
  return unlessAborted(signal, iterator.next());
}

function wrongSize(key: string, announced: number, came: string): DguardError {
  return new DguardError('storage_failed', `${key}: ${announced} bytes were announced, ${came} came`, {
    operation: 'put',
    subject: key,
  });
}
