import type { CallOptions, Storage, StoredObject } from './types.ts';

/** Puts a small object whose bytes are at hand. Exclusive and durable, as `put`. */
export function putBytes(
  storage: Storage,
  key: string,
  bytes: Uint8Array,
  options: CallOptions = {},
): Promise<StoredObject> {
  return storage.put(key, once(bytes), { ...options, sizeBytes: bytes.length });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
