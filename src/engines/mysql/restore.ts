import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DguardError } from '../../errors.ts';
import type {
  BackupContent,
  ContentEntry,
  EngineSource,
  RestoreOutcome,
  RestoreRequest,
  TableFact,
} from '../types.ts';
import { readSchema, type SchemaFacts, schemaSize } from './catalog.ts';
import { createCode, readCode } from './code.ts';
import { compareSchema } from './compare.ts';
import { type SourceFacts, sourceFacts } from './facts.ts';
import { serverError } from './failures.ts';
import { findDump, recordedTables } from './inspect.ts';
import { type Loaded, loadDump } from './load.ts';
import { MARK_TABLE, type Mark, writeMark } from './marks.ts';
import type { MysqlOptions } from './options.ts';
import { createMarked, dropMarked, isEmptySchema } from './place.ts';
import { mergeExtras, refuseBadFit, refuseReferences } from './preflight.ts';
import { maySetDefiner } from './privileges.ts';
import { tableMatcher } from './select.ts';
import { onlyDatabase, openServer, type Server } from './server.ts';
import { readServer, type ServerInfo } from './server-info.ts';
import { identifier, type Session } from './session.ts';
import { swapSchemas } from './swap.ts';
import { compareVersions, type Tools } from './tools.ts';

type Request = RestoreRequest<MysqlOptions>;

interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  readonly session: Session;
  readonly target: string;
  readonly entry: Extract<ContentEntry, { type: 'stream' }>;
  readonly facts: SourceFacts;
  /** The recorded tables that are to be restored. */
  readonly tables: readonly TableFact[];
  readonly info: ServerInfo;
  readonly tools: Tools;
  /** Of the target; undefined: there is none of that name. */
  readonly existing?: SchemaFacts;
  /** Tables take the place of their counterparts, everything else stays. */
  readonly merge: boolean;
}

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

