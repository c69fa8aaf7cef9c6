import { describe, expect, it } from 'vitest';
import type { GateConfig } from '../../src/config/types/jobs.ts';
import { doubtClock, isFromTheFuture } from '../../src/plan/clock.ts';
import { endsDoubt, judgeContent } from '../../src/plan/gate.ts';
import { judgeIdentities } from '../../src/plan/identity.ts';

const gate: GateConfig = {
  enabled: true,
  min_size_percent: 50,
  min_rows_percent: 50,
  min_files_percent: 50,
  allow_empty: false,
};

describe('content gate', () => {
  it('never doubts a first backup, not even an empty one', () => {
    expect(judgeContent({ bytes: 0, files: 0 }, undefined, gate)).toEqual([]);
  });

  it('doubts under half in bytes, rows or files, and nothing at exactly half', () => {
    const last = { bytes: 1000, files: 10, rows: 100, tables: 4 };
    expect(judgeContent({ bytes: 500, files: 5, rows: 50, tables: 1 }, last, gate)).toEqual([]);
    expect(judgeContent({ bytes: 499, files: 10, rows: 100, tables: 4 }, last, gate)).toEqual([
      '499 bytes, only 49 % of the 1000 of the last good backup',
    ]);
    expect(judgeContent({ bytes: 1000, files: 4, rows: 49, tables: 4 }, last, gate)).toHaveLength(2);
  });

  it('doubts nothing where there was something, tables too', () => {
    const last = { bytes: 1000, files: 1, rows: 3, tables: 4 };
    expect(judgeContent({ bytes: 900, files: 1, rows: 0, tables: 0 }, last, gate)).toEqual([
      'no tables, where the last good backup had 4',
      'no rows, where the last good backup had 3',
    ]);
    expect(
      judgeContent({ bytes: 900, files: 1, rows: 0, tables: 0 }, last, { ...gate, allow_empty: true }),
    ).toEqual([]);
  });

  it('does not compare what one of the two did not count', () => {
    expect(judgeContent({ bytes: 10 }, { bytes: 10, files: 5, rows: 7 }, gate)).toEqual([]);
    expect(judgeContent({ bytes: 10, files: 0 }, { bytes: 10, files: 0 }, gate)).toEqual([]);
  });

  it('is silent when it is off, and looks at a share of 0 % as at none', () => {
    const last = { bytes: 1000 };
    expect(judgeContent({ bytes: 1 }, last, { ...gate, enabled: false })).toEqual([]);
    expect(judgeContent({ bytes: 1 }, last, { ...gate, min_size_percent: 0 })).toEqual([]);
  });

  it('ends a doubt after as many runs alike as the job says', () => {
    const twice = { ...gate, accept_after: 2 };
    expect(endsDoubt({ bytes: 100 }, [], twice)).toBe(false);
    expect(endsDoubt({ bytes: 100 }, [{ bytes: 110 }], twice)).toBe(true);
    expect(endsDoubt({ bytes: 100 }, [{ bytes: 10 }, { bytes: 100 }], twice)).toBe(false);
    expect(endsDoubt({ bytes: 100 }, [{ bytes: 110 }], gate)).toBe(false);
  });
});

describe('identity', () => {
  it('tells a source that was replaced from two under one name', () => {
    expect(judgeIdentities([])).toBe('one');
    expect(judgeIdentities(['a', 'a'])).toBe('one');
    expect(judgeIdentities(['a', 'a', 'b', 'b'])).toBe('changed');
    expect(judgeIdentities(['a', 'b', 'c'])).toBe('changed');
    expect(judgeIdentities(['a', 'b', 'b', 'a'])).toBe('mixed');
  });
});

describe('clock', () => {
  const now = new Date('2026-01-01T12:00:00Z');
  it('is doubted when it lies over an hour behind the newest manifest, or off the destination', () => {
    expect(doubtClock(now, undefined)).toBeUndefined();
    expect(doubtClock(now, new Date('2026-01-01T13:00:00Z'))).toBeUndefined();
    expect(doubtClock(now, new Date('2026-01-01T13:00:01Z'))).toMatch(/newest backup/);
    expect(doubtClock(now, undefined, new Date('2026-01-01T10:59:59Z'))).toMatch(/destination/);
    expect(doubtClock(now, undefined, new Date('2026-01-01T12:59:59Z'))).toBeUndefined();
  });
  it('knows what is from the future', () => {
    expect(isFromTheFuture(new Date('2026-01-01T13:00:01Z'), now)).toBe(true);
    expect(isFromTheFuture(new Date('2026-01-01T13:00:00Z'), now)).toBe(false);
  });
});
