import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareEntryPaths,
  displayPath,
  fromBytes,
  fromText,
  isSafeEntryPath,
  isUtf8Path,
  parentPath,
  toBytes,
} from '../../src/archive/paths.ts';

const byteString = fc.uint8Array({ maxLength: 12 }).map((bytes) => fromBytes(bytes));
const name = fc
  .uint8Array({ minLength: 1, maxLength: 4 })
  .map((bytes) => fromBytes(bytes.map((byte) => (byte === 0x2f || byte === 0 ? 0x2e : byte))));

describe('compareEntryPaths', () => {
  it('sorts as a sorted depth-first walk does', () => {
    const walk = [
      '',
      '\x01',
      ' ',
      'A',
      'a',
      'a/',
      'a/b',
      'a/b/c',
      'a/b-c',
      'a\n',
      'a-b',
      'a.b',
      'a0',
      'b',
      '\xff',
    ];
    const sorted = [
      '',
      '\x01',
      ' ',
      'A',
      'a',
      'a/',
      'a/b',
      'a/b/c',
      'a/b-c',
      'a\n',
      'a-b',
      'a.b',
      'a0',
      'b',
      '\xff',
    ];
    expect([...walk].reverse().sort(compareEntryPaths)).toEqual(sorted);
  });

  it('is the order of the lists of names, each compared by its bytes', () => {
    const path = fc.array(name, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(path, path, (a, b) => {
        let expected = 0;
        for (let at = 0; expected === 0 && at < Math.max(a.length, b.length); at += 1) {
          if (at >= a.length) expected = -1;
          else if (at >= b.length) expected = 1;
          else expected = Buffer.compare(toBytes(a[at]!), toBytes(b[at]!));
        }
        expect(Math.sign(compareEntryPaths(a.join('/'), b.join('/')))).toBe(expected);
      }),
    );
  });
});

describe('byte strings', () => {
  it('survive the way to bytes and back', () => {
    fc.assert(fc.property(byteString, (path) => fromBytes(toBytes(path)) === path));
    expect(fromText('é')).toBe('\xc3\xa9');
  });

  it('know whether they are UTF-8', () => {
    expect(isUtf8Path('plain')).toBe(true);
    expect(isUtf8Path(fromText('日本 \u{1f600}'))).toBe(true);
    for (const bad of ['\xff', '\xc3', '\xc0\xaf', '\xed\xa0\x80', '\xf4\x90\x80\x80']) {
      expect(isUtf8Path(bad)).toBe(false);
    }
  });
});

describe('displayPath', () => {
  it.each([
    ['plain/path', 'plain/path'],
    [fromText('é 日本 \u{1f600}'), 'é 日本 \u{1f600}'],
    ['\xff\xe9x', '\\xff\\xe9x'],
    ['a\nb\rc\td', 'a\\nb\\rc\\td'],
    ['\x1b[31m\x07\x7f', '\\x1b[31m\\x07\\x7f'],
    [fromText('\u202egpj.exe'), '\\u{202e}gpj.exe'],
    [fromText('\u009b31m'), '\\u{9b}31m'],
    ['\xc0\xaf', '\\xc0\\xaf'],
  ])('shows %j as %j', (path, shown) => expect(displayPath(path)).toBe(shown));

  it('never shows a control character, and valid UTF-8 as it is', () => {
    fc.assert(
      fc.property(byteString, (path) => {
        expect(displayPath(path)).not.toMatch(/[\x00-\x1f\x7f-\x9f\ufffd]/);
      }),
    );
  });
});

describe('isSafeEntryPath', () => {
  it.each([
    'a',
    'a/b',
    '...',
    '.a',
    'a..',
    ' ',
    '\xff',
    'a\nb',
    '-rf',
    'n'.repeat(255),
    `${'d/'.repeat(2047)}e`,
  ])('takes %j', (path) => expect(isSafeEntryPath(path)).toBe(true));
  it.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    './a',
    'a/.',
    'a/./b',
    '../a',
    'a/..',
    'a/../b',
    'a\0b',
    'n'.repeat(256),
    `a/${'n'.repeat(256)}/b`,
    `${'d/'.repeat(2048)}e`,
    'text that is no byte string \u{1f600}',
  ])('refuses %j', (path) => expect(isSafeEntryPath(path)).toBe(false));
});

it('parentPath names the folder above', () => {
  expect(['a', 'a/b', 'a/b/c'].map(parentPath)).toEqual(['', 'a', 'a/b']);
});
