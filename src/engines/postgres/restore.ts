import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DguardError } from '../../errors.ts';
import type { BackupContent, EngineSource, RestoreOutcome, RestoreRequest, TableFact } from '../types.ts';
import { isEmptyDatabase } from './catalog.ts';
import { type Choice, chooseEntries } from './choice.ts';
import { compareDatabase } from './compare.ts';
import { type Archive, findArchive, recordedTables } from './content.ts';
import { type DatabaseFacts, databaseSize, readDatabase } from './database.ts';
import { onlyDatabase } from './dump.ts';
import { serverError } from './failures.ts';
import { loadExport } from './jsonl-load.ts';
import { loadArchive } from './load.ts';
import type { PostgresOptions } from './options.ts';
import { createBeside, dressDatabase, dropMarked } from './place.ts';
import type { Fit, Powers } from './preflight.ts';
import { fitToServer, readPowers, refuseBusy, refuseReplicated, restoreTools } from './preflight.ts';
import { adminDatabases, openAny, openServer, type Server } from './server.ts';
import type { Session } from './session.ts';
import { readVersion, type ServerVersion, type SourceFacts, sourceFacts } from './source-facts.ts';
import { swapDatabases } from './swap.ts';
import type { Tools } from './tools.ts';

type Request = RestoreRequest<PostgresOptions>;

interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  readonly admin: Session;
  readonly target: string;
  readonly archive: Archive;
  readonly facts: SourceFacts;
  readonly recorded: readonly TableFact[];
  readonly version: ServerVersion;
  readonly tools: Tools;
  readonly powers: Powers;
  readonly fit: Fit;
  /** What has the target's name now. */
  readonly existing?: DatabaseFacts;
}

/**
 * Restores a backup to a database: loaded into a new one beside it, compared with what was recorded, and
 * given its name in one transaction. What was there before is kept as `NAME__dg_undo_…`.
 */
export async function restoreBackup(content: BackupContent, request: Request): Promise<RestoreOutcome> {
  const source = targetSource(request);
  const tempDir = await mkdtemp(join(request.tempDir, 'pg-restore-'));
  const server = openServer({ ...source, tempDir });
  let admin: Session | undefined;
  try {
    const target = request.toDatabase ?? content.database ?? onlyDatabase(server);
    admin = await openAny(server, adminDatabases(server, [target]));
    const work = await prepare(content, { ...request, tempDir }, server, admin, target);
    if (request.dryRun) return await plan(work);
    if (request.scratch) return await restoreToScratch(work);
    if (work.powers.createDatabases) return await restoreBeside(work);
    return await restoreInto(work);
  } catch (error) {
    throw serverError(error, 'target_failed', 'restore', request.source?.name ?? 'postgres');
  } finally {
    await admin?.close();
    await server.dispose();
    await rm(tempDir, { recursive: true, force: true });
  }
}

/** The source of a target, with the signal, temporary folder and warnings of this restore. */
export function targetSource(request: {
  readonly source?: EngineSource<PostgresOptions>;
  readonly signal: AbortSignal;
  readonly tempDir: string;
  readonly toPath?: string;
  readonly warn: Request['warn'];
}): EngineSource<PostgresOptions> {
  if (request.toPath !== undefined) {
    throw new DguardError('unsupported', 'a PostgreSQL backup is restored to a database, not to a path', {
      operation: 'restore',
      subject: request.toPath,
      hint: 'use --to-database NAME; or take the dump itself out: dguard cat ID database.dump',
    });
  }
  if (request.source === undefined) {
    throw new DguardError('usage', 'nothing says which server to restore to', {
      operation: 'restore',
      hint: 'name a datasource of the configuration: --to DATASOURCE',
    });
  }
  const { signal, tempDir, warn } = request;
  return { ...request.source, signal, tempDir, warn };
}

async function prepare(
  content: BackupContent,
  request: Request,
  server: Server,
  admin: Session,
  target: string,
): Promise<Work> {
  const archive = await findArchive(content);
  const facts = sourceFacts(content.facts.engine);
  const recorded = await recordedTables(content);
  const version = await readVersion(admin);
  const tools = await restoreTools(server, version, facts);
  const powers = await readPowers(admin);
  const fit = await fitToServer(admin, powers, facts, target);
  for (const message of fit.warnings) request.warn({ message, subject: target, partial: false });
  const existing = request.scratch ? undefined : await readDatabase(admin, target);
  if (existing !== undefined) await refuseTarget(content, request, server, admin, target, powers);
  else if (!powers.createDatabases) {
    throw new DguardError('target_refused', `role ${powers.role} may not create databases`, {
      operation: 'restore',
      subject: target,
      hint: `as a superuser: ALTER ROLE "${powers.role}" CREATEDB; or create an empty database of that name for it`,
    });
  }
  const work = {
    content,
    request,
    server,
    admin,
    target,
    archive,
    facts,
    recorded,
    version,
    tools,
    powers,
    fit,
  };
  return existing === undefined ? work : { ...work, existing };
}

