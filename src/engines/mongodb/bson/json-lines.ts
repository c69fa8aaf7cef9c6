import { broken } from './broken.ts';
import { type LargeLine, largeLine } from './long-text.ts';

/** Of lines that are read, and of documents that are made of them, at once. */
export const PIECE_BYTES = 256 * 1024;
/** A line that is longer is not read as a text. */
const LARGE_BYTES = 1024 * 1024;
const MAX_LINE_BYTES = 256 * 1024 * 1024;
const LINE_FEED = 0x0a;

/** Lines of UTF-8, in batches that are the caller's; a very large one alone. */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<(string | LargeLine)[]> {
  const begun = new GrowingBytes();
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let from = 0; from < bytes.length; ) {
      const piece = bytes.subarray(from, from + PIECE_BYTES);
      const isLarge = begun.size >= LARGE_BYTES;
      const end = isLarge ? piece.indexOf(LINE_FEED) : piece.lastIndexOf(LINE_FEED);
      from += end < 0 ? piece.length : end + 1;
      if (begun.size === 0 && end >= 0) yield piece.toString('utf8', 0, end).split('\n');
      else begun.add(end < 0 ? piece : piece.subarray(0, end));
      if (begun.size > MAX_LINE_BYTES) throw broken('a line is too long', 0);
      if (end < 0 || begun.size === 0) continue;
      yield isLarge ? [largeLine(begun.take())] : begun.take().toString('utf8').split('\n');
    }
  }
  if (begun.size >= LARGE_BYTES) yield [largeLine(begun.take())];
  else if (begun.size > 0) yield [begun.take().toString('utf8')];
}

/** What a document of 16 MB is in base64; memory that nobody wrote to costs nothing. */
const ROOM_BYTES = 24 * 1024 * 1024;

/** Bytes that are put together. */
class GrowingBytes {
  #bytes = Buffer.alloc(0);
  size = 0;

  add(more: Uint8Array): void {
    const wanted = this.size + more.length;
    if (wanted > this.#bytes.length) {
      const least = wanted > LARGE_BYTES ? ROOM_BYTES : 2 * wanted;
      const larger = Buffer.allocUnsafeSlow(Math.max(least, wanted + (wanted >> 1)));
      this.#bytes.copy(larger, 0, 0, this.size);
      this.#bytes = larger;
    }
    this.#bytes.set(more, this.size);
    this.size = wanted;
  }

  /** What was put together, the caller's; a large one is not kept here. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.size);
    if (this.size >= LARGE_BYTES) this.#bytes = Buffer.alloc(0);
    this.size = 0;
    return bytes;
  }
}
