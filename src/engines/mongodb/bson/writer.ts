import type { LongText } from './long-text.ts';

const FIRST_BYTES = 64 * 1024;
/** Base64 is decoded in steps of so many characters: Node copies what it is given, two bytes for each. */
const BASE64_CHARS = 256 * 1024;

/** A buffer that grows while BSON is written into it. */
export class BsonWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  at = 0;

  /** What was written, valid until the next write. */
  written(from = 0): Buffer {
    return this.#bytes.subarray(from, this.at);
  }

  /** Forgets what was written; the memory is used again. */
  clear(): void {
    this.at = 0;
  }

  /** Leaves out bytes that are set later; returns where they are. */
  skip(count: number): number {
    this.#reserve(count);
    this.at += count;
    return this.at - count;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.at++] = value;
  }

  setByte(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  int32(value: number): void {
    this.#reserve(4);
    this.at = this.#bytes.writeInt32LE(value, this.at);
  }

  setInt32(at: number, value: number): void {
    this.#bytes.writeInt32LE(value, at);
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.at);
    this.at += value.length;
  }

  /** UTF-8 and a zero byte. */
  cstring(text: string): void {
    this.#reserve(text.length <= FIRST_BYTES ? text.length * 3 + 1 : Buffer.byteLength(text) + 1);
    this.at += this.#bytes.write(text, this.at, 'utf8');
    this.#bytes[this.at++] = 0;
  }

  /** BSON's text: its length with the zero byte, UTF-8, zero byte. */
  text(text: string): void {
    const start = this.skip(4);
    this.cstring(text);
    this.setInt32(start, this.at - start - 4);
  }

  base64(text: string): void {
    this.#reserve(Math.ceil((text.length * 3) / 4));
    const start = this.at;
    for (let from = 0; from < text.length; from += BASE64_CHARS) {
      const part = text.slice(from, from + BASE64_CHARS);
      const count = this.#bytes.write(part, this.at, 'base64');
      if (from + BASE64_CHARS < text.length && count !== (BASE64_CHARS / 4) * 3) {
        // It has characters that are none of base64's: they count only as a whole.
        this.at = start + this.#bytes.write(text, start, 'base64');
        return;
      }
      this.at += count;
    }
  }

  /** As `text`. */
  longText(long: LongText): void {
    const start = this.skip(4);
    this.#reserve(long.maxBytes + 1);
    for (const piece of long.pieces()) this.bytes(piece);
    this.byte(0);
    this.setInt32(start, this.at - start - 4);
  }

  /** As `base64`. */
  longBase64(long: LongText): void {
    this.#reserve(Math.ceil((long.maxBytes * 3) / 4));
    const start = this.at;
    let read = 0;
    for (const piece of long.pieces()) {
      const count = this.#bytes.write(piece.toString('latin1'), this.at, 'base64');
      read += piece.length;
      if (read < long.maxBytes && count !== (piece.length / 4) * 3) {
        // Escapes, or characters that are none of base64's: they count only as a whole.
        this.at = start;
        this.base64(long.text);
        return;
      }
      this.at += count;
    }
  }

  #reserve(count: number): void {
    const wanted = this.at + count;
    if (wanted <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted + FIRST_BYTES, Math.min(2 * wanted, 1024 * 1024)));
    this.#bytes.copy(larger, 0, 0, this.at);
    this.#bytes = larger;
  }
}
