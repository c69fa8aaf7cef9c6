import { isUtf8 } from 'node:buffer';
import { broken } from './broken.ts';

/** Texts within a large line that are longer are left where they are. */
const LONG_BYTES = 64 * 1024;
/** Of base64, too, a whole number of groups. */
const PIECE_BYTES = 256 * 1024;
const [QUOTE, BACKSLASH, U] = [0x22, 0x5c, 0x75];

/** A very large line: its JSON, in which numbers behind a NUL stand for the long texts. */
export interface LargeLine {
  readonly json: string;
  /** What a text of the JSON stands for. */
  longText(text: string): LongText | undefined;
}

/** No JSON has the character in a text as it is. */
const PLACEHOLDER = /^\0(\d+)$/;

/** Throws `corrupt`. */
export function largeLine(bytes: Buffer): LargeLine {
  if (!isUtf8(bytes)) throw broken('a line is not UTF-8', 0);
  const parts: string[] = [];
  const long: LongText[] = [];
  let from = 0;
  for (let start = bytes.indexOf(QUOTE); start >= 0; ) {
    const end = textEnd(bytes, start + 1);
    if (end - start > LONG_BYTES) {
      parts.push(bytes.toString('utf8', from, start), `"\0${long.length}"`);
      long.push(new LongText(bytes.subarray(start + 1, end)));
      from = end + 1;
    }
    start = bytes.indexOf(QUOTE, end + 1);
  }
  parts.push(bytes.toString('utf8', from));
  return {
    json: parts.join(''),
    longText(text) {
      const number = PLACEHOLDER.exec(text)?.[1];
      return number === undefined ? undefined : long[Number(number)];
    },
  };
}

/** Where the text that begins at a position has its last quote. */
function textEnd(bytes: Buffer, from: number): number {
  for (let end = bytes.indexOf(QUOTE, from); end >= 0; end = bytes.indexOf(QUOTE, end + 1)) {
    let before = end;
    while (before > from && bytes[before - 1] === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
  throw broken('a text does not end', from - 1);
}

/** A long text of JSON: the bytes that it stands in, its escapes among them. */
export class LongText {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get text(): string {
    return Buffer.concat([...this.pieces()]).toString('utf8');
  }

  /** So many bytes has it at most. */
  get maxBytes(): number {
    return this.#bytes.length;
  }

  /** Its UTF-8, in whole characters. Throws `corrupt`. */
  *pieces(): Generator<Buffer> {
    for (let from = 0; from < this.#bytes.length; ) {
      const to = this.#cut(from);
      const piece = this.#bytes.subarray(from, to);
      from = to;
      if (!piece.includes(BACKSLASH)) {
        yield piece;
        continue;
      }
      try {
        yield Buffer.from(JSON.parse(`"${piece.toString('utf8')}"`) as string);
      } catch {
        throw broken('a text is not one', 0);
      }
    }
  }

  /** Where a piece may end: not in a character or an escape, nor between two escapes that are one character. */
  #cut(from: number): number {
    const bytes = this.#bytes;
    const wanted = from + PIECE_BYTES;
    if (wanted >= bytes.length) return bytes.length;
    for (let at = from; at < wanted; ) {
      const next = bytes.indexOf(BACKSLASH, at);
      if (next < 0 || next >= wanted) {
        let to = wanted;
        while ((bytes[to]! & 0xc0) === 0x80) to--;
        return to;
      }
      at = next;
      while (bytes[at] === BACKSLASH && (at < wanted || this.#isSecondHalf(at)))
        at += bytes[at + 1] === U ? 6 : 2;
      if (at >= wanted) return Math.min(at, bytes.length);
    }
    return wanted;
  }

  /** Whether the escape there is the second of two that are one character: `\udc00` to `\udfff`. */
  #isSecondHalf(at: number): boolean {
    return /^\\ud[c-f]/i.test(this.#bytes.toString('latin1', at, at + 4));
  }
}
