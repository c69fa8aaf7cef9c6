import { DguardError } from '../../../errors.ts';
import { leftElsewhere } from '../../leftovers.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import { readSchema } from '../server/catalog.ts';
import { serverError } from '../server/failures.ts';
import { onlyDatabase, openServer, type Server } from '../server/server.ts';
import { readServer, storedName } from '../server/server-info.ts';
import { identifier, type Session } from '../server/session.ts';
import { listMarked, type MarkedSchema, readMark } from './marks.ts';
import { dropMarked, dropUnmarked } from './place.ts';
import { refuseReferences } from './preflight.ts';
import { targetSource } from './restore-work.ts';
import { swapUnbroken } from './swap.ts';
import { finishSwap, isSwapped, revertSwap } from './swap-end.ts';
import { readPlan } from './swap-plan.ts';

type Request = TargetRequest<MysqlOptions>;

/** What restores leave beside a schema: its undo copies, and what an interrupted one was doing. */
export const mysqlSwaps: TargetSwaps<MysqlOptions> = {
  recover: (request) =>
    withServer(request, 'recover', async (session, server) => {
      const target = await storedTarget(session, request.toDatabase ?? namedDatabase(server));
      const done: string[] = [];
      // Unfinished swaps first: what is being loaded may be part of one.
      for (const left of await listMarked(session, target)) {
        // One that was settled before it may have taken it away.
        if (left.inUse || (await readMark(session, left.name)) === undefined) continue;
        // A swap that was marked as done, and killed before its last statements, has its plan still.
        if (left.role === 'swap' || left.role === 'undo')
          done.push(...(await settle(session, left, request)));
      }
      for (const { name, role, inUse, backupId } of await listMarked(session, target)) {
        if (role !== 'new' || inUse) continue;
        await dropMarked(session, name);
        done.push(`removed ${name}, which an interrupted restore of ${backupId} had not finished`);
      }
      const empty = target === undefined ? [] : await dropUnmarked(session, target);
      const targets = target === undefined ? [] : [target];
      return [
        ...done,
        ...empty.map((name) => `removed ${name}, an empty one of an interrupted restore`),
        ...(await leftElsewhere(() => listMarked(session), request.source, targets)),
      ];
    }),

  undoCopies: (request) =>
    withTarget(request, 'list undo copies', async (session, target) =>
      (await undoCopies(session, target)).map(asCopy),
    ),

  undo: (request) =>
    withTarget(request, 'undo', async (session, target, server): Promise<UndoOutcome> => {
      const newest = (await undoCopies(session, target))[0];
      if (newest === undefined) {
        throw new DguardError('nothing_there', 'there is no undo copy of this database', {
          operation: 'undo',
          subject: target,
          hint: 'restore an earlier backup instead: dguard list',
        });
      }
      const newDefaults = (await readSchema(session, newest.name))!;
      const createdAt = request.now().toISOString();
      if ((await readSchema(session, target)) === undefined) {
        await session.run(
          `CREATE DATABASE ${identifier(target)} CHARACTER SET ${newDefaults.charset} COLLATE ${newDefaults.collation}`,
        );
      }
      await refuseReferences(session, target, undefined);
      const undo = await swapUnbroken(
        server,
        session,
        {
          target,
          incoming: newest.name,
          merge: newest.merge !== undefined,
          also: newest.merge?.added ?? [],
          backupId: newest.backupId,
          createdAt,
          newDefaults,
        },
        request.warn,
      );
      return { target, restored: asCopy(newest), ...(undo === undefined ? {} : { undo }) };
    }),

  dropUndo: (request, keep) =>
    withTarget(request, 'drop undo copies', async (session, target) => {
      const gone = (await undoCopies(session, target)).slice(keep);
      for (const { name } of gone) await dropMarked(session, name);
      return gone.map(asCopy);
    }),

  dropScratch: (request) =>
    withServer(request, 'drop scratch databases', async (session, server) => {
      const target = await storedTarget(session, request.toDatabase ?? namedDatabase(server));
      const left = (await listMarked(session, target)).filter(
        ({ role, inUse }) => role === 'scratch' && !inUse,
      );
      for (const { name } of left) await dropMarked(session, name);
      return left.map(
        ({ name, backupId }) => `removed ${name}, left by an interrupted test restore of ${backupId}`,
      );
    }),
};

/** Finishes a swap whose tables have moved, reverts one whose have not. */
async function settle(session: Session, left: MarkedSchema, request: Request): Promise<string[]> {
  const plan = await readPlan(session, left.name);
  if (plan === undefined) {
    if (left.role === 'undo') return [];
    // Nothing was touched yet.
    await dropMarked(session, left.name);
    return [`removed ${left.name}, which an interrupted swap had only begun`];
  }
  if (left.role === 'undo' || (await isSwapped(session, left.name))) {
    await finishSwap(session, plan, request.warn);
    return [`finished the interrupted restore of ${plan.backupId} to ${plan.target}`];
  }
  await revertSwap(session, plan, request.warn);
  return [`reverted the interrupted restore of ${plan.backupId}: ${plan.target} is as it was`];
}

async function undoCopies(session: Session, target: string): Promise<readonly MarkedSchema[]> {
  return (await listMarked(session, target)).filter(({ role }) => role === 'undo');
}

function asCopy({ name, backupId, createdAt, sizeBytes }: MarkedSchema): UndoCopy {
  return {
    name,
    backupId,
    createdAt: new Date(createdAt),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

/** The one database of a source; undefined where it has several, and what is asked is about all of them. */
function namedDatabase(server: Server): string | undefined {
  const { options } = server.source;
  if (options.all_databases || options.database.length > 1) return undefined;
  return onlyDatabase(server);
}

function withTarget<T>(
  request: Request,
  operation: string,
  work: (session: Session, target: string, server: Server) => Promise<T>,
): Promise<T> {
  return withServer(request, operation, async (session, server) => {
    const target = await storedTarget(session, request.toDatabase ?? onlyDatabase(server));
    return await work(session, target, server);
  });
}

/** Its name as the server has it, which marks carry. */
async function storedTarget<Name extends string | undefined>(session: Session, name: Name): Promise<Name> {
  if (name === undefined) return name;
  return storedName(name, (await readServer(session)).lowerCaseTableNames) as Name;
}

async function withServer<T>(
  request: Request,
  operation: string,
  work: (session: Session, server: Server) => Promise<T>,
): Promise<T> {
  const server = openServer(targetSource(request));
  let session: Session | undefined;
  try {
    session = await server.open();
    return await work(session, server);
  } catch (error) {
    throw serverError(error, 'target_failed', operation, request.source?.name ?? 'mysql');
  } finally {
    await session?.close();
    await server.dispose();
  }
}
