import { DguardError } from '../errors.ts';

/**
 * The grammar of object keys, the same for every storage. Keys may come out of a manifest that somebody
 * else wrote, so every storage checks every key on every call.
 */

/** Begins the names of unfinished files; no object may be called so. */
export const TEMP_PREFIX = '.dguard-tmp-';

/** The longest key of S3. */
export const MAX_KEY_BYTES = 1024;

const PART = /^[A-Za-z0-9._%=-]{1,255}$/; // 255 bytes: the longest name of common file systems

/** Throws `corrupt` unless `key` is the key of an object. */
export function assertKey(key: string): void {
  if (!isKey(key)) throw refusal('object key', key);
}

/** Throws `corrupt` unless `prefix` is empty or the key of a folder with a final `/`. */
export function assertPrefix(prefix: string): void {
  if (prefix === '') return;
  if (!prefix.endsWith('/') || !isKey(prefix.slice(0, -1))) throw refusal('key prefix', prefix);
}

/** True if `key` follows the grammar, names no unfinished file and is at most 1024 bytes long. */
export function isKey(key: string): boolean {
  return key.length <= MAX_KEY_BYTES && key.split('/').every(isKeyPart);
}

/** True if `part` may stand between two `/` of a key. */
export function isKeyPart(part: string): boolean {
  return PART.test(part) && part !== '.' && part !== '..' && !part.startsWith(TEMP_PREFIX);
}

function refusal(kind: string, key: string): DguardError {
  // Shown as JSON: a hostile key must not bring control characters to a terminal.
  return new DguardError('corrupt', `not a valid ${kind}: ${JSON.stringify(key.slice(0, 200))}`);
}
