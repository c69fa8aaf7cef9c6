import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DguardError } from '../../../errors.ts';
import type { BackupContent, RestoreOutcome, RestoreRequest, TableFact, Warning } from '../../types.ts';
import { onlyDatabase } from '../dump/dump.ts';
import { restoreTables } from '../merge/restore.ts';
import type { PostgresOptions } from '../options.ts';
import { databaseSize } from '../server/database.ts';
import { serverError } from '../server/failures.ts';
import { adminDatabases, openAny, openServer } from '../server/server.ts';
import { identifier, type Session } from '../server/session.ts';
import { analyzeDatabase } from './analyze.ts';
import type { Choice } from './choice.ts';
import { failedToFill } from './fill-views.ts';
import { loadQuickly } from './new-database.ts';
import { createBeside, dressDatabase } from './place.ts';
import { refuseName } from './preflight.ts';
import {
  analyzeAndCompare,
  choose,
  compare,
  dropQuietly,
  load,
  tellReplaced,
  tellSubscriptions,
  tellWhatIsOff,
} from './restore-steps.ts';
import { prepare, targetSource, type Work } from './restore-work.ts';
import { dropRoles, type NewRoles } from './roles.ts';
import { swapDatabases } from './swap.ts';

type Request = RestoreRequest<PostgresOptions>;

/**
 * Restores a backup to a database: loaded into a new one beside it, compared with what was recorded, and
 * given its name in one transaction. What was there before is kept as `NAME__dg_undo_…`.
 */
export async function restoreBackup(content: BackupContent, request: Request): Promise<RestoreOutcome> {
  const source = targetSource(request);
  const tempDir = await mkdtemp(join(request.tempDir, 'pg-restore-'));
  const server = openServer({ ...source, tempDir });
  let admin: Session | undefined;
  let newRoles: NewRoles | undefined;
  let target = '';
  try {
    target = request.toDatabase ?? content.database ?? onlyDatabase(server);
    refuseName(target);
    server.lookForTools();
    admin = await openAny(server, adminDatabases(server, [target]));
    const work = await prepare(content, { ...request, tempDir }, server, admin, target, (roles) => {
      newRoles = roles;
    });
    if (request.dryRun) return await plan(work);
    if (work.merge) return await restoreTables(work);
    if (!request.scratch && !work.powers.createDatabases) return await restoreInto(work);
    const restoreNew = request.scratch ? restoreToScratch : restoreBeside;
    const choice = await choose(work);
    return await loadQuickly(work, (settings) => restoreNew(work, choice, settings));
  } catch (error) {
    if (newRoles) await dropRoles({ server, target, request }, newRoles);
    throw serverError(error, 'target_failed', 'restore', request.source?.name ?? 'postgres');
  } finally {
    await admin?.close();
    await server.dispose();
    await rm(tempDir, { recursive: true, force: true });
  }
}

async function restoreBeside(
  given: Work,
  choice: Choice,
  settings: readonly string[],
): Promise<RestoreOutcome> {
  // What the new database lacks is of account once it is in its place: one that does not get there is dropped.
  const later: Warning[] = [];
  const tellLater = (warning: Warning) => void later.push(warning);
  const { request, admin, target, existing, facts, powers, fit } = given;
  const work: Work = { ...given, request: { ...request, warn: tellLater } };
  const mark = { role: 'new', backupId: request.backupId, createdAt: request.now().toISOString() } as const;
  // Tables of another engine know no locale: theirs is that of what they replace, if it can hold them.
  const like = facts.database.collate === '' && existing?.encoding === 'UTF8' ? existing : facts.database;
  const name = await createBeside(given, like, mark);
  let swapped = false;
  let undo: string | undefined;
  try {
    // An open session says that somebody still works on it: nothing that cleans up takes it away.
    const guard = await work.server.open(name);
    let second: Session | undefined;
    let tables: readonly TableFact[];
    try {
      // Before there is a trigger on logins.
      second = await work.server.open(name);
      await load(work, name, choice, { settings, session: guard });
      tables = await analyzeAndCompare(work, { comparing: guard, analyzing: second }, choice);
      await request.prove?.({ database: name });
    } finally {
      await second?.close();
      await guard.close();
    }
    // A replaced database hands on what hangs on it; a new one is what the backup's was.
    const dress = existing ?? facts.database;
    await dressDatabase(admin, name, dress, powers, fit.roles, tellLater);
    undo = await swapDatabases(admin, {
      target,
      incoming: name,
      ...(dress.comment === undefined ? {} : { comment: dress.comment }),
      ...(dress.template ? { template: true } : {}),
      ...(existing === undefined
        ? {}
        : {
            replaces: {
              backupId: request.backupId,
              createdAt: request.now().toISOString(),
              ...(existing.comment === undefined ? {} : { comment: existing.comment }),
            },
          }),
    });
    swapped = true;
    for (const warning of later) request.warn(warning);
    tellWhatIsOff(given, choice);
    await tellSubscriptions(given);
    return {
      target,
      sizeBytes: (await databaseSize(admin, target)) ?? work.archive.sizeBytes,
      tables,
      ...(undo === undefined ? {} : { undo }),
    };
  } catch (error) {
    if (swapped) tellReplaced(given, undo);
    throw error;
  } finally {
    if (!swapped) await dropQuietly(given, name);
  }
}

