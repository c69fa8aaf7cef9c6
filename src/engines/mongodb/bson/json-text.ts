import { broken } from './broken.ts';
import type { LargeLine, LongText } from './long-text.ts';

/** A value of JSON as it stands in a text. */
export type Node =
  | { readonly kind: 'object'; readonly fields: readonly (readonly [string, Node])[] }
  | { readonly kind: 'array'; readonly items: readonly Node[] }
  /** `long`: its bytes, where it is a long text of a large line. */
  | { readonly kind: 'string'; readonly text: string; readonly long?: LongText }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'word'; readonly value: boolean | null };

const MAX_DEPTH = 210;

/**
 * Reads JSON with the order of fields, and all of those that stand twice: JSON.parse moves fields that are called
 * like numbers to the front, and forgets all but the last of a name. Throws `corrupt`.
 */
export function parseJsonText(line: string | LargeLine): Node {
  const reader = typeof line === 'string' ? new Reader(line) : new Reader(line.json, line);
  const node = reader.value(0);
  reader.end();
  return node;
}

class Reader {
  readonly #text: string;
  #at = 0;
  #escape = -1;

  readonly #line: LargeLine | undefined;

  constructor(text: string, line?: LargeLine) {
    this.#text = text;
    this.#line = line;
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw broken('something follows', this.#at);
  }

  value(depth: number): Node {
    if (depth > MAX_DEPTH) throw broken('objects lie too deep in each other', this.#at);
    this.#space();
    const char = this.#text[this.#at];
    if (char === '{') return { kind: 'object', fields: this.#fields(depth) };
    if (char === '[') return { kind: 'array', items: this.#items(depth) };
    if (char === '"') return this.#textNode();
    NUMBER.lastIndex = this.#at;
    const number = NUMBER.exec(this.#text)?.[0];
    if (number !== undefined) {
      this.#at += number.length;
      return { kind: 'number', text: number };
    }
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return { kind: 'word', value };
    }
    throw broken('no value', this.#at);
  }

  #fields(depth: number): [string, Node][] {
    const fields: [string, Node][] = [];
    this.#at++;
    if (this.#takes('}')) return fields;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw broken('no field name', this.#at);
      const name = this.#textNode().text;
      if (!this.#takes(':')) throw broken('no colon', this.#at);
      fields.push([name, this.value(depth + 1)]);
      if (this.#takes('}')) return fields;
      if (!this.#takes(',')) throw broken('an object does not go on', this.#at);
    }
  }

  #items(depth: number): Node[] {
    const items: Node[] = [];
    this.#at++;
    if (this.#takes(']')) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.#takes(']')) return items;
      if (!this.#takes(',')) throw broken('an array does not go on', this.#at);
    }
  }

  #textNode(): Extract<Node, { kind: 'string' }> {
    // As it stands there: a text of the document that begins with a NUL has an escape in its place.
    const isPlaceholder = this.#text.charCodeAt(this.#at + 1) === 0;
    const text = this.#string();
    const long = isPlaceholder ? this.#line?.longText(text) : undefined;
    if (long === undefined) return { kind: 'string', text };
    return {
      kind: 'string',
      long,
      get text() {
        return long.text;
      },
    };
  }

  #string(): string {
    const start = this.#at;
    let end = this.#text.indexOf('"', start + 1);
    if (end >= 0 && this.#escapeAfter(start) > end) {
      this.#at = end + 1;
      return this.#text.slice(start + 1, end);
    }
    while (end >= 0 && this.#isEscaped(start, end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw broken('a text does not end', start);
    this.#at = end + 1;
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      throw broken('a text is not one', start);
    }
  }

  /** Where the next backslash is. */
  #escapeAfter(at: number): number {
    if (this.#escape < at) {
      const found = this.#text.indexOf('\\', at);
      this.#escape = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return this.#escape;
  }

  /** An odd number of backslashes before it. */
  #isEscaped(start: number, at: number): boolean {
    let before = at;
    while (before - 1 > start && this.#text.charCodeAt(before - 1) === 0x5c) before--;
    return (at - before) % 2 === 1;
  }

  #takes(char: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly (readonly [string, boolean | null])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];
