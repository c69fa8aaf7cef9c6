import { expect, test } from 'vitest';
import { assertKey, assertPrefix, isKey, isKeyPart } from '../../src/storages/key.ts';

test('parts: the characters of the grammar, no dots alone, no unfinished file', () => {
  for (const part of ['a', 'A-Z_0.9%=', '...', '.hidden', '-', 'x'.repeat(255)]) {
    expect(isKeyPart(part), part).toBe(true);
  }
  for (const part of ['', '.', '..', 'a/b', 'a\n', 'ä', ' ', '.dguard-tmp-1', 'x'.repeat(256)]) {
    expect(isKeyPart(part), part).toBe(false);
  }
});

test('a key has at most 1024 bytes', () => {
  const key = Array(5).fill('x'.repeat(204)).join('/');
  expect(isKey(key)).toBe(true);
  expect(isKey(`${key}y`)).toBe(false);
});

test('a key is parts with a slash between them', () => {
  assertKey('job/db/manifest.json');
  for (const key of ['a/../b', 'a/', '/a', '']) expect(() => assertKey(key)).toThrow();
});

test('a prefix is empty or ends in a slash', () => {
  for (const prefix of ['', 'a/', 'a/b/']) assertPrefix(prefix);
  for (const prefix of ['a', '/', 'a//', '../', 'a/b']) expect(() => assertPrefix(prefix)).toThrow();
});

test('an error about a hostile key brings no control characters to a terminal', () => {
  expect(() => assertKey('a\u001b[2Jb')).toThrow(/^not a valid object key: "a\\u001b\[2Jb"$/);
});
