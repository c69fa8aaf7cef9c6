import type { Db } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import { createFingerprint } from '../../jsonl/fingerprint.ts';
import { field } from '../bson/bson.ts';
import { packDocuments } from '../bson/pack.ts';
import { describeCollection, storedIn } from '../server/catalog.ts';
import { INSERT_LIMITS, rawInsert } from '../server/raw.ts';
import { readCollection } from '../server/read.ts';
import { buildIndexes } from './indexes.ts';
import { createCollection } from './load.ts';

/**
 * Makes a collection like another, with its documents and indexes: for one that its server cannot rename. What had the
 * new name before is dropped. Throws where not every document came over; an interrupt leaves what was made so far. (Time
 * series have no timestamps of BSON where servers change empty ones, and FerretDB changes none.)
 */
export async function copyCollection(
  db: Db,
  from: string,
  to: string,
  signal = new AbortController().signal,
): Promise<void> {
  const info = await describeCollection(db, from);
  const failed = (why: string) =>
    new DguardError('target_failed', `${from} could not be copied: ${why}`, {
      operation: 'copy collection',
      subject: db.databaseName,
    });
  if (info === undefined) throw failed('it is gone');
  if ((await describeCollection(db, to)) !== undefined) await db.command({ drop: to });
  await createCollection(db, to, info.options);
  const [source, target] = [storedIn(info)!, storedIn({ ...info, name: to })!];
  const bypassValidation = field(info.options, 'validator') !== undefined;
  const [read, written] = [createFingerprint(), createFingerprint()];
  const request = { signal, subject: `${db.databaseName}.${from}` };
  async function* pieces() {
    for await (const chunk of readCollection(db, source, read, request)) yield [chunk];
  }
  for await (const pack of packDocuments(pieces(), INSERT_LIMITS))
    await rawInsert(db, target, pack, { bypassValidation });
  for await (const _ of readCollection(db, target, written, request));
  if (read.documents !== written.documents || read.sum() !== written.sum())
    throw failed(`${written.documents} of ${read.documents} documents came over unchanged`);
  await buildIndexes(db, to, info, { signal });
}
