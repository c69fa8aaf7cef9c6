import type { Db } from 'mongodb';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import { listDatabaseNames } from '../databases.ts';
import type { MongodbOptions } from '../options.ts';
import { collectionSize, listCollections } from '../server/catalog.ts';
import { onlyDatabase, openServer, type Server } from '../server/connection.ts';
import { serverError } from '../server/failures.ts';
import { besideCollection } from '../server/names.ts';
import { readServer, serverNow } from '../server/server-info.ts';
import {
  holdMark,
  insertMark,
  isHeld,
  leaseEnd,
  listMarks,
  type Mark,
  type MarkPart,
  markOwner,
  ownCollections,
  uniqueWord,
  updateMark,
} from './marks.ts';
import { undoName } from './restore.ts';
import { isMovable, targetSource } from './restore-work.ts';
import { dropScratchDatabase } from './scratch.ts';
import { dropLoaded, dropUndoCopy, finishSwap, keepCopies, revertSwap, swapCollections } from './swap.ts';

type Request = TargetRequest<MongodbOptions>;

/** What restores leave in a database: undo copies, and what an interrupted one was doing. */
export const mongodbSwaps: TargetSwaps<MongodbOptions> = {
  recover: (request) =>
    withDatabases(request, 'recover', async (db, server) => {
      const done: string[] = [];
      const now = await serverNow(server);
      const marks = await listMarks(db);
      throwIfAborted(request.signal);
      server.outlastInterrupt();
      for (const mark of marks) {
        throwIfAborted(request.signal);
        if (isHeld(mark, request.host, now)) continue;
        try {
          const settled = await settle(db, mark, request);
          if (settled !== undefined) done.push(settled);
        } catch (error) {
          // The target itself is whole: a user who may only read must not fail for what another one left.
          if (mark.role !== 'new' && mark.role !== 'drop') throw error;
          done.push(
            `what a restore of ${mark.backupId} left in ${db.databaseName} could not be removed: ${errorText(error)}`,
          );
        }
      }
      return done;
    }),

  undoCopies: (request) =>
    withDatabases(request, 'list undo copies', async (db) =>
      Promise.all((await undoMarks(db)).map((mark) => asCopy(db, mark))),
    ),

  undo: (request) =>
    withTarget(request, 'undo', async (db, server): Promise<UndoOutcome> => {
      const newest = (await undoMarks(db))[0];
      if (newest === undefined) {
        throw new DguardError('nothing_there', 'there is no undo copy of this database', {
          operation: 'undo',
          subject: db.databaseName,
          hint: 'a restore to an empty database keeps none, drop it to take that back; or restore an earlier backup: dguard list',
        });
      }
      const restored = await asCopy(db, newest);
      const mark = await markOfUndo(db, newest, request, server);
      throwIfAborted(request.signal);
      server.outlastInterrupt();
      await insertMark(db, mark);
      const held = holdMark(db, mark._id, () => serverNow(server));
      try {
        try {
          await keepCopies(db, mark, request.signal);
          throwIfAborted(request.signal);
        } catch (error) {
          await dropLoaded(db, mark).catch(() => {});
          throw error;
        }
        await updateMark(db, mark._id, { role: 'swap' });
        const undo = await swapCollections(db, { ...mark, role: 'swap' }, request);
        return { target: db.databaseName, restored, ...(undo === undefined ? {} : { undo: undoName(undo) }) };
      } finally {
        held.release();
      }
    }),

  dropUndo: (request, keep) =>
    withDatabases(request, 'drop undo copies', async (db) => {
      const gone: UndoCopy[] = [];
      for (const mark of (await undoMarks(db)).slice(keep)) {
        gone.push(await asCopy(db, mark));
        await dropUndoCopy(db, mark);
      }
      return gone;
    }),

  dropScratch: (request) =>
    withServer(request, 'drop scratch databases', async (server) => {
      const targets = targetsOf(request, server);
      const now = await serverNow(server);
      const done: string[] = [];
      for (const name of await listDatabaseNames(server)) {
        if (!/__dg_scratch_[0-9a-f]{8}$/.test(name)) continue;
        const db = server.client.db(name);
        const mark = (await listMarks(db)).find(({ role }) => role === 'scratch');
        if (mark === undefined || isHeld(mark, request.host, now)) continue;
        if (targets !== undefined && !targets.includes(mark.target)) continue;
        const left = `left by an interrupted test restore of ${mark.backupId}`;
        done.push(
          await dropScratchDatabase(db).then(
            () => `removed ${name}, ${left}`,
            (error: unknown) => `${name}, ${left}, could not be removed: ${errorText(error)}`,
          ),
        );
      }
      return done;
    }),
};

