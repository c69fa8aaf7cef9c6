import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../src/plan/duration.ts';

describe('parseDuration', () => {
  it('knows its units', () => {
    expect(['90s', '30m', '26h', '7d', '2w', '1y', '1d12h'].map(parseDuration)).toEqual([
      90_000, 1_800_000, 93_600_000, 604_800_000, 1_209_600_000, 31_536_000_000, 129_600_000,
    ]);
  });
  it.each(['', '7', 'd', '0d', '-1d', '1.5h', '1h1d', '1d1d', '7 d', '7D', '1M', '99999999999999999y'])(
    'refuses "%s"',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );
});

describe('formatDuration', () => {
  it('writes what parseDuration reads', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 9 }), (seconds) => {
        expect(parseDuration(formatDuration(seconds * 1000))).toBe(seconds * 1000);
      }),
    );
  });
  it('says more days than weeks, and nothing as nothing', () => {
    expect([formatDuration(864_000_000), formatDuration(0), formatDuration(999), formatDuration(-5)]).toEqual(
      ['10d', '0s', '0s', '0s'],
    );
  });
});
