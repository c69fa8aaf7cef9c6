import type { Db, Document } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import { document, elements } from '../bson/bson.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import { documentsOfPack, type Pack } from '../bson/pack.ts';
import { commandValue, type InsertOptions, insertOf, rawDocuments, rawInsert } from '../server/raw.ts';

/** Messages under way at once, and their bytes, unless one is larger. */
const INSERTS_AHEAD = 3;
const AHEAD_BYTES = INSERTS_AHEAD * 1024 * 1024;

export interface InsertsOptions extends Omit<InsertOptions, 'mayMeetIds'> {
  /** One message after the other. */
  readonly inOrder?: boolean;
  /**
   * Of documents with the same `_id`, the one that was sent last is there in the end; each of the others is handed
   * on. Without this they are an error.
   */
  readonly onReplaced?: (old: Buffer) => void;
}

/** Messages to one collection, several under way at once. */
export interface Inserts {
  /** Returns once there is room for more. Throws what an earlier message met. */
  send(pack: Pack): Promise<void>;
  /** Waits for all that was sent. */
  finish(): Promise<void>;
  /** Waits until nothing is under way any more; never throws. */
  settled(): Promise<void>;
}

interface Message {
  readonly pack: Pack;
  /** Which of its documents have an `_id` that was taken. Never rejects. */
  readonly refused: Promise<readonly number[]>;
}

/**
 * Sends documents to a collection that holds nothing else. Messages are kept, in their order, until the oldest is
 * answered, so that what a refused document met is known to be older where none of them has it.
 */
export function createInserts(db: Db, collection: string, options: InsertsOptions): Inserts {
  const { inOrder = false, onReplaced, ...insert } = options;
  const ahead = inOrder ? 1 : INSERTS_AHEAD;
  const messages: Message[] = [];
  let failure: unknown;

  const settled = async () => {
    await Promise.all(messages.map(({ refused }) => refused));
  };
  /** Waits for the oldest message. */
  const advance = async () => {
    const refused = await messages[0]!.refused;
    if (failure !== undefined) throw failure;
    if (refused.length === 0) return void messages.shift();
    await settled();
    if (failure !== undefined) throw failure;
    await replaceOlder(db, collection, messages.splice(0), insert, onReplaced!);
  };
  return {
    async send(pack) {
      const bytes = () => messages.reduce((sum, one) => sum + one.pack.bytes.length, pack.bytes.length);
      const isFull = () => messages.length >= ahead || (messages.length > 0 && bytes() > AHEAD_BYTES);
      while (isFull()) await advance();
      if (failure !== undefined) throw failure;
      const refused = rawInsert(db, collection, pack, {
        ...insert,
        mayMeetIds: onReplaced !== undefined,
      }).catch((error: unknown) => {
        failure ??= error;
        return [];
      });
      messages.push({ pack, refused });
      // The next one would be read meanwhile.
      if (pack.bytes.length > AHEAD_BYTES) await advance();
    },
    async finish() {
      while (messages.length > 0) await advance();
    },
    settled,
  };
}

/**
 * Puts the last of several documents with one `_id` in the place of the one that is there. Which of two that were under
 * way at once came first is chance, and servers take numbers of any type, and texts of one collation, for the same.
 */
async function replaceOlder(
  db: Db,
  collection: string,
  messages: readonly Message[],
  insert: InsertOptions,
  onReplaced: (old: Buffer) => void,
): Promise<void> {
  const refused: number[] = [];
  const sent: Buffer[] = [];
  for (const message of messages) {
    refused.push(...(await message.refused).map((index) => sent.length + index));
    sent.push(...documentsOfPack(message.pack));
  }
  const taken = new Map<string, number>();
  const refusedAt = new Set(refused);
  for (const [at, one] of sent.entries()) if (!refusedAt.has(at)) taken.set(idOf(one).toString('latin1'), at);
  for (const at of refused.sort((a, b) => a - b)) {
    const one = sent[at]!;
    const filter = { _id: { $eq: await idValue(db, collection, one) } };
    const [there] = await rawDocuments(db, { find: collection, filter, limit: 1 });
    const id = there && idOf(there).toString('latin1');
    if (id !== undefined && (taken.get(id) ?? -1) > at) {
      onReplaced(one);
      continue;
    }
    if (there !== undefined) {
      await db.command({ delete: collection, deletes: [{ q: filter, limit: 1 }] });
      onReplaced(there);
    }
    await rawInsert(db, collection, insertOf([one]), insert);
    taken.set(idOf(one).toString('latin1'), at);
  }
}

/** What a server can be asked for. The driver has no value for some: a date that no `Date` holds would be 1970. */
async function idValue(db: Db, collection: string, one: Buffer): Promise<unknown> {
  const { BSON } = await import('mongodb');
  const id = document([idOf(one)]);
  const value = await commandValue(id);
  if (id.equals(BSON.serialize(value as unknown as Document))) return value.get('_id');
  throw new DguardError(
    'target_failed',
    `two documents of ${collection} have the _id ${documentToJson(id)}, which the driver cannot ask for`,
    {
      operation: 'insert documents',
      subject: `${db.databaseName}.${collection}`,
      hint: 'leave the collection out (--only), and load it with mongorestore: dguard show ID',
    },
  );
}

/** The element `_id`, its type and name included; empty of a document that has none. */
function idOf(bytes: Buffer): Buffer {
  for (const { name, at, end } of elements(bytes)) if (name === '_id') return bytes.subarray(at, end);
  return bytes.subarray(0, 0);
}
