import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EntryRecord, Slice } from '../../src/archive/entry.ts';
import { slicesText, treeHead } from '../../src/archive/index/lines.ts';
import { parseEntryLine } from '../../src/archive/index/parse-lines.ts';
import { parsePlainFile } from '../../src/archive/index/plain-line.ts';

/** Mostly what it mostly is. */
const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: usual, weight: 30 }, { arbitrary: odd, weight: 1 });
const count = mostly(fc.nat(), fc.constantFrom(0, 1_000_000_000_000_000, Number.MAX_SAFE_INTEGER));
const big = mostly(fc.bigInt({ min: -9n, max: 2n ** 63n }), fc.constantFrom(10n ** 30n - 1n, 10n ** 30n));
const text = mostly(
  fc.constantFrom('', 'a', 'part-0/note 1.txt', '~!'),
  fc.oneof(fc.constantFrom('a"b', 'a\\b', 'é', '\xff', '","kind":"'), fc.string({ unit: 'binary-ascii' })),
);
const entry: fc.Arbitrary<EntryRecord> = fc.record(
  {
    path: text,
    kind: mostly(fc.constant('file'), fc.constantFrom('directory', 'hardlink')),
    size: count,
    mtimeNs: big,
    ctimeNs: big,
    ino: big,
    dev: big,
    mode: fc.nat(0o177777),
    uid: count,
    gid: count,
    user: text,
    group: text,
    sha256: fc.constantFrom('', 'a'.repeat(64), 'no hash'),
  },
  { requiredKeys: ['path', 'kind', 'size', 'mtimeNs', 'ctimeNs', 'ino', 'dev', 'mode', 'uid', 'gid'] },
);
const slice: fc.Arbitrary<Slice> = fc.record({
  origin: mostly(fc.constantFrom('abcdefgh', 'yjwt5pec'), fc.constantFrom('short', 'ABCDEFGH')),
  artifact: count,
  block: count,
  offset: count,
  length: count,
});
/** What a line may be spoilt with. */
const piece = fc.constantFrom(
  ...[
    '',
    '"',
    ',',
    ':',
    '{',
    '}',
    '[',
    ']',
    '0',
    '-',
    '1',
    '.5',
    'e5',
    ' ',
    '\\',
    '\\n',
    '\n',
    'null',
    '\u0000',
    'é',
  ],
  ...['"kind":"file",', '"size":1,', '"unsure":true,', '["abcdefgh",0,0,0,1],', '"mtime":"1",'],
);

/** The same JSON, but never a line as dguard writes it: with a space in it that says nothing. */
const asOther = (line: string) => line.replace('{', '{ ');

function outcome(line: string): unknown {
  try {
    return parseEntryLine(line, 'here');
  } catch (error) {
    return String(error);
  }
}

describe('the line of a small file', () => {
  it('is read as JSON would read it, good or spoilt', () => {
    let plain = 0;
    const seen = fc.property(
      entry,
      mostly(fc.array(slice, { minLength: 1, maxLength: 1 }), fc.array(slice, { maxLength: 2 })),
      fc.boolean(),
      fc.nat(),
      fc.nat(4),
      piece,
      (record, slices, spoil, place, length, put) => {
        const whole = treeHead(record) + (slices.length > 0 ? slicesText(slices) : '}');
        const at = 1 + (place % whole.length);
        const line = spoil ? whole.slice(0, at) + put + whole.slice(at + length) : whole;
        if (parsePlainFile(line) !== undefined) plain++;
        expect(parsePlainFile(asOther(line))).toBeUndefined();
        expect(outcome(line)).toEqual(outcome(asOther(line)));
      },
    );
    fc.assert(seen, { numRuns: 6000, seed: 11 });
    expect(plain).toBeGreaterThan(500);
  });

  it('is of the plain kind where a backup writes it', () => {
    const line =
      '{"path":"docs/a b.txt","kind":"file","size":3,"mtime":"1795362676250721475","ctime":"-1","ino":"7","dev":"65024",' +
      '"mode":420,"uid":0,"gid":1000,"user":"root","at":[["yjwt5pec",0,1,512,3]]}';
    expect(parsePlainFile(line)).toBeDefined();
    expect(outcome(line)).toEqual(outcome(asOther(line)));
  });
});
