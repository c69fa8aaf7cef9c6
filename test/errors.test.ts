import { describe, expect, it } from 'vitest';
import { combineExitStatus } from '../src/errors.ts';

describe('several exit statuses at once', () => {
  /** As the help and the README have it. */
  const ORDER = [2, 8, 7, 4, 1, 5, 3, 9, 6, 75, 0];

  it('the first of the order wins, whatever comes before it in the list', () => {
    for (const [at, first] of ORDER.entries()) {
      for (const later of ORDER.slice(at)) {
        expect(combineExitStatus([first, later]), `${first} and ${later}`).toBe(first);
        expect(combineExitStatus([later, first]), `${later} and ${first}`).toBe(first);
      }
      for (const interrupted of [130, 143])
        expect(combineExitStatus([first, interrupted]), `${first} and ${interrupted}`).toBe(interrupted);
    }
  });

  it('nothing at all is done, and what nobody knows is no success', () => {
    expect(combineExitStatus([])).toBe(0);
    expect(combineExitStatus([99])).toBe(1);
  });
});
