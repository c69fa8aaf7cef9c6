import { DguardError } from '../../errors.ts';
import type { DumpRequest, EngineSource } from '../types.ts';
import { listTables, readSchema, type SchemaFacts, type TableInfo } from './catalog.ts';
import { noSchema, refuseGenerated, warnOfEngines } from './dump-preflight.ts';
import type { RunningDump } from './dump-tool.ts';
import { serverError } from './failures.ts';
import { freezeServer } from './freeze.ts';
import type { MysqlOptions } from './options.ts';
import { refuseBlind } from './privileges.ts';
import { leftOut } from './select.ts';
import { onlyDatabase, openServer, type Server } from './server.ts';
import { readServer, type ServerInfo } from './server-info.ts';
import type { Session } from './session.ts';
import type { Tools } from './tools.ts';

/** How long commits may be held up for all sessions and tools to begin; it takes some milliseconds. */
const MAX_FREEZE_MS = 10_000;

/** One moment of a schema, and all that reads it as of that moment. */
export interface Snapshot {
  readonly server: Server;
  readonly schema: string;
  readonly subject: string;
  readonly info: ServerInfo;
  readonly defaults: SchemaFacts;
  readonly tools: Tools;
  /** Inside: sees the moment, and counts. */
  readonly session: Session;
  /** Outside: sees definitions as they are now. */
  readonly side: Session;
  /** Inside, for rows; empty where the account may not hold up commits, so that they would not agree. */
  readonly readers: readonly Session[];
  readonly snapshotAt: Date;
  readonly tables: readonly TableInfo[];
  /** Of these, what patterns leave out: rows of tables, views at all. */
  readonly without: readonly TableInfo[];
  readonly kept: readonly TableInfo[];
  /** All began at the same moment. */
  readonly exact: boolean;
  /** Dump tools that began at the moment, as `start` left them. */
  readonly running: readonly RunningDump[];
  close(): Promise<void>;
}

export interface SnapshotRequest extends DumpRequest {
  /** How many sessions for rows. */
  readonly readers: number;
  /** Starts the dump tools that have to see the moment; called while commits stand still, or not at all can. */
  readonly start: (moment: Omit<Snapshot, 'running' | 'exact' | 'close'>) => Promise<readonly RunningDump[]>;
}

/**
 * Begins transactions in several sessions, and dump tools, at one moment: while no commit goes through, all
 * begin their snapshots. Refuses before that what cannot be dumped.
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
    const info = await readServer(session);
    const defaults = await readSchema(session, schema);
    if (defaults === undefined) throw noSchema(schema, subject);
    const tools = await server.tools(info);
    await refuseBlind(side, schema, info, subject);
    await refuseGenerated(side, schema, info, tools, subject);
    warnOfEngines(await listTables(side, schema), source, subject);
    const readers: Session[] = [];
    for (let n = 0; n < request.readers; n++) readers.push(await open());

    const freeze = await freezeServer(server, info);
    if (freeze === undefined && readers.length > 1) warnOfOne(source, info, subject);
    let exact = freeze !== undefined;
    const timer = setTimeout(() => {
      exact = false;
      freeze?.release().catch(() => {});
    }, MAX_FREEZE_MS);
    try {
      const within = freeze === undefined ? [] : readers;
      await Promise.all([session, ...within].map(beginSnapshot));
      const snapshotAt = source.now();
      const tables = await listTables(side, schema);
      const without = leftOut(tables, schema, request, subject, source.warn);
      const kept = tables.filter((table) => !without.includes(table));
      const moment = {
        server,
        schema,
        subject,
        info,
        defaults,
        tools,
        session,
        side,
        readers: within,
        snapshotAt,
        tables,
        without,
        kept,
      };
      running = await request.start(moment);
      if (!exact && within.length > 0) throw tooSlow(subject);
      return { ...moment, exact, running, close };
    } finally {
      clearTimeout(timer);
      await freeze?.release();
    }
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/** How long a reader waits for somebody who alters its table just now. */
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
