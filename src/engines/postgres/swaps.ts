import { DguardError } from '../../errors.ts';
import type { TargetRequest, TargetSwaps, UndoCopy, UndoOutcome } from '../types.ts';
import { readDatabase } from './database.ts';
import { onlyDatabase } from './dump.ts';
import { serverError } from './failures.ts';
import { listMarked, type MarkedDatabase } from './marks.ts';
import type { PostgresOptions } from './options.ts';
import { dropMarked } from './place.ts';
import { refuseReplicated } from './preflight.ts';
import { targetSource } from './restore.ts';
import { adminDatabases, openAny, openServer } from './server.ts';
import type { Session } from './session.ts';
import { swapDatabases } from './swap.ts';

type Request = TargetRequest<PostgresOptions>;

/** What restores leave beside a database: its undo copies, and what an interrupted one was loading. */
export const postgresSwaps: TargetSwaps<PostgresOptions> = {
  /** The swap itself is one transaction of the server's: only what was being loaded can be left. */
  recover: (request) =>
    withTarget(request, 'recover', async (admin, target) => {
      const left = (await listMarked(admin, target)).filter(({ role, inUse }) => role === 'new' && !inUse);
      for (const { name } of left) await dropMarked(admin, name);
      return left.map(
        ({ name, backupId }) =>
          `removed ${name}, which an interrupted restore of ${backupId} had not finished`,
      );
    }),

  undoCopies: (request) =>
    withTarget(request, 'list undo copies', async (admin, target) =>
      (await undoCopies(admin, target)).map(asCopy),
    ),

  undo: (request) =>
    withTarget(request, 'undo', async (admin, target): Promise<UndoOutcome> => {
      const newest = (await undoCopies(admin, target))[0];
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
    withTarget(request, 'drop undo copies', async (admin, target) => {
      const gone = (await undoCopies(admin, target)).slice(keep);
      for (const { name } of gone) await dropMarked(admin, name);
      return gone.map(asCopy);
    }),

  dropScratch: (request) =>
    withTarget(request, 'drop scratch databases', async (admin, target) => {
      const left = (await listMarked(admin, target)).filter(
        ({ role, inUse }) => role === 'scratch' && !inUse,
      );
      for (const { name } of left) await dropMarked(admin, name);
      return left.map(
        ({ name, backupId }) => `removed ${name}, left by an interrupted test restore of ${backupId}`,
      );
    }),
};

async function undoCopies(admin: Session, target: string): Promise<readonly MarkedDatabase[]> {
  return (await listMarked(admin, target)).filter(({ role }) => role === 'undo');
}

function asCopy({ name, backupId, createdAt, sizeBytes }: MarkedDatabase): UndoCopy {
  return {
    name,
    backupId,
    createdAt: new Date(createdAt),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

async function withTarget<T>(
  request: Request,
  operation: string,
  work: (admin: Session, target: string) => Promise<T>,
): Promise<T> {
  const server = openServer(targetSource(request));
  let admin: Session | undefined;
  try {
    const target = request.toDatabase ?? onlyDatabase(server);
    admin = await openAny(server, adminDatabases(server, target));
    return await work(admin, target);
  } catch (error) {
    throw serverError(error, 'target_failed', operation, request.source?.name ?? 'postgres');
  } finally {
    await admin?.close();
    await server.dispose();
  }
}