/** The source of a target, with the signal, temporary folder and warnings of this restore. */
export function targetSource(request: {
  readonly source?: EngineSource<MysqlOptions>;
  readonly signal: AbortSignal;
  readonly tempDir: string;
  readonly toPath?: string;
  readonly warn: Request['warn'];
}): EngineSource<MysqlOptions> {
  if (request.toPath !== undefined) {
    throw new DguardError('unsupported', 'a MySQL backup is restored to a database, not to a path', {
      operation: 'restore',
      subject: request.toPath,
      hint: 'use --to-database NAME; or take the dump itself out: dguard cat ID database.sql',
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
  session: Session,
): Promise<Work> {
  const target = request.toDatabase ?? content.database ?? onlyDatabase(server);
  const entry = await findDump(content);
  const facts = sourceFacts(content.facts.engine);
  const info = await readServer(session);
  const tools = await server.tools(info);
  const recorded = await recordedTables(content);
  const chosen = tableMatcher(request.only, facts.schema);
  const tables = request.only.length === 0 ? recorded : recorded.filter(({ name }) => chosen(name));
  if (request.only.length > 0 && tables.length === 0) {
    throw new DguardError('nothing_there', `the backup has no table ${request.only.join(', ')}`, {
      operation: 'restore',
      subject: target,
      hint: `it has: ${recorded
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    });
  }
  refuseBadFit(facts, info, target, request.warn);
  const existing = request.scratch ? undefined : await readSchema(session, target);
  const empty = existing === undefined || (await isEmptySchema(session, target));
  if (!empty && !request.overwrite) {
    throw new DguardError('target_refused', 'the database exists and is not empty', {
      operation: 'restore',
      subject: target,
      hint: 'use --to-database NEW-NAME, or replace it: --overwrite',
    });
  }
  const merge = !empty && (!content.whole || request.only.length > 0);
  if (!empty) {
    await refuseReferences(
      session,
      target,
      merge && !request.deleteExtra ? tables.map(({ name }) => name) : undefined,
    );
  }
  const work = { content, request, server, session, target, entry, facts, tables, info, tools, merge };
  return existing === undefined ? work : { ...work, existing };
}

/** Where there is none of that name: loaded in place, marked until all of it is there. */
async function restoreToNew(work: Work): Promise<RestoreOutcome> {
  const { session, target, facts } = work;
  await createMarked(session, markOf(work, 'new'), facts, target);
  let done = false;
  try {
    const loaded = await load(work, target);
    const tables = await compare(work, target, false);
    await setEvents(work, target, loaded.events);
    await session.run(`DROP TABLE ${identifier(target)}.${identifier(MARK_TABLE)}`);
    done = true;
    return { target, sizeBytes: (await schemaSize(session, target)) ?? work.entry.size, tables };
  } finally {
    if (!done) await dropQuietly(work, target);
  }
}

async function restoreBeside(work: Work, existing: SchemaFacts): Promise<RestoreOutcome> {
  const { session, target, facts, request, merge } = work;
  const mark = markOf(work, 'new');
  const name = await createMarked(session, mark, facts);
  let swapped = false;
  try {
    const loaded = await load(work, name);
    const tables = await compare(work, name, false);
    await writeMark(session, name, { ...mark, events: loaded.events });
    const also = merge && request.deleteExtra ? await mergeExtras(session, target, work.tables) : [];
    const undo = await swapSchemas(
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
    const sizeBytes = (await schemaSize(session, target)) ?? work.entry.size;
    return { target, sizeBytes, tables, ...(undo === undefined ? {} : { undo }) };
  } finally {
    if (!swapped) await dropQuietly(work, name);
  }
}

/** Into a marked schema that is gone afterwards, whatever happens. */
async function restoreToScratch(work: Work): Promise<RestoreOutcome> {
  const { session, facts } = work;
  const name = await createMarked(session, markOf(work, 'scratch'), facts);
  try {
    await load(work, name);
    const tables = await compare(work, name, true);
    return { target: name, sizeBytes: (await schemaSize(session, name)) ?? work.entry.size, tables };
  } finally {
    await dropQuietly(work, name);
  }
}

function markOf({ request, target }: Work, role: 'new' | 'scratch'): Mark {
  return { role, target, backupId: request.backupId, createdAt: request.now().toISOString() };
}

async function load(work: Work, schema: string): Promise<Loaded> {
  const { content, entry, request, server, tools, tables, session } = work;
  const definer = (await maySetDefiner(session)) ? 'keep' : 'strip';
  const names = new Set(tables.map(({ name }) => name));
  let done = 0;
  const loaded = await loadDump(content, entry, {
    server,
    tools,
    schema,
    definer,
    // A merge takes the tables with rows; a new schema takes all of what the backup holds.
    ...(request.only.length > 0 || work.merge ? { chosen: (name: string) => names.has(name) } : {}),
    signal: request.signal,
    onBytes: (count) => {
      done += count;
      request.onProgress(done, 0);
    },
  });
  if (definer === 'strip' && loaded.definers.size > 0) {
    const message = `views, triggers, routines and events now run as ${work.info.user}: the account may not keep their definers (${[...loaded.definers].join(', ')})`;
    request.warn({ message, subject: work.target, partial: false });
  }
  return loaded;
}

async function compare(work: Work, schema: string, strict: boolean): Promise<readonly TableFact[]> {
  const { content, facts, info, request, session, target } = work;
  const sha256 = content.facts.schema_sha256;
  const whole = request.only.length === 0 && !work.merge;
  // Another version describes the same in other words.
  const sameVersion =
    facts.flavour === info.flavour && compareVersions(minor(facts.version), minor(info.version)) === 0;
  const compared = await compareSchema(
    session,
    schema,
    {
      tables: work.tables,
      approximate: (table) => facts.counts === 'approximate' || facts.non_transactional.includes(table),
      ...(sha256 === undefined || !whole || !sameVersion ? {} : { schemaSha256: sha256 }),
    },
    target,
  );
  const tell = (message: string) => request.warn({ message, subject: target, partial: false });
  for (const difference of compared.differing.slice(0, 5)) tell(`${difference} beside the dump`);
  if (compared.sameSchema) return compared.tables;
  const message = 'the restored schema does not read like the recorded one';
  if (strict) throw new DguardError('corrupt', message, { operation: 'compare', subject: target });
  // Every statement was carried out and every row counted: no reason to keep it from who needs it.
  tell(`${message}; compare with mysqldump --no-data`);
  return compared.tables;
}

function minor(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

/**
 * Events are loaded disabled; now they become what they were. Created anew: ALTER EVENT would make us their
 * definer.
 */
async function setEvents(work: Work, schema: string, events: Loaded['events']): Promise<void> {
  const { session, request } = work;
  const off = (await readCode(session, schema)).filter(
    ({ kind, name }) => kind === 'event' && (events[name] ?? 'DISABLE') !== 'DISABLE',
  );
  const failed = await createCode(session, off, {
    from: schema,
    to: schema,
    eventStatus: (name) => events[name],
  });
  for (const problem of failed) {
    request.warn({ message: `not created: ${problem}`, subject: schema, partial: true });
  }
}

async function dropQuietly({ session, server, request }: Work, name: string): Promise<void> {
  try {
    // After an abort the restore's own session is broken.
    const fresh = request.signal.aborted
      ? await openServer({ ...server.source, signal: new AbortController().signal }).open()
      : session;
    await dropMarked(fresh, name);
    if (fresh !== session) await fresh.close();
  } catch {
    const message = `the database ${name} could not be removed; it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false });
  }
}

function plan(work: Work): RestoreOutcome {
  const { target, entry, tables, existing, tools, info, merge } = work;
  const beside = existing === undefined ? `a new database ${target}` : `a new database beside ${target}`;
  const lines = [
    `load ${entry.size} bytes with ${tools.name} ${tools.version}'s client into ${beside} (${info.versionText})`,
    `compare ${tables.length} table(s) with what the backup recorded`,
  ];
  if (merge)
    lines.push(
      `put them in place of their counterparts in ${target}, which are kept as ${target}__dg_undo_…`,
    );
  else if (existing !== undefined)
    lines.push(`move its tables into ${target}, and what is there into ${target}__dg_undo_…`);
  return { target, sizeBytes: entry.size, tables, plan: lines };
}
