import type { Storage, StoredObject } from '../../src/storages/types.ts';

/** The bytes as a body, in chunks of `size`. */
export async function* chunked(bytes: Buffer, size = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A body that breaks after so many bytes. */
export async function* failing(afterBytes: number, error: Error): AsyncGenerator<Buffer> {
  yield Buffer.alloc(afterBytes);
  throw error;
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** All that a listing gives, in its order. */
export async function listed(
  storage: Storage,
  prefix: string,
  options: { signal?: AbortSignal } = {},
): Promise<StoredObject[]> {
  const all: StoredObject[] = [];
  for await (const object of storage.list(prefix, options)) all.push(object);
  return all;
}
