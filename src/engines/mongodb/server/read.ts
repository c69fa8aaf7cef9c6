import type { Db, Timestamp } from 'mongodb';
import { createCollector } from '../../../archive/heap.ts';
import { throwIfAborted } from '../../../errors.ts';
import type { Fingerprint } from '../../jsonl/fingerprint.ts';
import { documentEnd } from '../bson/bson.ts';
import { collectionSize } from './catalog.ts';
import { serverError } from './failures.ts';
import { rawBatches } from './raw.ts';

/** What one answer of the server is to hold: enough for speed, little enough for several at once. */
const BATCH_BYTES = 2 * 1024 * 1024;
const MAX_BATCH_DOCUMENTS = 50_000;
const CHUNK_BYTES = 512 * 1024;

export interface ReadRequest {
  /** Reads at this moment; undefined: whatever is there while it is read. */
  readonly at?: Timestamp;
  /** Of a document, where it is known. */
  readonly averageBytes?: number;
  readonly signal: AbortSignal;
  /** For messages: `app-db/app.users`. */
  readonly subject: string;
}

/**
 * All documents of a collection in the order in which the server has them, as chunks of bytes that stay valid.
 * Throws `source_failed` where the server fails.
 */
export async function* readCollection(
  db: Db,
  collection: string,
  print: Fingerprint,
  { at, averageBytes, signal, subject }: ReadRequest,
): AsyncGenerator<Uint8Array> {
  const collect = createCollector();
  try {
    const average = averageBytes ?? (await collectionSize(db, collection))?.averageBytes ?? 1024;
    const batchSize = Math.max(1, Math.min(MAX_BATCH_DOCUMENTS, Math.round(BATCH_BYTES / average)));
    const command = {
      find: collection,
      filter: {},
      batchSize,
      ...(at === undefined ? {} : { readConcern: { level: 'snapshot', atClusterTime: at } }),
    };
    for await (const batch of rawBatches(db, command, { batchSize })) {
      throwIfAborted(signal);
      yield* pack(batch, print);
      collect(batch.length);
    }
  } catch (error) {
    throwIfAborted(signal);
    throw serverError(error, 'source_failed', 'read documents', subject);
  }
}

/**
 * Copies the documents of an array behind one another: each stands there with its type and its number as a name.
 */
function* pack(array: Buffer, print: Fingerprint): Generator<Uint8Array> {
  const arrayEnd = documentEnd(array) - 1;
  let chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, array.length));
  let filled = 0;
  for (let at = 4; at < arrayEnd; ) {
    const start = array.indexOf(0, at) + 1;
    const end = documentEnd(array, start, arrayEnd);
    const size = end - start;
    if (size > CHUNK_BYTES) {
      if (filled > 0) yield chunk.subarray(0, filled);
      filled = 0;
      const one = array.subarray(start, end);
      print.add(one);
      // No copy: the driver lets go of an answer once it was read.
      yield one;
      chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, arrayEnd - end));
      at = end;
      continue;
    }
    if (filled + size > chunk.length) {
      if (filled > 0) yield chunk.subarray(0, filled);
      chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, arrayEnd - start));
      filled = 0;
    }
    array.copy(chunk, filled, start, end);
    print.add(chunk.subarray(filled, filled + size));
    filled += size;
    at = end;
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}
