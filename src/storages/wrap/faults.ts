import { DguardError } from '../../errors.ts';
import type { Storage } from '../types.ts';

/** For tests: a storage that fails in one planned way, over any real one. */

export type StorageOperation = 'put' | 'get' | 'stat' | 'list' | 'delete' | 'space';

export interface FaultPlan {
  /** Which calls count; all of them by default. */
  operations?: readonly StorageOperation[];
  /** Which keys (for list: prefixes) count; all by default. */
  keys?: (key: string) => boolean;
  /** The counted call that the fault hits, from 1 (the default); `every`: each one. */
  atCall?: number | 'every';
  fault: Fault;
}

export type Fault =
  /** The call throws this and reaches nothing. */
  | { kind: 'throw'; error: Error }
  /** A put finds no room (`storage_full`) after this many bytes of its body. */
  | { kind: 'full'; afterBytes: number }
  /**
   * The call throws, and so does every later one, as after a kill or a lost network. A put dies after
   * `afterBytes` of its body (default 0), or with `afterwards` once the object is stored.
   */
  | { kind: 'die'; afterBytes?: number; afterwards?: boolean }
  /** A lie: a put drops its last byte and reports the full size. */
  | { kind: 'truncate' }
  /** A lie: a list leaves these keys out. */
  | { kind: 'hide'; key: (key: string) => boolean };

/** `storage` with one fault. Calls that the plan does not name pass through untouched. */
export function withFaults(storage: Storage, plan: FaultPlan): Storage {
  let calls = 0;
  let dead = false;

  /** Counts the call; the fault, if it hits this one. */
  function faultFor(operation: StorageOperation, key: string): Fault | undefined {
    if (dead) throw death();
    if (plan.operations && !plan.operations.includes(operation)) return undefined;
    if (plan.keys && !plan.keys(key)) return undefined;
    calls++;
    const { atCall = 1, fault } = plan;
    if (atCall !== 'every' && atCall !== calls) return undefined;
    if (fault.kind === 'throw') throw fault.error;
    if (fault.kind === 'die' && operation !== 'put') {
      dead = true;
      throw death();
    }
    return fault;
  }

  function death(): DguardError {
    return new DguardError('storage_failed', `${storage.label} went away`, { hint: 'a planned fault' });
  }

  function fullDisk(): DguardError {
    return new DguardError('storage_full', `no space left on ${storage.label}`, { hint: 'a planned fault' });
  }

  function die(): DguardError {
    dead = true;
    return death();
  }

  return {
    ...storage,
    async put(key, body, options = {}) {
      const fault = faultFor('put', key);
      if (fault?.kind === 'full') {
        return storage.put(key, failAfter(body, fault.afterBytes, fullDisk), options);
      }
      if (fault?.kind === 'die') {
        if (!fault.afterwards) return storage.put(key, failAfter(body, fault.afterBytes ?? 0, die), options);
        await storage.put(key, body, options);
        throw die();
      }
      if (fault?.kind === 'truncate') {
        const { sizeBytes: _, ...rest } = options;
        const stored = await storage.put(key, withoutLastByte(body), rest);
        return { ...stored, sizeBytes: stored.sizeBytes + 1 };
      }
      return storage.put(key, body, options);
    },
    async *get(key, options) {
      faultFor('get', key);
      for await (const chunk of storage.get(key, options)) {
        if (dead) throw death();
        yield chunk;
      }
    },
    async stat(key, options) {
      faultFor('stat', key);
      return storage.stat(key, options);
    },
    async *list(prefix, options) {
      const fault = faultFor('list', prefix);
      for await (const object of storage.list(prefix, options)) {
        if (dead) throw death();
        if (fault?.kind !== 'hide' || !fault.key(object.key)) yield object;
      }
    },
    async delete(key, options) {
      faultFor('delete', key);
      return storage.delete(key, options);
    },
    async space(options) {
      faultFor('space', '');
      return storage.space(options);
    },
  };
}

/** Fails also where the body is shorter, at its end. */
async function* failAfter(body: AsyncIterable<Uint8Array>, bytes: number, error: () => Error) {
  let left = bytes;
  for await (const chunk of body) {
    if (chunk.byteLength > left) {
      yield chunk.subarray(0, left);
      throw error();
    }
    left -= chunk.byteLength;
    yield chunk;
  }
  throw error();
}

async function* withoutLastByte(body: AsyncIterable<Uint8Array>) {
  let held: Uint8Array | undefined;
  for await (const chunk of body) {
    if (chunk.byteLength === 0) continue;
    if (held) yield held;
    held = Uint8Array.from(chunk);
  }
  if (held) yield held.subarray(0, -1);
}
