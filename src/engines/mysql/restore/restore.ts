import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupContent, RestoreOutcome, RestoreRequest } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import { type SchemaFacts, schemaSize } from '../server/catalog.ts';
import { serverError } from '../server/failures.ts';
import { openServer } from '../server/server.ts';
import { identifier, type Session } from '../server/session.ts';
import { MARK_TABLE, writeMark } from './marks.ts';
import { warnOfMissingParents } from './missing-parents.ts';
import { createForLoad } from './place.ts';
import { mergeExtras } from './preflight.ts';
import { compare, dropQuietly, load, setEvents } from './restore-steps.ts';
import { markOf, prepare, storedNames, targetSource, type Work } from './restore-work.ts';
import { swapUnbroken } from './swap.ts';

type Request = RestoreRequest<MysqlOptions>;

/**
 * Restores a backup to a schema: loaded into a new one beside it, compared with what was recorded, and moved in
 * by one RENAME TABLE. What was there before is kept as `NAME__dg_undo_…`.
 */
export async function restoreBackup(content: BackupContent, request: Request): Promise<RestoreOutcome> {
  const tempDir = await mkdtemp(join(request.tempDir, 'mysql-restore-'));
  const server = openServer(targetSource({ ...request, tempDir }));
  let session: Session | undefined;
  try {
    session = await server.open();
    const work = await prepare(content, request, server, session);
    if (request.dryRun) return plan(work);
    if (request.scratch) return await restoreToScratch(work);
    if (work.existing === undefined) return await restoreToNew(work);
    return await restoreBeside(work, work.existing);
  } catch (error) {
    throw serverError(error, 'target_failed', 'restore', request.source?.name ?? 'mysql');
  } finally {
    await session?.close();
    await server.dispose();
    await rm(tempDir, { recursive: true, force: true });
  }
}

/** Where there is none of that name: loaded in place, marked until all of it is there. */
async function restoreToNew(work: Work): Promise<RestoreOutcome> {
  const { session, target } = work;
  await createForLoad(work, markOf(work, 'new'), target);
  let done = false;
  try {
    const loaded = await load(work, target);
    const tables = await compare(work, target, false);
    await work.request.prove?.({ database: target });
    await setEvents(work, target, loaded.events);
    await session.run(`DROP TABLE ${identifier(target)}.${identifier(MARK_TABLE)}`);
    done = true;
    await warnOfMissingParents(work, target).catch(() => {});
    return { target, sizeBytes: (await schemaSize(session, target)) ?? work.script.sizeBytes, tables };
  } finally {
    if (!done) await dropQuietly(work, target);
  }
}

async function restoreBeside(work: Work, existing: SchemaFacts): Promise<RestoreOutcome> {
  const { session, target, facts, request, merge } = work;
  const mark = markOf(work, 'new');
  const name = await createForLoad(work, mark);
  let swapped = false;
  try {
    const loaded = await load(work, name);
    const tables = await compare(work, name, false);
    await request.prove?.({ database: name });
    await writeMark(session, name, { ...mark, events: loaded.events });
    const also =
      merge && request.deleteExtra
        ? await mergeExtras(session, target, storedNames(work.tables, work.info))
        : [];
    const undo = await swapUnbroken(
      work.server,
      session,
      {
        target,
        incoming: name,
        merge,
        also,
        backupId: request.backupId,
        createdAt: mark.createdAt,
        newDefaults: merge ? existing : { charset: facts.charset, collation: facts.collation },
      },
      request.warn,
    );
    swapped = true;
    await warnOfMissingParents(work, target).catch(() => {});
    // What was done is told, even where somebody interrupted it too late.
    const sizeBytes = await schemaSize(session, target).catch(() => undefined);
    return {
      target,
      sizeBytes: sizeBytes ?? work.script.sizeBytes,
      tables,
      ...(undo === undefined ? {} : { undo }),
    };
  } finally {
    if (!swapped) await dropQuietly(work, name);
  }
}

/** Into a marked schema that is gone afterwards, whatever happens. */
async function restoreToScratch(work: Work): Promise<RestoreOutcome> {
  const { session } = work;
  const name = await createForLoad(work, markOf(work, 'scratch'));
  try {
    await load(work, name);
    const tables = await compare(work, name, true);
    return { target: name, sizeBytes: (await schemaSize(session, name)) ?? work.script.sizeBytes, tables };
  } finally {
    await dropQuietly(work, name);
  }
}

function plan(work: Work): RestoreOutcome {
  const { target, script, tables, existing, tools, info, merge } = work;
  const beside = existing === undefined ? `a new database ${target}` : `a new database beside ${target}`;
  const lines = [
    `load ${script.sizeBytes} bytes with ${tools.name} ${tools.version}'s client into ${beside} (${info.versionText})`,
    `compare ${tables.length} table(s) with what the backup recorded`,
  ];
  if (merge)
    lines.push(
      `put them in place of their counterparts in ${target}, which are kept as ${target}__dg_undo_…`,
    );
  else if (existing !== undefined)
    lines.push(`move its tables into ${target}, and what is there into ${target}__dg_undo_…`);
  return { target, sizeBytes: script.sizeBytes, tables, plan: lines };
}
