import { hash } from 'node:crypto';

/** What canonical JSON can hold: no floats, no undefined, no lone surrogates. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The one text form of a JSON object on a destination: keys sorted, two-space indentation, one final
 * newline. Members that are undefined are left out. A reader serialises what it parsed again and refuses
 * any difference, so duplicate keys, odd spacing and trailing bytes cannot hide.
 */
export function canonicalJson(value: object): string {
  return `${JSON.stringify(sorted(value), null, 2)}\n`;
}

/** SHA-256 (hex) over the canonical text of `value` without its key `integrity`. */
export function integritySha256(value: object): string {
  const { integrity: _, ...rest } = value as { integrity?: unknown };
  return hash('sha256', canonicalJson(rest), 'hex');
}

/** True if `text` is the canonical text of `value`, which was parsed from it: no copy of it is made. */
export function isCanonical(value: object, text: string): boolean {
  const canonical = JSON.stringify(value, null, 2);
  const isText = text.length === canonical.length + 1 && text.endsWith('\n') && text.startsWith(canonical);
  return isText && hasSortedKeys(value);
}

/**
 * The same as `integritySha256`, out of a canonical text alone whose `integrity` is an object with members,
 * and which has other members besides.
 */
export function textIntegritySha256(text: string): string {
  const member = /\n {2}"integrity": \{\n(?: {4}.*\n)+ {2}\}(,?)/.exec(text);
  if (!member) return hash('sha256', text, 'hex');
  // Without a comma of its own it was the last member: then the one before it has one too many.
  const before = text.slice(0, member.index);
  const rest = text.slice(member.index + member[0].length);
  return hash('sha256', (member[1] === '' ? before.replace(/,$/, '') : before) + rest, 'hex');
}

function hasSortedKeys(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return true;
  if (Array.isArray(value)) return value.every(hasSortedKeys);
  const source = value as Record<string, unknown>;
  let previous: string | undefined;
  for (const key of Object.keys(source)) {
    // Keys that are array indices come first in any object: their order is not the text's to choose.
    if (!isIndex(key)) {
      if (previous !== undefined && key < previous) return false;
      previous = key;
    }
    if (!hasSortedKeys(source[key])) return false;
  }
  return true;
}

function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  if (first < 0x30 || first > 0x39) return false; // no digit: nearly every key
  return /^(?:0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const source = value as Record<string, unknown>;
  // Object.create(null) and defineProperty-free assignment: a key `__proto__` stays a plain member.
  const target: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(source).sort()) {
    if (source[key] !== undefined) target[key] = sorted(source[key]);
  }
  return target;
}