/** An existing database is replaced only when asked to, as a whole, by the whole of another. */
async function refuseTarget(
  content: BackupContent,
  request: Request,
  server: Server,
  admin: Session,
  target: string,
  powers: Powers,
): Promise<void> {
  const refuse = (why: string, hint: string) =>
    new DguardError('target_refused', why, { operation: 'restore', subject: target, hint });
  const session = await server.open(target);
  let empty: boolean;
  try {
    empty = await isEmptyDatabase(session);
  } finally {
    await session.close();
  }
  if (!empty && !request.overwrite) {
    throw refuse(
      'the database exists and is not empty',
      'use --to-database NEW-NAME, or replace it: --overwrite',
    );
  }
  if (!empty && (!content.whole || request.only.length > 0)) {
    const what = request.only.length > 0 ? 'chosen tables' : 'a backup of a part of a database';
    throw refuse(
      `${what} cannot replace a whole database`,
      'restore to a new one with --to-database NEW-NAME, and move the rows with pg_dump --data-only --table',
    );
  }
  if (!powers.createDatabases) {
    if (empty) return;
    throw refuse(
      `role ${powers.role} may not create databases, so nothing could be put beside this one`,
      `as a superuser: ALTER ROLE "${powers.role}" CREATEDB; or restore into an empty database`,
    );
  }
  await refuseReplicated(admin, target, request.warn);
  await refuseBusy(admin, target);
}

