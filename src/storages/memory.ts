import { DguardError, throwIfAborted } from '../errors.ts';
import { bodyChunks } from './body.ts';
import { assertKey, assertPrefix } from './key.ts';
import { byteRange } from './range.ts';
import type { CallOptions, GetOptions, PutOptions, Storage, StoredObject } from './types.ts';

export interface MemoryOptions {
  /** The storage's own clock. Without one every put is one second later than the one before. */
  now?: () => Date;
  label?: string;
}

interface Held extends StoredObject {
  readonly bytes: Buffer;
}

/** The reference implementation of the contract, for tests. */
export function memoryStorage(options: MemoryOptions = {}): Storage {
  const held = new Map<string, Held>();
  const now = options.now ?? steppingClock();

  async function put(key: string, body: AsyncIterable<Uint8Array>, putOptions: PutOptions = {}) {
    assertKey(key);
    if (putOptions.signal) throwIfAborted(putOptions.signal);
    assertFree(key);
    const chunks: Buffer[] = [];
    for await (const chunk of bodyChunks(body, key, putOptions)) chunks.push(Buffer.from(chunk)); // a copy
    if (putOptions.signal) throwIfAborted(putOptions.signal);
    assertFree(key); // another put may have won meanwhile
    const bytes = Buffer.concat(chunks);
    const object: Held = { key, sizeBytes: bytes.length, modifiedAt: now(), bytes };
    held.set(key, object);
    return factsOf(object);
  }

  async function* get(key: string, getOptions: GetOptions = {}) {
    assertKey(key);
    if (getOptions.signal) throwIfAborted(getOptions.signal);
    const object = held.get(key);
    if (object === undefined) {
      throw new DguardError('storage_not_found', `no object ${key}`, { operation: 'get', subject: key });
    }
    const { start, end } = byteRange(getOptions, object.sizeBytes);
    if (end > start) yield Buffer.from(object.bytes.subarray(start, end)); // a copy: objects are immutable
  }

  async function stat(key: string, callOptions: CallOptions = {}) {
    assertKey(key);
    if (callOptions.signal) throwIfAborted(callOptions.signal);
    const object = held.get(key);
    return object && factsOf(object);
  }

  async function* list(prefix: string, callOptions: CallOptions = {}) {
    assertPrefix(prefix);
    const keys = [...held.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      if (callOptions.signal) throwIfAborted(callOptions.signal);
      const object = held.get(key);
      if (object) yield factsOf(object);
    }
  }

  async function remove(key: string, callOptions: CallOptions = {}) {
    assertKey(key);
    if (callOptions.signal) throwIfAborted(callOptions.signal);
    held.delete(key);
  }

  function assertFree(key: string): void {
    if (held.has(key)) {
      throw new DguardError('storage_exists', `${key} exists`, { operation: 'put', subject: key });
    }
  }

  return {
    type: 'memory',
    label: options.label ?? 'memory',
    capabilities: { writable: true, remote: false },
    put,
    get,
    stat,
    list,
    delete: remove,
    space: async () => ({}),
    close: async () => undefined,
  };
}

function factsOf({ key, sizeBytes, modifiedAt }: StoredObject): StoredObject {
  return { key, sizeBytes, modifiedAt };
}

function steppingClock(): () => Date {
  let time = Date.UTC(2020, 0, 1);
  return () => {
    time += 1000;
    return new Date(time);
  };
}
