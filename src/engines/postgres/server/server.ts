import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { withSession } from '../../sessions.ts';
import type { EngineSource } from '../../types.ts';
import type { PostgresOptions } from '../options.ts';
import type { Connection } from './connection.ts';
import { connectionOf, conninfo, toolEnvironment, writePassfile } from './connection.ts';
import { openPsqlSession } from './psql-session.ts';
import { openDriverSession, type Session } from './session.ts';
import { chooseTools, listTools, type Tools } from './tools.ts';

/** A server, before and while it is talked to. */
export interface Server {
  readonly source: EngineSource<PostgresOptions>;
  readonly connection: Connection;
  /** What its tools inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How long a lock on a table is waited for: somebody alters or truncates it just now. */
  readonly lockTimeoutMs: number;
  /** To be taken out of what anything says. */
  readonly secrets: readonly string[];
  /** Opens a session; throws what the driver or psql throws. */
  open(database: string): Promise<Session>;
  /** The `--dbname` of a client tool; `settings`: of its sessions, as `name=value`. */
  conninfo(database: string, settings?: readonly string[]): Promise<string>;
  /** Begins to look for client tools, for whoever asks for them later. */
  lookForTools(): void;
  /** Client tools for a server of this major. */
  tools(serverMajor: number): Promise<Tools>;
  /** Removes what was written for the tools (the password file). */
  dispose(): Promise<void>;
}

const LOCK_TIMEOUT_MS = 120_000;

export function openServer(source: EngineSource<PostgresOptions>): Server {
  const { options } = source;
  const connection = connectionOf(options, source.name);
  const env = toolEnvironment(source.env);
  const secrets = connection.password === undefined ? [] : [connection.password];
  const request = { options, env, signal: source.signal };
  let found: Promise<readonly Tools[]> | undefined;
  const allTools = () => (found ??= listTools(request));
  let folder: Promise<string> | undefined;
  let passfile: Promise<string | undefined> | undefined;
  const connectionString = async (database: string, settings?: readonly string[]) => {
    // A password file of this host is none inside a container, nor for another user.
    if (connection.viaTools) return conninfo(connection, database, undefined, settings);
    folder ??= mkdtemp(join(source.tempDir || tmpdir(), 'pg-'));
    passfile ??= folder.then((path) => writePassfile(connection, path));
    return conninfo(connection, database, await passfile, settings);
  };
  return {
    source,
    connection,
    env,
    lockTimeoutMs: options.lock_timeout_ms ?? LOCK_TIMEOUT_MS,
    secrets,
    async open(database) {
      throwIfAborted(source.signal);
      if (!connection.viaTools) return openDriverSession(connection, database, source.signal);
      const newest = [...(await allTools())].sort((a, b) => b.major - a.major)[0];
      if (!newest) {
        throw new DguardError('tool_missing', 'no psql was found', {
          operation: 'connect',
          subject: source.name,
          hint: "install PostgreSQL's client tools (apt-get install postgresql-client), or say where they are: client_path",
        });
      }
      const argv = [...newest.argv('psql'), '-d', await connectionString(database)];
      return openPsqlSession(argv, { env, signal: source.signal, redact: secrets });
    },
    conninfo: connectionString,
    lookForTools() {
      allTools().catch(() => {});
    },
    tools: async (serverMajor) => chooseTools(await allTools(), serverMajor, source.name),
    async dispose() {
      if (folder) await rm(await folder, { recursive: true, force: true });
    },
  };
}

/** Opens a session on the first database of these that lets us in: for what is not about one database. */
export async function openAny(server: Server, databases: readonly string[]): Promise<Session> {
  let first: unknown;
  for (const database of databases) {
    try {
      return await server.open(database);
    } catch (error) {
      if ((error as { code?: unknown }).code !== '3D000' && !/does not exist/.test(String(error)))
        throw error;
      first ??= error;
    }
  }
  throw first;
}

/** Databases that exist on nearly every server, to connect to for what concerns the server. */
export const MAINTENANCE = ['postgres', 'template1'] as const;

/**
 * Where to connect to for work on another database: never that one itself, which could not be renamed then,
 * and template1 last, as nobody else can copy it meanwhile.
 */
export function adminDatabases(server: Server, targets: readonly string[]): readonly string[] {
  const { database } = server.connection;
  const all = [MAINTENANCE[0], ...(database === undefined ? [] : [database]), MAINTENANCE[1]];
  return all.filter((name) => !targets.includes(name));
}

/** After an abort, or with the connection gone, the restore's own session is broken: cleaning up needs another. */
export async function withFreshSession<T>(
  { server, target }: { readonly server: Server; readonly target: string },
  use: (session: Session, server: Server) => Promise<T>,
): Promise<T> {
  const again = openServer({ ...server.source, signal: new AbortController().signal });
  try {
    const open = () => openAny(again, adminDatabases(server, [target]));
    return await withSession(open, (session) => use(session, again));
  } finally {
    await again.dispose();
  }
}
