import type { Db } from 'mongodb';
import { createCollector } from '../../../archive/heap.ts';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { createFingerprint, type Fingerprint } from '../../jsonl/fingerprint.ts';
import type { BackupContent } from '../../types.ts';
import { booleanField, elements, field, TYPE, without } from '../bson/bson.ts';
import { documentsOfPack } from '../bson/pack.ts';
import { packsOf } from '../bson/packs.ts';
import type { Part } from '../dump/content.ts';
import { commandValue, INSERT_LIMITS } from '../server/raw.ts';
import { createInserts } from './inserts.ts';

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
  const collect = createCollector();
  const { info, entry, format } = part;
  if (entry === undefined) return print;
  async function* counted() {
    for await (const chunk of content.read(entry!)) {
      request.onBytes(chunk.length);
      yield chunk;
    }
  }
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
    for await (const pack of packsOf(counted(), format, INSERT_LIMITS)) {
      throwIfAborted(request.signal);
      for (const one of documentsOfPack(pack)) {
        print.add(one);
        if (request.onEmptyTimestamp && hasEmptyTimestamp(one)) request.onEmptyTimestamp(info.name);
      }
      // First what it was made of goes: the driver makes copies of it.
      collect(pack.bytes.length);
      await inserts.send(pack);
    }
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
