import { DguardError, errorText } from '../../../errors.ts';
import { leftElsewhere } from '../../leftovers.ts';
import { lookUntil } from '../../sessions.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import { onlyDatabase } from '../dump/dump.ts';
import { readVersion } from '../dump/source-facts.ts';
import { dropKeptStatements, type KeptSchema, keptName, listKept } from '../merge/kept.ts';
import { undoTables } from '../merge/undo.ts';
import type { PostgresOptions } from '../options.ts';
import { readDatabase } from '../server/database.ts';
import { serverError } from '../server/failures.ts';
import { adminDatabases, openAny, openServer, type Server } from '../server/server.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { isBeingMade, listMarked, type MarkedDatabase, type MarkRole } from './marks.ts';
import { dropMarked } from './place.ts';
import { refuseReplicated } from './preflight.ts';
import { targetSource } from './restore-work.ts';
import { swapDatabases } from './swap.ts';

type Request = TargetRequest<PostgresOptions>;

/** What restores leave beside a database: its undo copies, and what an interrupted one was loading. */
export const postgresSwaps: TargetSwaps<PostgresOptions> = {
  /** The swap itself is one transaction of the server's: only what was being loaded can be left. */
  recover: (request) =>
    withTargets(request, 'recover', async (admin, targets, server) => [
      ...(await removeLeft({ admin, server }, targets, 'new', 'an interrupted restore')),
      ...(await leftElsewhere(() => listMarked(admin), request.source, targets)),
    ]),

  undoCopies: (request) =>
    withTargets(request, 'list undo copies', async (admin, targets, server) =>
      newestFirst([
        ...(await listMarked(admin, targets)).filter(isUndo).map(asCopy),
        ...(await keptIn(admin, server, targets)).map(asTableCopy),
      ]),
    ),

  undo: (request) =>
    withTarget(request, 'undo', async (admin, target, server): Promise<UndoOutcome> => {
      const newest = (await listMarked(admin, [target])).find(isUndo);
      const [kept] = await keptIn(admin, server, [target]);
      if (kept !== undefined && (newest === undefined || kept.createdAt > newest.createdAt)) {
        return await takeTablesBack(request, server, target, kept);
      }
      if (newest === undefined) {
        throw new DguardError('nothing_there', 'there is no undo copy of this database', {
          operation: 'undo',
          subject: target,
          hint: 'restore an earlier backup instead: dguard list',
        });
      }
      const now = await readDatabase(admin, target);
      if (now !== undefined) await refuseReplicated(admin, target);
      const undo = await swapDatabases(admin, {
        target,
        incoming: newest.name,
        ...(newest.comment === undefined ? {} : { comment: newest.comment }),
        ...(now?.template ? { template: true } : {}),
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
    withTargets(request, 'drop undo copies', async (admin, targets, server) => {
      const databases = (await listMarked(admin, targets)).filter(isUndo);
      const schemas = await keptIn(admin, server, targets);
      const copies = [
        ...databases.map((copy) => ({ of: copy.target, copy: asCopy(copy), schema: undefined })),
        ...schemas.map((schema) => ({ of: schema.database, copy: asTableCopy(schema), schema })),
      ].sort((a, b) => b.copy.createdAt.getTime() - a.copy.createdAt.getTime());
      const gone = copies.filter((one) => copies.filter(({ of }) => of === one.of).indexOf(one) >= keep);
      for (const { copy, schema } of gone) {
        if (schema === undefined) await dropMarked(admin, copy.name, server);
        else await dropKept(server, schema);
      }
      return gone.map(({ copy }) => copy);
    }),

  dropScratch: (request) =>
    withTargets(request, 'drop scratch databases', (admin, targets, server) =>
      removeLeft({ admin, server }, targets, 'scratch', 'an interrupted test restore'),
    ),
};

/** Removes what nobody works on any more. A role that may only read must not fail for what another one left. */
async function removeLeft(
  { admin, server }: { readonly admin: Session; readonly server: Server },
  targets: readonly string[],
  left: MarkRole,
  by: string,
): Promise<readonly string[]> {
  const done: string[] = [];
  // A server goes on with what a killed client has sent last.
  await lookUntil(async () => !(await isBeingMade(admin, left, targets)));
  for (const { name, role, inUse, backupId } of await listMarked(admin, targets)) {
    if (role !== left || inUse) continue;
    const whose = backupId === '' ? by : `${by} of ${backupId}`;
    try {
      await dropMarked(admin, name, server);
      done.push(`removed ${name}, left by ${whose}`);
    } catch (error) {
      done.push(`${name}, left by ${whose}, could not be removed: ${errorText(error)}`);
    }
  }
  return done;
}

const isUndo = ({ role }: MarkedDatabase) => role === 'undo';

function asCopy({ name, backupId, createdAt, sizeBytes }: MarkedDatabase): UndoCopy {
  return {
    name,
    backupId,
    createdAt: new Date(createdAt),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

/** What restores of chosen tables keep inside these databases; where none are named, of all of the server's but templates. */
async function keptIn(
  admin: Session,
  server: Server,
  targets: readonly string[],
): Promise<readonly KeptIn[]> {
  const open = await admin.rows<{ name: string; template: boolean }>(
    `SELECT datname AS name, datistemplate AS template FROM pg_catalog.pg_database WHERE datallowconn
      AND pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY 1`,
  );
  const found: KeptIn[] = [];
  const isMeant = (one: { name: string; template: boolean }) =>
    targets.length === 0 ? !one.template : targets.includes(one.name);
  for (const { name } of open.filter(isMeant)) {
    const session = await server.open(name);
    try {
      for (const schema of await listKept(session)) found.push({ ...schema, database: name });
    } finally {
      await session.close();
    }
  }
  return found;
}

type KeptIn = KeptSchema & { readonly database: string };

async function dropKept(server: Server, { database, name }: KeptIn): Promise<void> {
  const session = await server.open(database);
  try {
    await inTransaction(session, await dropKeptStatements(session, name));
  } finally {
    await session.close();
  }
}

async function takeTablesBack(
  request: Request,
  server: Server,
  target: string,
  kept: KeptIn,
): Promise<UndoOutcome> {
  const session = await server.open(target);
  try {
    const tools = await server.tools((await readVersion(session)).major);
    const undo = await undoTables(server, tools, session, target, kept, {
      now: request.now(),
      warn: request.warn,
    });
    return { target, restored: asTableCopy(kept), undo: keptName(target, undo) };
  } finally {
    await session.close();
  }
}

function asTableCopy(kept: KeptIn): UndoCopy {
  const { backupId, createdAt, sizeBytes } = kept;
  return { name: keptName(kept.database, kept.name), backupId, createdAt: new Date(createdAt), sizeBytes };
}

function newestFirst(copies: readonly UndoCopy[]): UndoCopy[] {
  return [...copies].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
}

/** For what concerns one database: `toDatabase`, or the only one of the datasource. */
function withTarget<T>(
  request: Request,
  operation: string,
  work: (admin: Session, target: string, server: Server) => Promise<T>,
): Promise<T> {
  return withAdmin(
    request,
    operation,
    (server) => [request.toDatabase ?? onlyDatabase(server)],
    (admin, [target], server) => work(admin, target!, server),
  );
}

/** For what concerns all databases of a datasource: none by name where it means all of its server. */
function withTargets<T>(
  request: Request,
  operation: string,
  work: (admin: Session, targets: readonly string[], server: Server) => Promise<T>,
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
  work: (admin: Session, targets: readonly string[], server: Server) => Promise<T>,
): Promise<T> {
  const server = openServer(targetSource(request));
  let admin: Session | undefined;
  try {
    const targets = targetsOf(server);
    admin = await openAny(server, adminDatabases(server, targets));
    return await work(admin, targets, server);
  } catch (error) {
    throw serverError(error, 'target_failed', operation, request.source?.name ?? 'postgres');
  } finally {
    await admin?.close();
    await server.dispose();
  }
}
