import { broken, documentEnd, MAX_WIRE_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES } from './bson.ts';

/** Documents behind one another. */
export interface Pack {
  /** `room` bytes of nobody, then the documents. */
  readonly bytes: Buffer;
  readonly room: number;
  readonly count: number;
}

export interface PackLimits {
  /** Of the documents of a pack, unless one is larger. */
  readonly maxBytes: number;
  readonly maxDocuments: number;
  /** What is left free before the documents. */
  readonly room: number;
}

/** The documents of a pack, as views. */
export function* documentsOfPack({ bytes, room }: Pack): Generator<Buffer> {
  for (let at = room; at < bytes.length; ) {
    const end = documentEnd(bytes, at);
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** One pack of whole documents. */
export function packOf(documents: readonly Buffer[], room: number): Pack {
  return { bytes: Buffer.concat([Buffer.alloc(room), ...documents]), room, count: documents.length };
}

/**
 * Documents that stand behind one another, out of pieces that may be cut anywhere and are valid until the next are
 * asked for. The packs are copies. Throws `corrupt`.
 */
export async function* packDocuments(
  pieces: AsyncIterable<readonly Uint8Array[]>,
  { maxBytes, maxDocuments, room }: PackLimits,
): AsyncGenerator<Pack> {
  const length = Buffer.alloc(4);
  let lengthBytes = 0;
  /** Of the document that is being put together. */
  let missing = 0;
  let buffer = Buffer.alloc(0);
  let filled = room;
  let count = 0;
  const pack = (): Pack => {
    const done = { bytes: buffer.subarray(0, filled), room, count };
    buffer = Buffer.alloc(0);
    filled = room;
    count = 0;
    return done;
  };
  for await (const several of pieces) {
    for (const piece of several) {
      const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      for (let at = 0; at < bytes.length; ) {
        if (missing === 0) {
          const take = Math.min(4 - lengthBytes, bytes.length - at);
          bytes.copy(length, lengthBytes, at, at + take);
          lengthBytes += take;
          at += take;
          if (lengthBytes < 4) continue;
          const size = length.readInt32LE();
          if (size < MIN_DOCUMENT_BYTES || size > MAX_WIRE_DOCUMENT_BYTES)
            throw broken(`a document of ${size} bytes`, at);
          if (count > 0 && (filled - room + size > maxBytes || count === maxDocuments)) yield pack();
          if (buffer.length === 0) buffer = Buffer.allocUnsafeSlow(room + Math.max(size, maxBytes));
          filled += length.copy(buffer, filled);
          missing = size - 4;
          lengthBytes = 0;
          continue;
        }
        const take = Math.min(missing, bytes.length - at);
        filled += bytes.copy(buffer, filled, at, at + take);
        at += take;
        missing -= take;
        if (missing > 0) continue;
        if (buffer[filled - 1] !== 0) throw broken('a document does not end with a zero byte', at);
        count++;
        if (filled - room >= maxBytes) yield pack();
      }
    }
  }
  if (missing > 0 || lengthBytes > 0) throw broken('the last document is cut short', 0);
  if (count > 0) yield pack();
}
