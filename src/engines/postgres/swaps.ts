import { DguardError, errorText } from '../../errors.ts';
import type { TargetRequest, TargetSwaps, UndoCopy, UndoOutcome } from '../types.ts';
import { readDatabase } from './database.ts';
import { onlyDatabase } from './dump.ts';
import { serverError } from './failures.ts';
import { listMarked, type MarkedDatabase, type MarkRole } from './marks.ts';
import type { PostgresOptions } from './options.ts';
import { dropMarked } from './place.ts';
import { refuseReplicated } from './preflight.ts';
import { targetSource } from './restore-work.ts';
import { adminDatabases, openAny, openServer, type Server } from './server.ts';
import type { Session } from './session.ts';
import { swapDatabases } from './swap.ts';

type Request = TargetRequest<PostgresOptions>;

/** What restores leave beside a database: its undo copies, and what an interrupted one was loading. */
export const postgresSwaps: TargetSwaps<PostgresOptions> = {
  /** The swap itself is one transaction of the server's: only what was being loaded can be left. */
  recover: (request) =>
    withTargets(request, 'recover', (admin, targets) =>
      removeLeft(admin, targets, 'new', 'an interrupted restore'),
    ),

  undoCopies: (request) =>
    withTargets(request, 'list undo copies', async (admin, targets) =>
      (await markedOf(admin, targets)).filter(isUndo).map(asCopy),
    ),

  undo: (request) =>
    withTarget(request, 'undo', async (admin, target): Promise<UndoOutcome> => {
      const newest = (await markedOf(admin, [target])).find(isUndo);
      if (newest === undefined) {
        throw new DguardError('nothing_there', 'there is no undo copy of this database', {
          operation: 'undo',
          subject: target,
          hint: 'restore an earlier backup instead: dguard list',
        });
      }
      const now = await readDatabase(admin, target);
      if (now !== undefined) await refuseReplicated(admin, target, request.warn);
      const undo = await swapDatabases(admin, {
        target,
        incoming: newest.name,
        ...(newest.comment === undefined ? {} : { comment: newest.comment }),
        ...(now === undefined
          ? {}
          : {
              replaces: {
                backupId: newest.backupId,
                createdAt: request.now().toISOString(),
                ...(now.comment === undefined ? {} : { comment: now.comment }),
              },
            }),
      });
      return { target, restored: asCopy(newest), ...(undo === undefined ? {} : { undo }) };
    }),

  dropUndo: (request, keep) =>
    withTargets(request, 'drop undo copies', async (admin, targets) => {
      const copies = (await markedOf(admin, targets)).filter(isUndo);
      const gone = copies.filter(
        (copy) => copies.filter(({ target }) => target === copy.target).indexOf(copy) >= keep,
      );
      for (const { name } of gone) await dropMarked(admin, name);
      return gone.map(asCopy);
    }),

  dropScratch: (request) =>
    withTargets(request, 'drop scratch databases', (admin, targets) =>
      removeLeft(admin, targets, 'scratch', 'an interrupted test restore'),
    ),
};

/** Removes what nobody works on any more. A role that may only read must not fail for what another one left. */
async function removeLeft(
  admin: Session,
  targets: readonly string[],
  left: MarkRole,
  by: string,
): Promise<readonly string[]> {
  const done: string[] = [];
  for (const { name, role, inUse, backupId } of await markedOf(admin, targets)) {
    if (role !== left || inUse) continue;
    try {
      await dropMarked(admin, name);
      done.push(`removed ${name}, left by ${by} of ${backupId}`);
    } catch (error) {
      done.push(`${name}, left by ${by} of ${backupId}, could not be removed: ${errorText(error)}`);
    }
  }
  return done;
}

const isUndo = ({ role }: MarkedDatabase) => role === 'undo';

/** The marked databases of these targets, newest first; of all where none are named. */
async function markedOf(admin: Session, targets: readonly string[]): Promise<readonly MarkedDatabase[]> {
  return (await listMarked(admin)).filter(({ target }) => targets.length === 0 || targets.includes(target));
}

function asCopy({ name, backupId, createdAt, sizeBytes }: MarkedDatabase): UndoCopy {
  return {
    name,
    backupId,
    createdAt: new Date(createdAt),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

/** For what concerns one database: `toDatabase`, or the only one of the datasource. */
function withTarget<T>(
  request: Request,
  operation: string,
  work: (admin: Session, target: string) => Promise<T>,
): Promise<T> {
  return withAdmin(
    request,
    operation,
    (server) => [request.toDatabase ?? onlyDatabase(server)],
    (admin, [target]) => work(admin, target!),
  );
}

/** For what concerns all databases of a datasource: none by name where it means all of its server. */
function withTargets<T>(
  request: Request,
  operation: string,
  work: (admin: Session, targets: readonly string[]) => Promise<T>,
): Promise<T> {
  const targetsOf = ({ connection, source: { options } }: Server): readonly string[] => {
    if (request.toDatabase !== undefined) return [request.toDatabase];
    if (options.all_databases || options.database.length > 0) return options.database;
    return connection.database === undefined ? [] : [connection.database];
  };
  return withAdmin(request, operation, targetsOf, work);
}

async function withAdmin<T>(
  request: Request,
  operation: string,
  targetsOf: (server: Server) => readonly string[],
  work: (admin: Session, targets: readonly string[]) => Promise<T>,
): Promise<T> {
  const server = openServer(targetSource(request));
  let admin: Session | undefined;
  try {
    const targets = targetsOf(server);
    admin = await openAny(server, adminDatabases(server, targets));
    return await work(admin, targets);
  } catch (error) {
    throw serverError(error, 'target_failed', operation, request.source?.name ?? 'postgres');
  } finally {
    await admin?.close();
    await server.dispose();
  }
}
