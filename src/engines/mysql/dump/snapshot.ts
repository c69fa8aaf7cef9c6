import { DguardError, errorText } from '../../../errors.ts';
import type { DumpRequest, EngineSource } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import { leftOut } from '../select.ts';
import { hasOwnRows, listTables, readSchema, type TableInfo } from '../server/catalog.ts';
import { type ColumnInfo, listColumns } from '../server/columns.ts';
import { serverError } from '../server/failures.ts';
import { refuseBlind } from '../server/privileges.ts';
import { onlyDatabase, openServer } from '../server/server.ts';
import { readServer, type ServerInfo } from '../server/server-info.ts';
import { identifier, type Session } from '../server/session.ts';
import { noSchema, warnOfEngines } from './dump-preflight.ts';
import type { RunningDump } from './dump-tool.ts';
import { freezeServer } from './freeze.ts';
import type { Moment, ReadableTable } from './moment.ts';
import { knownTables, type SameTables, watchTables } from './same-tables.ts';

/** How long commits may be held up for all sessions and tools to begin; it takes some milliseconds. */
const MAX_FREEZE_MS = 10_000;

export interface Snapshot extends Moment {
  /** Tables without transactions are locked, so that they are of the moment, too. */
  readonly locked: boolean;
  /** All began at the same moment. */
  readonly exact: boolean;
  readonly same: SameTables;
  /** Dump tools that began at the moment. */
  readonly running: readonly RunningDump[];
  close(): Promise<void>;
}

export interface SnapshotRequest extends DumpRequest {
  /** Starts the dump tools that have to see the moment; commits stand still meanwhile, where that can be had. */
  readonly start: (moment: Moment) => Promise<readonly RunningDump[]>;
}

/**
 * Begins a transaction that sees one moment. Where several sessions or a dump tool have to see the same one, no
 * commit goes through while they begin. Refuses before that what cannot be dumped.
 */
export async function openSnapshot(
  source: EngineSource<MysqlOptions>,
  request: SnapshotRequest,
): Promise<Snapshot> {
  const server = openServer(source);
  const schema = request.database ?? onlyDatabase(server);
  const subject = `${source.name}/${schema}`;
  const sessions: Session[] = [];
  let running: readonly RunningDump[] = [];
  const close = async () => {
    for (const tool of running) await tool.stop();
    for (const session of sessions) await session.close();
    await server.dispose();
  };
  const open = async () => {
    const session = await server.open();
    sessions.push(session);
    return session;
  };
  try {
    const session = await open();
    const side = await open();
    await side.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
    const info = await readServer(session);
    const defaults = await readSchema(session, schema);
    if (defaults === undefined) throw noSchema(schema, subject);
    const tools = await server.tools(info);
    await refuseBlind(side, schema, info, {
      ...{ subject, warn: source.warn },
      hiddenRoutines: source.options.hidden_routines,
    });
    const known = await knownTables(side, info, schema);
    const seen = known.tables;
    if (!source.options.lock_tables) warnOfEngines(seen, source, subject);
    const more: Session[] = [];
    if (request.parallelJobs > 1) for (let n = 0; n < request.parallelJobs; n++) more.push(await open());
    const alone = more.length === 0 && seen.every(isProtected);

    const freeze = alone ? undefined : await freezeServer(server, info);
    if (freeze === undefined && more.length > 0) warnOfOne(source, info, subject);
    let exact = alone || freeze !== undefined;
    const timer = setTimeout(() => {
      exact = false;
      freeze?.release().catch(() => {});
    }, MAX_FREEZE_MS);
    try {
      const readers = freeze === undefined || more.length === 0 ? [session] : more;
      await Promise.all([...new Set([session, ...readers])].map(beginSnapshot));
      const snapshotAt = source.now();
      const tables = await listTables(side, schema);
      const without = leftOut(tables, schema, request, subject, source.warn);
      const kept = tables.filter((table) => !without.includes(table));
      const locked = source.options.lock_tables === true;
      if (locked) await lockTables(await open(), schema, kept.filter(isUnprotected), subject);
      const columns = await listColumns(side, schema);
      const readable = readableOf(kept, columns);
      const moment: Moment = {
        server,
        schema,
        subject,
        info,
        defaults,
        tools,
        session,
        side,
        readers,
        snapshotAt,
        tables,
        without,
        kept,
        columns,
        readable,
      };
      running = await request.start(moment);
      // Only a lock that was there to the end made them begin at one moment.
      if (freeze && !(await freeze.release())) exact = false;
      if (!exact && readers.length > 1) throw tooSlow(subject);
      const same = await watchTables(side, info, schema, subject, known);
      return { ...moment, locked, exact: exact || running.length === 0, same, running, close };
    } finally {
      clearTimeout(timer);
      await freeze?.release();
    }
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/** No transaction keeps its rows as they are. */
export function isUnprotected({ kind, transactional }: TableInfo): boolean {
  return kind === 'table' && !transactional;
}

/** Until its session ends, nobody writes to these tables. */
async function lockTables(
  session: Session,
  schema: string,
  tables: readonly TableInfo[],
  subject: string,
): Promise<void> {
  if (tables.length === 0) return;
  await session.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
  const names = tables.map(({ name }) => `${identifier(schema)}.${identifier(name)} READ`);
  await session.run(`LOCK TABLES ${names.join(', ')}`).catch((error: unknown) => {
    throw new DguardError('source_failed', `tables could not be locked (lock_tables): ${errorText(error)}`, {
      operation: 'dump',
      subject,
      hint: 'grant the account LOCK TABLES, end what writes to them for long, or set lock_tables: false',
      cause: error,
    });
  });
}

function isProtected({ kind, transactional, versioned }: TableInfo): boolean {
  return kind !== 'table' || (transactional && !versioned);
}

function readableOf(
  kept: readonly TableInfo[],
  columns: ReadonlyMap<string, readonly ColumnInfo[]>,
): ReadableTable[] {
  return kept
    .filter((table) => hasOwnRows(table) && isProtected(table))
    .map((table) => {
      const own = columns.get(table.name) ?? [];
      return { table, columns: own.filter(({ generated }) => !generated) };
    })
    .filter(({ columns: own }) => own.length > 0 && own.every(({ kind }) => kind !== undefined));
}

/** How long we wait for somebody who alters a table just now. */
const LOCK_WAIT_S = 120;

async function beginSnapshot(session: Session): Promise<void> {
  await session.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
  await session.run('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
  await session.run('START TRANSACTION WITH CONSISTENT SNAPSHOT');
}

function warnOfOne(source: EngineSource<MysqlOptions>, info: ServerInfo, subject: string): void {
  const privilege = info.flavour === 'mysql' ? 'RELOAD' : 'RELOAD (BACKUP STAGE)';
  source.warn({
    message: `parallel_jobs needs commits to be held up for a moment, which the account may not, or somebody else held a lock: dumped by one connection; GRANT ${privilege} ON *.*`,
    subject,
    partial: false,
  });
}

function tooSlow(subject: string): DguardError {
  return new DguardError(
    'source_failed',
    `not all connections had begun within ${MAX_FREEZE_MS / 1000} s, for which commits were held up`,
    {
      operation: 'dump',
      subject,
      hint: 'run it again when the server has less to do, or set parallel_jobs: 1',
    },
  );
}
