import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canonicalJson,
  integritySha256,
  isCanonical,
  textIntegritySha256,
} from '../../src/manifest/canonical.ts';

/** Objects of JSON with keys that make trouble, and an `integrity` that may be anything. */
const json = fc.letrec<{ value: unknown; object: object }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.constant('\n  "integrity": {'),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(
    fc.oneof(
      fc.string(),
      fc.constantFrom('integrity', 'index', 'job', 'a', 'zz', '10', '9', '4294967295', '__proto__', 'é'),
    ),
    tie('value'),
    { maxKeys: 6 },
  ),
})).object;

const RUNS = { numRuns: 2000, seed: 42 };

describe('canonical text', () => {
  it('is told from any other by key order and bytes, without being made again', () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value);
        expect(isCanonical(JSON.parse(text), text)).toBe(true);
        const other = `${JSON.stringify(JSON.parse(text))}\n`;
        expect(isCanonical(JSON.parse(other), other)).toBe(other === text);
      }),
      RUNS,
    );
  });

  it('refuses keys out of order, at any level, and a key twice', () => {
    for (const text of [
      '{\n  "b": 1,\n  "a": 2\n}\n',
      '{\n  "a": [\n    {\n      "b": 1,\n      "a": 2\n    }\n  ]\n}\n',
      '{\n  "a": 1,\n  "a": 1\n}\n',
      '{\n  "a": 1\n}',
      '{\n  "a": 1.0\n}\n',
    ]) {
      expect(isCanonical(JSON.parse(text), text), text).toBe(false);
    }
  });

  it('gives its integrity without being parsed, wherever that stands and whatever else it holds', () => {
    fc.assert(
      fc.property(json, json, (value, more) => {
        const whole = { some: 'member', ...value, integrity: { ...more, sha256: 'x' } };
        const parsed = JSON.parse(canonicalJson(whole));
        expect(textIntegritySha256(canonicalJson(parsed))).toBe(integritySha256(parsed));
      }),
      RUNS,
    );
  });
});
