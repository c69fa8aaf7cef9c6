import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import type { RestoreOutcome, TableFact } from '../../types.ts';
import { catalogHash, databaseSize, listCollections, storedIn } from '../server/catalog.ts';
import { openServer } from '../server/connection.ts';
import { scratchDatabase } from '../server/names.ts';
import { serverNow } from '../server/server-info.ts';
import { createCollection } from './load.ts';
import { holdMark, insertMark, leaseEnd, listMarks, type Mark, ownCollections, uniqueWord } from './marks.ts';
import type { Place } from './restore.ts';
import type { Work } from './restore-work.ts';

/** How often, and how long each time, a mark that may come yet is looked for. */
const LATE_LOOKS = 10;
const LATE_MS = 100;

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
    owner: { host: request.host.name, bootId: request.host.bootId, pid: request.host.pid },
    leaseUntil: leaseEnd(await now()),
  };
  let held: ReturnType<typeof holdMark> | undefined;
  try {
    await insertMark(db, mark);
    held = holdMark(db, id, now);
    const places = parts.flatMap((part) => {
      const into = storedIn(part.info);
      return into === undefined ? [] : [{ part, create: part.info.name, into }];
    });
    const tables = await load(db, places);
    for (const { info } of parts)
      if (info.type === 'view') await createCollection(db, info.name, info.options);
    await compareSchema(work, db);
    return { target: name, sizeBytes: (await databaseSize(db)) ?? 0, tables };
  } finally {
    held?.release();
    await dropQuietly(work, name, held !== undefined);
  }
}

/** On a server like the one that was dumped all options and indexes have to be what they were. */
async function compareSchema({ content, facts, info, target }: Work, db: Db): Promise<void> {
  const recorded = content.facts.schema_sha256;
  if (recorded === undefined || facts.product !== info.product || facts.version !== info.version) return;
  const own = await ownCollections(db);
  const found = (await listCollections(db)).filter(({ name }) => !own.has(name));
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

/** `isMarked`: the server has confirmed the mark; else it may come yet, though its client was interrupted. */
async function dropQuietly({ request, server }: Work, name: string, isMarked: boolean): Promise<void> {
  try {
    if (!request.signal.aborted) return void (await dropScratchDatabase(server.client.db(name)));
    // After an abort the restore's own connections are broken.
    const again = await openServer({ ...server.source, signal: new AbortController().signal }, 'write');
    try {
      const db = again.client.db(name);
      for (let looks = isMarked ? 1 : LATE_LOOKS; looks > 0; looks--) {
        if (await dropScratchDatabase(db)) return;
        if (looks > 1) await sleep(LATE_MS);
      }
    } finally {
      await again.close();
    }
  } catch {
    const message = `the database ${name} could not be removed; it is marked, and goes with the next test restore`;
    request.warn({ message, subject: name, partial: false });
  }
}
