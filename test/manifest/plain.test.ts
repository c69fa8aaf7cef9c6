import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, isCanonical } from '../../src/manifest/canonical.ts';
import { isPlainCanonical } from '../../src/manifest/plain.ts';
import { MANIFEST } from './every-field.ts';

const key = fc.oneof(
  fc.constantFrom('a', 'ab', 'b', 'a b', '__proto__', 'Z', '', '9', 'é', 'q"', '\\'),
  fc.string({ maxLength: 3 }),
);
const object = fc.letrec<{ value: unknown; object: object }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double(),
    fc.string({ maxLength: 4 }),
    fc.constantFrom(null, true, false, 0, '{', ' "a": 1', '},'),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
})).object;
/** What text may be spoilt with. */
const piece = fc.constantFrom(
  ...[
    '',
    '"',
    '\n',
    ' ',
    '  ',
    ',',
    ':',
    '{',
    '}',
    '[',
    ']',
    '0',
    '-',
    '1',
    '.',
    'e5',
    'null',
    'true',
    '\\',
    '\\n',
  ],
  ...['"a": 1', '\n  "a": 1,', '\t', '\r', '\u007f', '\u0000', 'é', '[]', '{}'],
);
const RUNS = { numRuns: 20_000, seed: 7 };

function isTruly(text: string): boolean {
  try {
    return isCanonical(JSON.parse(text), text);
  } catch {
    return false;
  }
}
const plain = (text: string) => isPlainCanonical(Buffer.from(text));

describe('canonical text of the plain kind', () => {
  it('is never claimed of what is not canonical, however a text is spoilt', () => {
    let plainOnes = 0;
    fc.assert(
      fc.property(object, fc.nat(), fc.nat(6), piece, fc.boolean(), (value, place, length, put, spoil) => {
        const text = canonicalJson(value);
        const at = place % (text.length + 1);
        const given = spoil ? text.slice(0, at) + put + text.slice(at + length) : text;
        if (!plain(given)) return;
        plainOnes++;
        expect(isTruly(given)).toBe(true);
      }),
      RUNS,
    );
    expect(plainOnes).toBeGreaterThan(2000);
  });

  it.each([
    '{\n  "a": 1,\n  "a": 2\n}\n',
    '{\n  "b": 1,\n  "a": 2\n}\n',
    '{\n  "ab": 1,\n  "a": 2\n}\n',
    '{\n  "a": [\n    {\n      "y": 1,\n      "x": 2\n    }\n  ]\n}\n',
    '{\n  "a": 01\n}\n',
    '{\n  "a": -0\n}\n',
    '{\n  "a": -\n}\n',
    '{\n  "a": 10000000000000000\n}\n',
    '{\n  "a": 1\n}',
    '{\n  "a": 1\n}\n\n',
    '{\n  "a": 1,\n}\n',
    '{\n "a": 1\n}\n',
    '{\n  "a":1\n}\n',
    '{"a": 1}\n',
    '{\n}\n',
    '{\n  "a": [\n  ]\n}\n',
    '{\n  "a": [1]\n}\n',
    '{\n  "a": 1\n]\n',
    '{\n  "a": nul\n}\n',
    '{\n  "a": nulll\n}\n',
    '{\n  "a": "\u0007"\n}\n',
    '{\n  "10": 1,\n  "2": 1\n}\n',
    '{\n  "\uffff": 1,\n  "\u{10000}": 1\n}\n',
    `${'['.repeat(40)}${']'.repeat(40)}\n`,
    '',
    '{',
    '{\n  "',
  ])('is not %j', (text) => expect(plain(text)).toBe(false));

  it('is what a manifest is, with every field that there is', () => {
    expect(plain(canonicalJson(MANIFEST))).toBe(true);
    expect(plain('{\n  "a": [],\n  "b": {},\n  "c": -12,\n  "d": 0,\n  "e": null\n}\n')).toBe(true);
  });
});
