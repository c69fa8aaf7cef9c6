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