/** Finishes or takes back what a mark says was going on; undefined where nothing was. */
async function settle(db: Db, mark: Mark, { warn }: Request): Promise<string | undefined> {
  const of = `the interrupted ${mark.from === undefined ? 'restore' : 'undo'} of ${mark.backupId}`;
  switch (mark.role) {
    case 'new':
      await dropLoaded(db, mark);
      return `removed what ${of} had put into ${db.databaseName}`;
    case 'swap':
      await finishSwap(db, mark, warn);
      return `finished ${of} to ${db.databaseName}`;
    case 'revert':
      await revertSwap(db, mark, warn);
      return `reverted ${of}: ${db.databaseName} is as it was`;
    case 'drop':
      await dropUndoCopy(db, mark);
      return `removed the rest of the undo copy ${undoName(mark._id)}`;
    default:
      return undefined;
  }
}

async function undoMarks(db: Db): Promise<Mark[]> {
  return (await listMarks(db)).filter(({ role }) => role === 'undo');
}

/** The swap that puts an undo copy back. */
async function markOfUndo(db: Db, copy: Mark, request: Request, server: Server): Promise<Mark> {
  const id = uniqueWord();
  const info = await readServer(server);
  const own = await ownCollections(db);
  const there = new Map(
    (await listCollections(db, false)).filter(({ name }) => !own.has(name)).map((one) => [one.name, one]),
  );
  const names = new Set([
    ...copy.parts.map(({ name }) => name),
    ...(copy.whole === true ? there.keys() : []),
  ]);
  const parts = [...names].map((name): MarkPart => {
    const back = copy.parts.find((part) => part.name === name);
    const now = there.get(name);
    const isFixed = now !== undefined && now.type !== 'view' && !isMovable(now, info);
    const copied = isFixed || back?.copied === true;
    const beside = (collection: string) => besideCollection(db.databaseName, 'undo', id, collection);
    return {
      name,
      ...(copied ? { copied } : {}),
      ...(back?.undo === undefined ? {} : { staged: back.undo }),
      ...(back?.undo === undefined || copied ? {} : { stray: beside(`${name}.stray`) }),
      ...(back?.oldView === undefined ? {} : { newView: back.oldView }),
      ...(now === undefined
        ? {}
        : now.type === 'view'
          ? { oldView: documentToJson(now.options) }
          : { undo: beside(name) }),
    };
  });
  return {
    _id: id,
    dguard: 1,
    role: 'new',
    target: db.databaseName,
    backupId: copy.backupId,
    createdAt: request.now().toISOString(),
    parts,
    from: copy._id,
    whole: copy.whole === true,
    merge: copy.merge === true,
    owner: markOwner(request.host),
    leaseUntil: leaseEnd(await serverNow(server)),
  };
}

async function asCopy(db: Db, mark: Mark): Promise<UndoCopy> {
  let sizeBytes = 0;
  for (const { undo } of mark.parts) {
    if (undo !== undefined) sizeBytes += (await collectionSize(db, undo))?.bytes ?? 0;
  }
  return {
    name: undoName(mark._id),
    backupId: mark.backupId,
    createdAt: new Date(mark.createdAt),
    sizeBytes,
  };
}

/** The databases that a request is about; undefined: all of its server. */
function targetsOf(
  request: Request,
  { connection, source: { options } }: Server,
): readonly string[] | undefined {
  if (request.toDatabase !== undefined) return [request.toDatabase];
  if (options.database.length > 0) return options.database;
  return options.all_databases || connection.database === undefined ? undefined : [connection.database];
}

function withTarget<T>(
  request: Request,
  operation: string,
  work: (db: Db, server: Server) => Promise<T>,
): Promise<T> {
  return withServer(request, operation, (server) =>
    work(server.client.db(request.toDatabase ?? onlyDatabase(server)), server),
  );
}

function withDatabases<T>(
  request: Request,
  operation: string,
  work: (db: Db, server: Server) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  return withServer(request, operation, async (server) => {
    const all: T[] = [];
    for (const name of targetsOf(request, server) ?? (await listDatabaseNames(server))) {
      all.push(...(await work(server.client.db(name), server)));
    }
    return all;
  });
}

async function withServer<T>(
  request: Request,
  operation: string,
  work: (server: Server) => Promise<T>,
): Promise<T> {
  const source = targetSource(request);
  try {
    const server = await openServer(source, 'write');
    try {
      return await work(server);
    } finally {
      await server.close();
    }
  } catch (error) {
    if (!(error instanceof DguardError)) throwIfAborted(source.signal);
    throw serverError(error, 'target_failed', operation, source.name);
  }
}
