import { broken, MAX_WIRE_DOCUMENT_BYTES } from './bson.ts';
import { writeJson } from './ejson-read.ts';
import { jsonLines, PIECE_BYTES } from './json-lines.ts';
import type { LargeLine } from './long-text.ts';
import { type Pack, type PackLimits, packDocuments } from './pack.ts';
import { BsonWriter } from './writer.ts';

/** The documents of a file, BSON or lines of Extended JSON, as packs. Throws `corrupt`. */
export async function* packsOf(
  chunks: AsyncIterable<Uint8Array>,
  format: 'bson' | 'jsonl',
  limits: PackLimits,
): AsyncGenerator<Pack> {
  if (format === 'bson') {
    yield* packDocuments(alone(chunks), limits);
    return;
  }
  const batches = jsonLines(chunks);
  const out = new BsonWriter();
  let large: LargeLine | undefined;
  let ended = false;
  /** Up to the next very large line. */
  async function* pieces(): AsyncGenerator<readonly Uint8Array[]> {
    for (;;) {
      const next = await batches.next();
      ended = next.done === true;
      if (ended) return;
      for (const line of next.value as (string | LargeLine)[]) {
        if (typeof line !== 'string') {
          large = line;
          return;
        }
        writeJson(out, line);
        if (out.at < PIECE_BYTES) continue;
        yield [out.written()];
        out.clear();
      }
      yield [out.written()];
      out.clear();
    }
  }
  // Nobody holds the line any more once its pack is handed on: each of them may be 20 MB.
  const takeLarge = (): Pack | undefined => {
    const line = large;
    large = undefined;
    return line && packOfLine(line, limits.room);
  };
  try {
    while (!ended) {
      yield* packDocuments(pieces(), limits);
      if (large !== undefined) yield takeLarge()!;
    }
  } finally {
    await batches.return(undefined);
  }
}

async function* alone(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[]> {
  for await (const chunk of chunks) yield [chunk];
}

/** Written where it is sent from, without a copy. */
function packOfLine(line: LargeLine, room: number): Pack {
  const out = new BsonWriter();
  out.skip(room);
  writeJson(out, line);
  if (out.at - room > MAX_WIRE_DOCUMENT_BYTES) throw broken(`a document of ${out.at - room} bytes`, 0);
  return { bytes: out.written(), room, count: 1 };
}
