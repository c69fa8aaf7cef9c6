import { DguardError } from '../errors.ts';

/**
 * The part of an object of `sizeBytes` that a range stands for, as [start, end). What lies outside of the
 * object is left out. Throws `internal` for numbers that are no byte counts.
 */
export function byteRange(
  range: { offset?: number; length?: number },
  sizeBytes: number,
): { start: number; end: number } {
  const { offset = 0, length } = range;
  for (const value of [offset, length ?? 0]) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new DguardError('internal', `${value} is not a number of bytes`, { operation: 'get' });
    }
  }
  const start = Math.min(offset, sizeBytes);
  return { start, end: length === undefined ? sizeBytes : Math.min(start + length, sizeBytes) };
}
