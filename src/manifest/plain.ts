const [NEWLINE, SPACE, QUOTE, COMMA, MINUS, COLON, BACKSLASH] = [0x0a, 0x20, 0x22, 0x2c, 0x2d, 0x3a, 0x5c];
const [ZERO, NINE, TILDE, BRACKET, BRACE] = [0x30, 0x39, 0x7e, 0x5b, 0x7b];
/** From an opening bracket or brace to its closing one. */
const CLOSE = 2;
const LITERALS = ['null', 'true', 'false'].map((text) => Buffer.from(text));
const MAX_DEPTH = 32;
/** Numbers of so many digits are written as they are read. */
const MAX_DIGITS = 15;

/**
 * True only where bytes are canonical JSON (`canonicalJson`) of the plain kind that nearly every manifest is:
 * ASCII without escapes, whole numbers, no keys that begin with a digit. Says nothing about others: those are
 * to be parsed and written again, which takes ten times as long.
 */
export function isPlainCanonical(bytes: Uint8Array): boolean {
  /** What closes each level, and where its last key lies. */
  const closes: number[] = [];
  const keyStarts: number[] = [];
  const keyEnds: number[] = [];
  let depth = 0;
  let at = 0;
  for (;;) {
    const first = bytes[at]!;
    if (first === BRACE || first === BRACKET) {
      if (bytes[at + 1] === first + CLOSE) at += 2;
      else {
        if (depth === MAX_DEPTH) return false;
        closes[depth] = first + CLOSE;
        keyStarts[depth] = keyEnds[depth] = 0;
        depth += 1;
        at = memberFrom(at + 1);
        if (at === -1) return false;
        continue;
      }
    } else at = first === QUOTE ? stringEnd(bytes, at) : scalarEnd(bytes, at);
    if (at === -1) return false;
    while (depth > 0 && bytes[at] !== COMMA) {
      depth -= 1;
      at = lineFrom(bytes, at, depth);
      if (at === -1 || bytes[at] !== closes[depth]) return false;
      at += 1;
    }
    if (depth === 0) return bytes[at] === NEWLINE && at + 1 === bytes.length;
    at = memberFrom(at + 1);
    if (at === -1) return false;
  }

  /** Where the value of the next member of the innermost level begins, behind its key; -1: not as it must be. */
  function memberFrom(from: number): number {
    const start = lineFrom(bytes, from, depth);
    const level = depth - 1;
    if (start === -1 || closes[level] !== BRACE + CLOSE) return start;
    if (bytes[start] !== QUOTE || isDigit(bytes[start + 1]!)) return -1;
    const end = stringEnd(bytes, start);
    if (end === -1 || bytes[end] !== COLON || bytes[end + 1] !== SPACE) return -1;
    if (keyEnds[level]! > 0 && !isBefore(bytes, keyStarts[level]!, keyEnds[level]!, start, end)) return -1;
    keyStarts[level] = start;
    keyEnds[level] = end;
    return end + 2;
  }
}

/** Behind a line feed and the indentation of a level; -1 where they are not there. */
function lineFrom(bytes: Uint8Array, from: number, depth: number): number {
  if (bytes[from] !== NEWLINE) return -1;
  const end = from + 1 + 2 * depth;
  for (let at = from + 1; at < end; at++) if (bytes[at] !== SPACE) return -1;
  return end;
}

function stringEnd(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at + 1;
    if (byte < SPACE || byte > TILDE || byte === BACKSLASH) return -1;
  }
  return -1;
}

/** A whole number as it is written, true, false or null; -1: something else. */
function scalarEnd(bytes: Uint8Array, start: number): number {
  const digits = bytes[start] === MINUS ? start + 1 : start;
  let at = digits;
  while (isDigit(bytes[at]!)) at++;
  if (at > digits) {
    if (at - digits > MAX_DIGITS) return -1;
    // Neither 01 nor -0.
    return bytes[digits] === ZERO && at - start > 1 ? -1 : at;
  }
  for (const literal of LITERALS) {
    if (literal.every((byte, index) => bytes[start + index] === byte)) return start + literal.length;
  }
  return -1;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

/** Whether a key, in its quotes, comes before another: not after it, not the same. */
function isBefore(
  bytes: Uint8Array,
  start: number,
  end: number,
  otherStart: number,
  otherEnd: number,
): boolean {
  const [length, otherLength] = [end - start - 1, otherEnd - otherStart - 1];
  for (let index = 1; index < length && index < otherLength; index++) {
    const difference = bytes[start + index]! - bytes[otherStart + index]!;
    if (difference !== 0) return difference < 0;
  }
  return length < otherLength;
}
