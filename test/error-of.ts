import { expect } from 'vitest';
import { DguardError } from '../src/errors.ts';

/** What it rejected with; fails the test, named by `of`, where it did not, or with anything but an error of ours. */
export async function errorOf(promise: Promise<unknown>, of?: string): Promise<DguardError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error, of).toBeInstanceOf(DguardError);
  return error as DguardError;
}
