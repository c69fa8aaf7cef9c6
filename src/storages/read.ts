import { DguardError } from '../errors.ts';
import type { GetOptions, Storage } from './types.ts';

/**
 * Exactly `length` bytes of an object, from `offset`. Fewer (or more) is `corrupt`: who asks for a range
 * knows from a manifest that it is there. What comes in one chunk is not copied; it may lie in `room`.
 */
export async function readRange(
  storage: Storage,
  key: string,
  offset: number,
  length: number,
  signal?: AbortSignal,
  room?: Buffer,
): Promise<Buffer> {
  if (!isByteCount(offset) || !isByteCount(length) || !isByteCount(offset + length)) {
    throw new DguardError('corrupt', `${key}: ${length} bytes from ${offset} is no range`, { subject: key });
  }
  if (length === 0) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let received = 0;
  const range = { offset, length, ...(room && { room }) };
  for await (const chunk of storage.get(key, withSignal(range, signal))) {
    received += chunk.byteLength;
    if (received > length) break;
    chunks.push(chunk);
  }
  if (received !== length) {
    const came = received > length ? 'more' : `only ${received}`;
    throw new DguardError(
      'corrupt',
      `${key}: ${length} bytes from ${offset} were asked for, ${came} came from ${storage.label}`,
      { operation: 'read', subject: key },
    );
  }
  return joined(chunks, length);
}

/** A whole small object. One of more than `maxBytes` is `corrupt`, and is given up before it is held. */
export async function readObject(
  storage: Storage,
  key: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  // One byte more than allowed tells a larger object from one that fits, without a request for its size.
  for await (const chunk of storage.get(key, withSignal({ length: maxBytes + 1 }, signal))) {
    received += chunk.byteLength;
    if (received > maxBytes) {
      throw new DguardError('corrupt', `${key} at ${storage.label} is larger than ${maxBytes} bytes`, {
        operation: 'read',
        subject: key,
      });
    }
    chunks.push(chunk);
  }
  return joined(chunks, received);
}

function isByteCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function withSignal(range: GetOptions, signal: AbortSignal | undefined): GetOptions {
  return signal === undefined ? range : { ...range, signal };
}

function joined(chunks: readonly Uint8Array[], length: number): Buffer {
  const only = chunks[0];
  if (chunks.length !== 1 || only === undefined) return Buffer.concat(chunks, length);
  return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}
