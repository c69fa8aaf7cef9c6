import { DguardError } from '../../../errors.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import type { SqlserverOptions } from '../options.ts';
import { serverError } from '../server/failures.ts';
import { MASTER, onlyDatabase, openServer, type Server } from '../server/server.ts';
import { readDatabase } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import { isHeld, isMarkedName, listMarked, type MarkedDatabase, readMark } from './marks.ts';
import { dropDatabase } from './restore.ts';
import { refuseBound, refuseBusy, settleSwap, swapDatabases } from './swap.ts';
import { targetSource } from './target.ts';

type Request = TargetRequest<SqlserverOptions>;

/** What restores leave beside a database: its undo copies, and what an interrupted one was doing. */
export const sqlserverSwaps: TargetSwaps<SqlserverOptions> = {
  recover: (request) => withTargets(request, 'recover', recoverOne),

  undoCopies: async (request) => (await withTargets(request, 'list undo copies', undoCopies)).map(asCopy),

  undo: (request) =>
    withAdmin(request, 'undo', async (admin, server): Promise<UndoOutcome> => {
      const target = request.toDatabase ?? onlyDatabase(server);
      const [newest] = await undoCopies(admin, target);
      if (newest === undefined) {
        throw new DguardError('nothing_there', 'there is no undo copy of this database', {
          operation: 'undo',
          subject: target,
          hint: 'restore an earlier backup instead: dguard list',
        });
      }
      const existing = await readDatabase(admin, target);
      if (existing !== undefined) {
        refuseBound(existing);
        await refuseBusy(admin, target);
      }
      const { backupId } = newest;
      const createdAt = request.now().toISOString();
      const undo = await swapDatabases(admin, { target, incoming: newest.name, backupId, createdAt });
      return { target, restored: asCopy(newest), ...(undo === undefined ? {} : { undo }) };
    }),

  dropUndo: async (request, keep) =>
    (
      await withTargets(request, 'drop undo copies', async (admin, target) => {
        const gone = (await undoCopies(admin, target)).slice(keep);
        for (const { name } of gone) await dropDatabase(admin, name);
        return gone;
      })
    ).map(asCopy),

  dropScratch: (request) =>
    withTargets(request, 'drop scratch databases', async (admin, target) => {
      const done: string[] = [];
      for (const { name, role, inUse, backupId } of await listMarked(admin, target)) {
        if (role !== 'scratch' || inUse) continue;
        await dropDatabase(admin, name);
        done.push(`removed ${name}, left by an interrupted test restore of ${backupId}`);
      }
      return done;
    }),
};

async function recoverOne(admin: Session, target: string): Promise<string[]> {
  const marked = (await listMarked(admin, target)).filter(({ inUse }) => !inUse);
  const beside = marked.filter(({ name }) => name !== target).map((mark) => ({ name: mark.name, mark }));
  const exists = (await readDatabase(admin, target)) !== undefined;
  const role = exists ? (await readMark(admin, target))?.role : undefined;
  const there = exists ? { there: role === undefined ? {} : { role } } : {};
  const { sql, done } = settleSwap({ target, beside, ...there });
  for (const statement of sql) await admin.run(statement);
  for (const { name, role: left, inUse, backupId } of await listMarked(admin, target)) {
    if (inUse || name === target || (left !== 'new' && left !== 'ready')) continue;
    await dropDatabase(admin, name);
    done.push(`removed ${name}, which an interrupted restore of ${backupId} had not finished`);
  }
  return [...done, ...(await dropHalfRestored(admin, target))];
}

/** Killed while the server was restoring it: nobody can have put anything into one of these. */
async function dropHalfRestored(admin: Session, target: string): Promise<string[]> {
  if (await isHeld(admin, target)) return [];
  const rows = await admin.rows<{ name: string }>(
    "SELECT name FROM sys.databases WHERE state_desc = 'RESTORING'",
  );
  const left = rows.filter(({ name }) => isMarkedName(name) && name.startsWith(`${target}__dg_`));
  for (const { name } of left) await dropDatabase(admin, name);
  return left.map(({ name }) => `removed ${name}, which an interrupted restore had only begun`);
}

async function undoCopies(admin: Session, target: string): Promise<readonly MarkedDatabase[]> {
  return (await listMarked(admin, target)).filter(({ role }) => role === 'undo');
}

function asCopy({ name, backupId, createdAt }: MarkedDatabase): UndoCopy {
  return { name, backupId, createdAt: new Date(createdAt) };
}

/** For each database that the request is about; the marked ones tell where it means all of its server. */
function withTargets<T>(
  request: Request,
  operation: string,
  work: (admin: Session, target: string) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  return withAdmin(request, operation, async (admin, server) => {
    const { options } = server.source;
    const named = request.toDatabase ?? server.connection.database;
    const targets =
      request.toDatabase === undefined && options.database.length > 0
        ? options.database
        : named !== undefined
          ? [named]
          : [...new Set((await listMarked(admin)).map(({ target }) => target))];
    const results: T[] = [];
    for (const target of targets) results.push(...(await work(admin, target)));
    return results;
  });
}

async function withAdmin<T>(
  request: Request,
  operation: string,
  work: (admin: Session, server: Server) => Promise<T>,
): Promise<T> {
  const server = openServer(targetSource(request));
  let admin: Session | undefined;
  try {
    admin = await server.open(MASTER);
    return await work(admin, server);
  } catch (error) {
    throw serverError(error, 'target_failed', operation, request.source?.name ?? 'sqlserver');
  } finally {
    await admin?.close();
  }
}
