import type { Db } from 'mongodb';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { RestoreOutcome, TableFact } from '../../types.ts';
import { catalogHash, databaseSize, listCollections, renamedInfo, storedIn } from '../server/catalog.ts';
import { scratchDatabase, scratchNames } from '../server/names.ts';
import { serverNow } from '../server/server-info.ts';
import { createCollection } from './load.ts';
import {
  holdMark,
  insertMark,
  leaseEnd,
  listMarks,
  type Mark,
  markOwner,
  ownCollections,
  uniqueWord,
} from './marks.ts';
import type { Place, Work } from './restore-work.ts';

/**
 * Into a marked database of its own that is gone afterwards, whatever happens; every document is read back
 * and hashed.
 */
export async function restoreToScratch(
  work: Work,
  load: (db: Db, places: readonly Place[]) => Promise<TableFact[]>,
): Promise<RestoreOutcome> {
  const { server, request, target, parts } = work;
  const id = uniqueWord();
  const name = scratchDatabase(target, id);
  const db = server.client.db(name);
  const now = () => serverNow(server);
  const mark: Mark = {
    _id: id,
    dguard: 1,
    role: 'scratch',
    target,
    backupId: request.backupId,
    createdAt: request.now().toISOString(),
    parts: [],
    owner: markOwner(request.host),
    leaseUntil: leaseEnd(await now()),
  };
  throwIfAborted(request.signal);
  server.outlastInterrupt();
  let held: ReturnType<typeof holdMark> | undefined;
  try {
    await insertMark(db, mark);
    held = holdMark(db, id, now);
    const names = scratchNames(
      name,
      parts.map(({ info }) => info.name),
    );
    const places = parts.flatMap((part) => {
      const info = renamedInfo(part.info, names);
      const into = storedIn(info);
      return into === undefined ? [] : [{ part, create: info.name, into }];
    });
    const tables = await load(db, places);
    for (const part of parts) {
      const info = renamedInfo(part.info, names);
      if (info.type === 'view') await createCollection(db, info.name, info.options);
    }
    await compareSchema(work, db, names);
    return { target: name, sizeBytes: (await databaseSize(db)) ?? 0, tables };
  } finally {
    held?.release();
    await dropQuietly(work, db);
  }
}

/** On a server like the one that was dumped all options and indexes have to be what they were. */
async function compareSchema(
  { content, facts, info, target }: Work,
  db: Db,
  names: ReadonlyMap<string, string>,
): Promise<void> {
  const recorded = content.facts.schema_sha256;
  if (recorded === undefined || facts.product !== info.product || facts.version !== info.version) return;
  const own = await ownCollections(db);
  const recordedNames = new Map([...names].map(([name, scratch]) => [scratch, name]));
  const found = (await listCollections(db))
    .filter(({ name }) => !own.has(name))
    .map((one) => renamedInfo(one, recordedNames));
  if (catalogHash(found) === recorded) return;
  throw new DguardError(
    'corrupt',
    'the restored collections do not read like the recorded ones: options, kinds or indexes',
    {
      operation: 'compare',
      subject: target,
    },
  );
}

/** Drops a database that carries the mark of a test restore, and no other. Returns whether it did. */
export async function dropScratchDatabase(db: Db): Promise<boolean> {
  const isMarked = (await listMarks(db)).some(({ role }) => role === 'scratch');
  if (isMarked) await db.dropDatabase();
  return isMarked;
}

async function dropQuietly({ request }: Work, db: Db): Promise<void> {
  try {
    await dropScratchDatabase(db);
  } catch (error) {
    const name = db.databaseName;
    const message = `the database ${name} could not be removed (${errorText(error)}); it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false, stays: true });
  }
}
