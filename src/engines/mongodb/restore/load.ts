import type { Db } from 'mongodb';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import { booleanField, documentsOfStream, elements, field, TYPE, textField, without } from '../bson/bson.ts';
import { jsonToDocument } from '../bson/ejson-read.ts';
import { createFingerprint, type Fingerprint } from '../bson/fingerprint.ts';
import type { Part } from '../dump/content.ts';
import type { CollectionInfo } from '../server/catalog.ts';
import { commandValue } from '../server/raw.ts';
import { createInserts } from './inserts.ts';

/**
 * One message to the server. It takes 48 MB and 100,000 documents; smaller ones keep it and us evenly busy, and the
 * driver copies each three times.
 */
const INSERT_BYTES = 1024 * 1024;
const INSERT_DOCUMENTS = 2000;
/** Lines of JSON that are turned into documents at once. */
const LINES = 256;
/** Of what listCollections says, what `create` does not take, or what is the server's to decide. */
const NOT_TO_CREATE = ['uuid', 'temp', 'flags', 'autoIndexId'];

export interface LoadRequest {
  readonly signal: AbortSignal;
  /** See `keepsEmptyTimestamps`. */
  readonly keepEmptyTimestamps: boolean;
  /** Told of documents that the server is going to change: it puts its clock in the place of Timestamp(0, 0). */
  readonly onEmptyTimestamp?: (collection: string) => void;
  /** Told of documents that the backup has twice, in two states; the later one is there now. */
  readonly onReplaced?: (collection: string, count: number) => void;
  readonly onBytes: (count: number) => void;
}

/** Creates a collection or view of that name with the options of another. */
export async function createCollection(db: Db, name: string, options: Buffer): Promise<void> {
  const values = await commandValue(without(options, NOT_TO_CREATE));
  await db.command({ create: name, ...Object.fromEntries(values) });
}

/**
 * Loads a collection's documents, then builds its indexes. `into` is the collection that takes the documents.
 * Throws `corrupt` where what came is not what was recorded, `target_failed` for what the server refuses.
 */
export async function loadPart(
  db: Db,
  into: string,
  part: Part,
  content: BackupContent,
  request: LoadRequest,
): Promise<Fingerprint> {
  const print = createFingerprint();
  const { info, entry } = part;
  if (entry === undefined) return print;
  // What a scan without a snapshot met twice: deleted and made anew meanwhile.
  const replaced = createFingerprint();
  const isExact = content.facts.consistency !== 'none';
  const inserts = createInserts(db, into, {
    ...(isExact ? {} : { onReplaced: (old: Buffer) => replaced.add(old) }),
    bypassValidation: field(info.options, 'validator') !== undefined,
    keepEmptyTimestamps: request.keepEmptyTimestamps,
    // The order of a capped collection is its own; and what has no order comes back nearly as it was.
    inOrder: booleanField(info.options, 'capped') === true,
  });
  try {
    let batch: Buffer[] = [];
    let size = 0;
    for await (const documents of documentsOf(content, part, request)) {
      throwIfAborted(request.signal);
      for (const one of documents) {
        print.add(one);
        if (request.onEmptyTimestamp && hasEmptyTimestamp(one)) request.onEmptyTimestamp(info.name);
        const full = size + one.length > INSERT_BYTES || batch.length === INSERT_DOCUMENTS;
        if (full && batch.length > 0) {
          await inserts.send(batch, size);
          batch = [];
          size = 0;
        }
        batch.push(one);
        size += one.length;
      }
    }
    if (batch.length > 0) await inserts.send(batch, size);
    await inserts.finish();
  } finally {
    await inserts.settled();
  }
  compareDumped(part, print);
  print.subtract(replaced);
  if (replaced.documents > 0) request.onReplaced?.(info.name, replaced.documents);
  return print;
}

function hasEmptyTimestamp(bytes: Buffer): boolean {
  for (const { type, start, name } of elements(bytes)) {
    if (type === TYPE.timestamp && name !== '_id' && bytes.readBigUInt64LE(start) === 0n) return true;
  }
  return false;
}

async function* documentsOf(
  content: BackupContent,
  { entry, format }: Part,
  { onBytes }: LoadRequest,
): AsyncGenerator<Buffer[]> {
  async function* counted() {
    for await (const chunk of content.read(entry!)) {
      onBytes(chunk.length);
      yield chunk;
    }
  }
  if (format === 'bson') return yield* documentsOfStream(counted());
  for await (const lines of linesOf(counted())) {
    for (let at = 0; at < lines.length; at += LINES) yield lines.slice(at, at + LINES).map(jsonToDocument);
  }
}

const MAX_LINE_BYTES = 256 * 1024 * 1024;

/** Lines of UTF-8, in batches. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk);
    const last = bytes.lastIndexOf(10);
    if (last < 0) {
      rest.push(bytes);
      restBytes += bytes.length;
      if (restBytes > MAX_LINE_BYTES)
        throw new DguardError('corrupt', 'a line is too long', { operation: 'read documents' });
      continue;
    }
    const text = Buffer.concat([...rest, bytes.subarray(0, last)]).toString('utf8');
    rest = [bytes.subarray(last + 1)];
    restBytes = rest[0]!.length;
    yield text.split('\n');
  }
  if (restBytes > 0) yield Buffer.concat(rest).toString('utf8').split('\n');
}

/** What was read must be what was dumped. */
function compareDumped({ info, dumped }: Part, print: Fingerprint): void {
  if (dumped === undefined) return;
  if (dumped.documents === print.documents && dumped.sum === print.sum()) return;
  throw new DguardError(
    'corrupt',
    `${info.name} has ${print.documents} documents in the backup, ${dumped.documents} were recorded, or others than those`,
    { operation: 'read documents', subject: info.name },
  );
}

/** Builds the indexes of a collection on another that holds its documents, all in one pass. */
export async function buildIndexes(db: Db, into: string, info: CollectionInfo): Promise<void> {
  const specs = info.indexes.filter(
    (index) => textField(index, 'name') !== '_id_' && booleanField(index, 'clustered') !== true,
  );
  if (specs.length === 0) return;
  try {
    const indexes = await Promise.all(specs.map((index) => commandValue(without(index, ['ns']))));
    await db.command({ createIndexes: into, indexes });
  } catch (error) {
    throw new DguardError(
      'target_failed',
      `the indexes of ${info.name} could not be built: ${errorText(error)}`,
      {
        operation: 'build indexes',
        subject: `${db.databaseName}.${info.name}`,
        cause: error,
      },
    );
  }
}
