import { describe, expect, it } from 'vitest';
import { parseMoment } from '../../src/cli/time.ts';

const NOW = new Date('2026-03-01T12:00:00.500Z');
const at = (text: string, bound: 'lower' | 'upper' = 'lower') =>
  parseMoment(text, bound, '--at', NOW).toISOString();

describe('a moment on the command line', () => {
  it.each([
    ['2026-01-31', '2026-01-31T00:00:00.000Z', '2026-01-31T23:59:59.999Z'],
    ['2026-01-31T23:05Z', '2026-01-31T23:05:00.000Z', '2026-01-31T23:05:59.999Z'],
    ['2026-01-31 23:05:07', '2026-01-31T23:05:07.000Z', '2026-01-31T23:05:07.999Z'],
    ['2026-01-31T23:05:07.25Z', '2026-01-31T23:05:07.250Z', '2026-01-31T23:05:07.250Z'],
    ['2026-01-31T23:05:07+02:00', '2026-01-31T21:05:07.000Z', '2026-01-31T21:05:07.999Z'],
    ['2026-01-31T23:05:07-0330', '2026-02-01T02:35:07.000Z', '2026-02-01T02:35:07.999Z'],
    ['7d', '2026-02-22T12:00:00.500Z', '2026-02-22T12:00:00.500Z'],
    ['1d12h', '2026-02-28T00:00:00.500Z', '2026-02-28T00:00:00.500Z'],
  ])('%s', (text, lower, upper) => {
    expect([at(text), at(text, 'upper')]).toEqual([lower, upper]);
  });

  it.each([
    '',
    'yesterday',
    '2026-02-30',
    '2026-13-01',
    '2026-01-31T25:00',
    '31.01.2026',
    '0d',
    '-7d',
    '7',
    '2026',
  ])('%s is a usage error that names the option', (text) => {
    expect(() => at(text)).toThrow(expect.objectContaining({ code: 'usage', subject: '--at' }));
  });
});
