import type { Db, Timestamp } from 'mongodb';
import { throwIfAborted } from '../../errors.ts';
import { collectionSize } from './catalog.ts';
import { serverError } from './failures.ts';
import type { Fingerprint } from './fingerprint.ts';
import { rawCursor } from './raw.ts';

/** What one answer of the server is to hold: enough for speed, little enough for several at once. */
const BATCH_BYTES = 2 * 1024 * 1024;
const MAX_BATCH_DOCUMENTS = 50_000;
const CHUNK_BYTES = 512 * 1024;

export interface ReadRequest {
  /** Reads at this moment; undefined: whatever is there while it is read. */
  readonly at?: Timestamp;
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
  { at, signal, subject }: ReadRequest,
): AsyncGenerator<Uint8Array> {
  try {
    const average = (await collectionSize(db, collection))?.averageBytes ?? 1024;
    const batchSize = Math.max(2, Math.min(MAX_BATCH_DOCUMENTS, Math.round(BATCH_BYTES / average)));
    const command = {
      find: collection,
      filter: {},
      batchSize,
      // The cursor of a slow destination waits as long as it takes; the session is kept alive by its reads.
      noCursorTimeout: true,
      ...(at === undefined ? {} : { readConcern: { level: 'snapshot', atClusterTime: at } }),
    };
    for await (const documents of rawCursor(db, command, { batchSize })) {
      throwIfAborted(signal);
      yield* pack(documents, print);
    }
  } catch (error) {
    throwIfAborted(signal);
    throw serverError(error, 'source_failed', 'read documents', subject);
  }
}

/** Copies documents behind one another. */
function* pack(documents: readonly Buffer[], print: Fingerprint): Generator<Uint8Array> {
  let chunk: Buffer[] = [];
  let size = 0;
  for (const one of documents) {
    print.add(one);
    chunk.push(one);
    size += one.length;
    if (size < CHUNK_BYTES) continue;
    yield Buffer.concat(chunk, size);
    chunk = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(chunk, size);
}
