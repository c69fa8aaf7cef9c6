import type { Db, Document } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import { document, documentsOf, element, elements, TYPE } from '../bson/bson.ts';
import { type Pack, type PackLimits, packOf } from '../bson/pack.ts';

/** What the driver's cursor holds of its server's last answer; not part of its published types. */
interface Answered {
  readonly documents?: { readonly batch: { toBytes(): Uint8Array }; clear(): void };
}

/**
 * The answers of a cursor, batch by batch, each a BSON array of documents. The
 * driver would hand out its documents one by one, and makes several objects of each.
 */
export async function* rawBatches(
  db: Db,
  command: Document,
  { batchSize }: { readonly batchSize?: number } = {},
): AsyncGenerator<Buffer> {
  // The cursor of a command would read from the primary, whatever the uri says.
  const options = {
    raw: true,
    ...(db.readPreference === undefined ? {} : { readPreference: db.readPreference }),
  };
  const cursor = db.runCursorCommand(command, options as Parameters<Db['runCursorCommand']>[1]);
  if (batchSize !== undefined) cursor.setBatchSize(batchSize);
  try {
    while (await cursor.hasNext()) {
      const { documents } = cursor as unknown as Answered;
      const bytes = documents!.batch.toBytes();
      yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      documents!.clear();
    }
  } finally {
    await cursor.close().catch(() => {});
  }
}

/** All documents of a small answer. */
export async function rawDocuments(db: Db, command: Document): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const batch of rawBatches(db, command))
    all.push(...documentsOf(batch).map((one) => Buffer.from(one)));
  return all;
}

export interface InsertOptions {
  /** Documents that were there before the collection's validator are taken. */
  readonly bypassValidation?: boolean;
  /** A server puts its clock where a document says Timestamp(0, 0), unless it knows how to be told not to. */
  readonly keepEmptyTimestamps?: boolean;
  /** Documents whose `_id` is taken are no error: which ones is returned. */
  readonly mayMeetIds?: boolean;
}

/** What a message to the server has before its documents: kind, length, `documents`. */
const SEQUENCE_ROOM = 1 + 4 + 'documents\0'.length;

/**
 * One message to the server. It takes 48 MB and 100,000 documents; smaller ones keep it and us evenly busy, and the
 * driver copies each twice.
 */
export const INSERT_LIMITS: PackLimits = {
  maxBytes: 1024 * 1024,
  maxDocuments: 2000,
  room: SEQUENCE_ROOM,
};

/** A pack of few documents, to be inserted. */
export function insertOf(documents: readonly Buffer[]): Pack {
  return packOf(documents, SEQUENCE_ROOM);
}

/**
 * Inserts documents as the bytes that they are. Throws for any that the server did not take, but returns which of
 * them have an `_id` that was taken, where they may.
 *
 * The bytes go beside the command (OP_MSG, section kind 1), by a class that the driver has for its own bulk
 * writes and does not export: it has no other door for documents that are not to be encoded. The pack has
 * the room of `INSERT_LIMITS`.
 */
export async function rawInsert(
  db: Db,
  collection: string,
  pack: Pack,
  options: InsertOptions = {},
): Promise<readonly number[]> {
  const { bypassValidation = false, keepEmptyTimestamps = false, mayMeetIds = false } = options;
  const { bytes, count } = pack;
  const answer = await db.command({
    insert: collection,
    ordered: false,
    ...(bypassValidation ? { bypassDocumentValidation: true } : {}),
    ...(keepEmptyTimestamps ? { bypassEmptyTsReplacement: true } : {}),
    documents: await sequenceOf(bytes),
  });
  const errors = (answer['writeErrors'] ?? []) as WriteError[];
  const concern = answer['writeConcernError'] as { errmsg: string } | undefined;
  if (errors.length === 0 && concern === undefined && answer['n'] === count) return [];
  const isWhole = Number(answer['n']) + errors.length === count && concern === undefined;
  if (mayMeetIds && isWhole && errors.every(isSameId)) return errors.map(({ index }) => index);
  const why = errors[0]?.errmsg ?? concern?.errmsg ?? `${answer['n']} of ${count} were taken`;
  throw new DguardError('target_failed', `the server refused documents of ${collection}: ${why}`, {
    operation: 'insert documents',
    subject: `${db.databaseName}.${collection}`,
  });
}

/** The driver would put the section together once more, out of an object for each document. */
async function sequenceOf(section: Buffer): Promise<object> {
  const { DocumentSequence } = await import('mongodb/lib/cmap/commands.js');
  section.writeUInt8(1, 0);
  section.writeInt32LE(section.length - 1, 1);
  section.write('documents\0', 5, 'latin1');
  const sequence = new DocumentSequence('documents');
  sequence.toBin = () => section;
  return sequence;
}

interface WriteError {
  readonly index: number;
  readonly code: number;
  readonly errmsg: string;
  readonly keyPattern?: object;
}

/** A document's key is in a unique index already. */
export const DUPLICATE_KEY = 11000;

function isSameId({ code, errmsg, keyPattern }: WriteError): boolean {
  if (code !== DUPLICATE_KEY) return false;
  return keyPattern === undefined ? /\b_id_\b/.test(errmsg) : Object.keys(keyPattern).join() === '_id';
}

/**
 * A document as a value that the driver encodes to the same bytes: Maps keep the order of fields, and numbers
 * stay of their type. For the small ones in commands: options, keys of an index.
 */
export async function commandValue(bytes: Buffer): Promise<Map<string, unknown>> {
  const { BSON } = await import('mongodb');
  const leaf = (type: number, value: Buffer): unknown =>
    BSON.deserialize(document([element(type, 'v', value)]), {
      promoteValues: false,
      promoteLongs: false,
      promoteBuffers: false,
      bsonRegExp: true,
    })['v'];
  const convert = (type: number, value: Buffer): unknown => {
    if (type === TYPE.document) return map(value);
    if (type === TYPE.array) return [...map(value).values()];
    return leaf(type, value);
  };
  const map = (whole: Buffer): Map<string, unknown> =>
    new Map(
      [...elements(whole)].map(({ type, name, start, end }) => [
        name,
        convert(type, whole.subarray(start, end)),
      ]),
    );
  return map(bytes);
}
