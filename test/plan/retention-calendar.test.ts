import { describe, expect, test } from 'vitest';
import { periodsOf } from '../../src/plan/retention-calendar.ts';

describe('ISO weeks at the ends of years', () => {
  test.each([
    ['2026-12-31', '2026-W53'],
    ['2027-01-03', '2026-W53'],
    ['2027-01-04', '2027-W01'],
    ['2018-12-31', '2019-W01'],
    ['2021-01-03', '2020-W53'],
    ['2023-01-01', '2022-W52'],
    ['2024-12-30', '2025-W01'],
  ])('%s is in %s', (day, week) => {
    expect(periodsOf(new Date(`${day}T12:00:00Z`), 'UTC').week).toBe(week);
  });
});

describe('the wall clock of the zone decides', () => {
  test.each([
    // 23:30 local is another day in UTC.
    ['2026-03-01T02:30:00Z', 'America/Sao_Paulo', '2026-02-28 23h', '2026-02-28', '2026-02'],
    ['2025-12-31T23:30:00Z', 'Europe/Berlin', '2026-01-01 00h', '2026-01-01', '2026-01'],
    // The clock goes from 24:00 back to 23:00: one hour of one day, twice.
    ['2018-02-18T01:30:00Z', 'America/Sao_Paulo', '2018-02-17 23h', '2018-02-17', '2018-02'],
    ['2018-02-18T02:30:00Z', 'America/Sao_Paulo', '2018-02-17 23h', '2018-02-17', '2018-02'],
    // The clock goes from 00:00 to 01:00: the day has no midnight.
    ['2018-11-04T02:59:59Z', 'America/Sao_Paulo', '2018-11-03 23h', '2018-11-03', '2018-11'],
    ['2018-11-04T03:00:00Z', 'America/Sao_Paulo', '2018-11-04 01h', '2018-11-04', '2018-11'],
    // 2011-12-30 does not exist in Apia.
    ['2011-12-30T09:59:59Z', 'Pacific/Apia', '2011-12-29 23h', '2011-12-29', '2011-12'],
    ['2011-12-30T10:00:00Z', 'Pacific/Apia', '2011-12-31 00h', '2011-12-31', '2011-12'],
  ])('%s in %s', (at, zone, hour, day, month) => {
    expect(periodsOf(new Date(at), zone)).toMatchObject({ hour, day, month });
  });

  test('midnight is hour 00 of the day that begins, never 24', () => {
    expect(periodsOf(new Date('2026-11-21T00:00:00Z'), 'UTC').hour).toBe('2026-11-21 00h');
  });

  test('a zone that does not exist is an error, not UTC', () => {
    expect(() => periodsOf(new Date(0), 'Europe/Atlantis')).toThrow(RangeError);
  });
});
