import { describe, expect, it } from 'vitest';
import { lineFields } from '../../../src/engines/jsonl/line.ts';
import { Unfit } from '../../../src/engines/plain/types.ts';
import {
  canonicalText,
  decimalText,
  digitsOf,
  requireClock,
  requireDay,
  requireTimestamp,
} from '../../../src/engines/plain/values.ts';

describe('a line of an export', () => {
  it('gives each value as its text, with all digits and nested values whole', () => {
    const line = String.raw`{"n":12345678901234567890.10,"s":"a\"}\\","o":{"x":["]}",{}]} ,"t":true,"é":null}`;
    expect([...lineFields(line)!]).toEqual([
      ['n', '12345678901234567890.10'],
      ['s', String.raw`"a\"}\\"`],
      ['o', '{"x":["]}",{}]}'],
      ['t', 'true'],
      ['é', 'null'],
    ]);
    expect(lineFields('{}')).toEqual(new Map());
  });

  it.each([
    '',
    '[]',
    '{"a":1',
    '{"a":1}x',
    '{"a":1,"a":2}',
    '{"a":}',
    '{"a" 1}',
    '{a:1}',
    '{"a":"x}',
    '{"a":{"b":1}',
  ])('refuses %s', (line) => expect(lineFields(line)).toBeUndefined());
});

describe('values', () => {
  it.each([
    ['-0', '0'],
    ['00.500', '0.5'],
    ['1.5e3', '1500'],
    ['1.25E-3', '0.00125'],
    ['-123456789012345678901234567890.10', '-123456789012345678901234567890.1'],
    ['1e+20', '100000000000000000000'],
  ])('the digits of %s are %s', (text, expected) => expect(decimalText(digitsOf(text)!)).toBe(expected));

  it('a moment is brought to UTC with all of its microseconds, over the ends of years', () => {
    expect(requireTimestamp('2024-12-31T23:30:00.000001-05:30', true)).toBe('2025-01-01 05:00:00.000001');
    expect(requireTimestamp('1883-11-18T12:03:57.5-04:56:02', true)).toBe('1883-11-18 16:59:59.5');
    expect(requireTimestamp('0001-01-01 00:00:00', false)).toBe('0001-01-01 00:00:00');
    for (const [text, zone] of [
      ['0000-01-01T00:00:00+01:00', true],
      ['infinity', true],
      ['0044-03-15T00:00:00 BC', false],
      ['2024-01-01 00:00:00', true],
      ['2024-01-01 00:00:00Z', false],
      ['2024-01-01 00:00:00.1234567', false],
    ] as const)
      expect(() => requireTimestamp(text, zone), text).toThrow(Unfit);
  });

  it('days and times that only MySQL has are told', () => {
    for (const day of ['0000-00-00', '2024-02-30', '2024-00-10'])
      expect(() => requireDay(day), day).toThrow(Unfit);
    requireDay('0001-01-01 00:00:00');
    expect(() => requireClock('25:00:00')).toThrow(Unfit);
    requireClock('24:00:00');
  });

  it('one value has one text, whatever it came out of; others have others', () => {
    const float = { kind: 'float', bits: 32 } as const;
    expect(canonicalText('0.1', float)).toBe(canonicalText('0.10000000149011612', float));
    expect(canonicalText('-0', float)).not.toBe(canonicalText('0', float));
    expect(canonicalText(true, { kind: 'boolean' })).toBe(canonicalText('1', { kind: 'boolean' }));
    expect(canonicalText('1.50', { kind: 'decimal' })).toBe('1.5');
    expect(canonicalText('1.50', { kind: 'text' })).toBe('1.50');
  });
});