/** Into a marked database that is gone afterwards, whatever happens. */
async function restoreToScratch(
  work: Work,
  choice: Choice,
  settings: readonly string[],
): Promise<RestoreOutcome> {
  const { request, facts } = work;
  const mark = {
    role: 'scratch',
    backupId: request.backupId,
    createdAt: request.now().toISOString(),
  } as const;
  const name = await createBeside(work, facts.database, mark);
  try {
    const guard = await work.server.open(name);
    try {
      // A subscription would keep the database from being dropped.
      await load(work, name, choice, { flags: ['--no-subscriptions'], settings, session: guard });
      const tables = await compare(work, guard, choice, 'refuse');
      return { target: name, sizeBytes: (await databaseSize(guard, name)) ?? work.archive.sizeBytes, tables };
    } finally {
      await guard.close();
    }
  } finally {
    await dropQuietly(work, name);
  }
}

/**
 * Where no database can be created: into the one that is there, in one transaction. Of what it holds, what
 * the backup holds too is replaced, after a safety backup, because nothing can be kept beside it.
 */
async function restoreInto(work: Work): Promise<RestoreOutcome> {
  const { target, admin, request } = work;
  const choice = await choose(work);
  const safety = work.replaces ? await request.safety?.() : undefined;
  const replace = work.replaces ? ['--clean', '--if-exists'] : [];
  let loaded = false;
  let session: Session | undefined;
  try {
    await load(work, target, choice, {
      flags: ['--single-transaction', ...replace],
      onLoaded: () => {
        loaded = true;
      },
    });
    session = await work.server.open(target);
    await analyzeDatabase(session, { subject: target, warn: request.warn });
    const tables = await compare(work, session, choice, 'tell');
    tellWhatIsOff(work, choice);
    await tellSubscriptions(work);
    const sizeBytes = (await databaseSize(admin, target)) ?? work.archive.sizeBytes;
    return { target, sizeBytes, tables, ...(safety === undefined ? {} : { safety }) };
  } catch (error) {
    if (loaded) tellReplaced(work, safety);
    throw failedToFill(error) ? unfilledInside(error as DguardError, work) : error;
  } finally {
    await session?.close();
  }
}

/** In one transaction a materialized view that cannot be filled takes all else with it; beside the target it stays empty. */
function unfilledInside(error: DguardError, { target, powers }: Work): DguardError {
  return new DguardError(error.code, error.message, {
    operation: 'load',
    subject: target,
    hint: `the target was not touched; solve what the view needs, or let it stay empty, which needs a new database: as a superuser: ALTER ROLE ${identifier(powers.role)} CREATEDB`,
    cause: error,
  });
}

async function plan(work: Work): Promise<RestoreOutcome> {
  const { target, archive, recorded, request, existing, tools, version } = work;
  const choice = await choose(work);
  const lines = [
    `load ${archive.sizeBytes} bytes with pg_restore ${tools.version} into a new database beside ${target} (PostgreSQL ${version.text})`,
    `compare ${choice.tables.length} table(s) with what the backup recorded`,
  ];
  if (work.merge) {
    const names = choice.tables.map(({ name }) => name).join(', ');
    lines.push(
      `put the rows of ${names} into the place of those in ${target}, which are kept in a schema dg_undo_…`,
    );
  } else if (!work.powers.createDatabases)
    lines[0] = work.replaces
      ? `take a safety backup of ${target}, then load ${archive.sizeBytes} bytes into it in one transaction, in place of what it holds of the same names`
      : `load ${archive.sizeBytes} bytes into the empty database ${target}, in one transaction`;
  else if (existing === undefined) lines.push(`name it ${target}`);
  else
    lines.push(
      `close idle sessions of ${target}, keep it as ${target}__dg_undo_…, and name the new one ${target}`,
    );
  const tables = request.only.length === 0 ? recorded : choice.tables;
  return { target, sizeBytes: archive.sizeBytes, tables, plan: lines };
}