async function restoreBeside(work: Work): Promise<RestoreOutcome> {
  const { request, admin, target, existing, facts, powers, fit } = work;
  const choice = await choose(work);
  const mark = { role: 'new', backupId: request.backupId, createdAt: request.now().toISOString() } as const;
  const name = await createBeside(admin, target, facts.database, mark, work.version.major);
  let swapped = false;
  try {
    // An open session says that somebody still works on it: nothing that cleans up takes it away.
    const guard = await work.server.open(name);
    let tables: readonly TableFact[];
    try {
      await load(work, name, choice, [], guard);
      await guard.run('ANALYZE');
      tables = await compare(work, guard, choice, false);
    } finally {
      await guard.close();
    }
    // A replaced database hands on what hangs on it; a new one is what the backup's was.
    const dress = existing ?? facts.database;
    await dressDatabase(admin, name, dress, powers, fit.roles, request.warn);
    const undo = await swapDatabases(admin, {
      target,
      incoming: name,
      ...(dress.comment === undefined ? {} : { comment: dress.comment }),
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
    tellWhatIsOff(work, choice);
    return {
      target,
      sizeBytes: (await databaseSize(admin, target)) ?? work.archive.sizeBytes,
      tables,
      ...(undo === undefined ? {} : { undo }),
    };
  } finally {
    if (!swapped) await dropQuietly(work, name);
  }
}

/** Into a marked database that is gone afterwards, whatever happens. */
async function restoreToScratch(work: Work): Promise<RestoreOutcome> {
  const { request, admin, target, facts } = work;
  const choice = await choose(work);
  const mark = {
    role: 'scratch',
    backupId: request.backupId,
    createdAt: request.now().toISOString(),
  } as const;
  const name = await createBeside(admin, target, facts.database, mark, work.version.major);
  try {
    const guard = await work.server.open(name);
    try {
      // A subscription would keep the database from being dropped.
      await load(work, name, choice, ['--no-subscriptions'], guard);
      const tables = await compare(work, guard, choice, true);
      return { target: name, sizeBytes: (await databaseSize(guard, name)) ?? work.archive.sizeBytes, tables };
    } finally {
      await guard.close();
    }
  } finally {
    await dropQuietly(work, name);
  }
}

/** Where no database can be created: into one that is there and empty, all or nothing. */
async function restoreInto(work: Work): Promise<RestoreOutcome> {
  const { target, admin } = work;
  const choice = await choose(work);
  await load(work, target, choice, ['--single-transaction']);
  const session = await work.server.open(target);
  try {
    await session.run('ANALYZE');
    const tables = await compare(work, session, choice, false);
    tellWhatIsOff(work, choice);
    return { target, sizeBytes: (await databaseSize(admin, target)) ?? work.archive.sizeBytes, tables };
  } finally {
    await session.close();
  }
}

function readRequest(work: Work) {
  const { request } = work;
  let done = 0;
  return {
    tempDir: request.tempDir,
    signal: request.signal,
    onBytes: (count: number) => {
      done += count;
      request.onProgress(done, 0);
    },
  };
}

async function choose(work: Work): Promise<Choice> {
  const { content, archive, recorded, request, facts, server, tools } = work;
  const context = { server, tools, read: readRequest(work) };
  return await chooseEntries(content, archive, recorded, request.only, facts.without_rows, context);
}

async function load(
  work: Work,
  database: string,
  choice: Choice,
  flags: readonly string[],
  session?: Session,
): Promise<void> {
  const request = {
    server: work.server,
    tools: work.tools,
    database,
    flags: [...work.fit.flags, ...flags],
    ...(choice.list === undefined ? {} : { list: choice.list }),
    read: readRequest(work),
  };
  if (!isExport(work)) {
    return await loadArchive(work.content, work.archive, request);
  }
  if (session === undefined) {
    throw new DguardError(
      'unsupported',
      'a JSONL export is loaded table by table, which needs a new database',
      {
        operation: 'restore',
        subject: database,
        hint: `as a superuser: ALTER ROLE "${work.powers.role}" CREATEDB`,
      },
    );
  }
  const tables = new Set(choice.tables.map(({ name }) => name));
  await loadExport(work.content, work.archive, session, { ...request, tables });
}

function isExport({ archive }: Work): boolean {
  return archive.kind === 'custom' && archive.jsonl === true;
}

async function compare(
  work: Work,
  session: Session,
  choice: Choice,
  strict: boolean,
): Promise<readonly TableFact[]> {
  const { content, facts, version, request, target } = work;
  const sha256 = content.facts.schema_sha256;
  const sameMajor = Math.floor(facts.server_version_num / 10000) === version.major;
  const whole = request.only.length === 0 && choice.foreignKeys.length === 0;
  const compared = await compareDatabase(
    session,
    {
      tables: choice.tables,
      ...(request.only.length > 0 || isExport(work) ? {} : { largeObjects: facts.large_objects }),
      // Another major describes the same objects in other words.
      ...(sha256 === undefined || !sameMajor || !whole ? {} : { schemaSha256: sha256 }),
    },
    target,
  );
  if (compared.sameSchema) return compared.tables;
  const message = 'the restored schema does not read like the recorded one';
  if (strict) throw new DguardError('corrupt', message, { operation: 'compare', subject: target });
  // Every object was created without an error and every row counted: no reason to keep it from who needs it.
  request.warn({
    message: `${message}; compare with pg_dump --schema-only`,
    subject: target,
    partial: false,
  });
  return compared.tables;
}

function tellWhatIsOff({ facts, request, target }: Work, choice: Choice): void {
  const tell = (message: string) => request.warn({ message, subject: target, partial: false });
  if (facts.subscriptions.length > 0) {
    tell(
      `subscriptions were restored disabled: ${facts.subscriptions.join(', ')}; ALTER SUBSCRIPTION … ENABLE`,
    );
  }
  if (facts.slots.length > 0)
    tell(`replication slots are in no backup: ${facts.slots.join(', ')} were there`);
  if (choice.foreignKeys.length > 0) {
    tell(`foreign keys to tables without their rows were left out: ${choice.foreignKeys.join(', ')}`);
  }
}

async function dropQuietly({ admin, server, request, target }: Work, name: string): Promise<void> {
  try {
    // After an abort the restore's own session is broken.
    const session = request.signal.aborted
      ? await openAny(
          openServer({ ...server.source, signal: new AbortController().signal }),
          adminDatabases(server, [target]),
        )
      : admin;
    await dropMarked(session, name);
    if (session !== admin) await session.close();
  } catch {
    const message = `the database ${name} could not be removed; it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false });
  }
}

async function plan(work: Work): Promise<RestoreOutcome> {
  const { target, archive, recorded, request, existing, tools, version } = work;
  const choice = await choose(work);
  const lines = [
    `load ${archive.sizeBytes} bytes with pg_restore ${tools.version} into a new database beside ${target} (PostgreSQL ${version.text})`,
    `compare ${choice.tables.length} table(s) with what the backup recorded`,
  ];
  if (!work.powers.createDatabases)
    lines[0] = `load ${archive.sizeBytes} bytes into the empty database ${target}, in one transaction`;
  else if (existing === undefined) lines.push(`name it ${target}`);
  else
    lines.push(
      `close idle sessions of ${target}, keep it as ${target}__dg_undo_…, and name the new one ${target}`,
    );
  const tables = request.only.length === 0 ? recorded : choice.tables;
  return { target, sizeBytes: archive.sizeBytes, tables, plan: lines };
}
