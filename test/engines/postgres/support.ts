import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Secret } from '../../../src/config/secret.ts';
import type { PostgresOptions } from '../../../src/engines/postgres/engine.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type {
  BackupContent,
  DumpRequest,
  EngineSource,
  RestoreRequest,
  TargetRequest,
  Warning,
} from '../../../src/engines/types.ts';
import type { PostgresServer } from '../../services/postgres.mjs';
import { backUpBy, dumpRequest, RESTORE_ALL } from '../support.ts';

export { contentOf, dumpRequest } from '../support.ts';

/** What the engine is handed against one server, and plain access to that server. */
export interface Bench {
  readonly folder: string;
  readonly warnings: Warning[];
  source(database: string | string[], options?: Partial<PostgresOptions>): EngineSource<PostgresOptions>;
  request(
    database: string,
    options?: Partial<RestoreRequest<PostgresOptions>>,
  ): RestoreRequest<PostgresOptions>;
  target(database: string): TargetRequest<PostgresOptions>;
  /** Runs statements in a database as the superuser; returns the rows of the last. */
  sql(database: string, text: string): Promise<Record<string, unknown>[]>;
  /** A new database, filled by statements; dropped with the bench. */
  database(name: string, text?: string): Promise<string>;
  names(): Promise<string[]>;
  remove(): Promise<void>;
}

export async function makeBench(server: PostgresServer): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'dguard-postgres-'));
  const tempDir = join(folder, 'temp');
  await mkdir(tempDir, { mode: 0o700 });
  const warnings: Warning[] = [];
  const options: PostgresOptions = {
    host: server.host,
    port: server.port,
    username: server.user,
    password: new Secret(server.password),
    database: [],
    all_databases: false,
    client_path: server.bin === undefined ? [] : [server.bin],
    client_command: [],
  };
  const common = {
    signal: new AbortController().signal,
    tempDir,
    host: { name: hostname(), bootId: '', pid: process.pid, privileged: process.getuid?.() === 0 },
    now: () => new Date(),
    env: process.env,
    warn: (warning: Warning) => void warnings.push(warning),
  };
  const source = (database: string | string[], more: Partial<PostgresOptions> = {}) => ({
    ...common,
    name: 'app',
    options: { ...options, database: [database].flat(), ...more },
  });
  const sql = async (database: string, text: string) => {
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: server.user,
      password: server.password,
      database,
    });
    client.on('error', () => {});
    await client.connect();
    try {
      const result = (await client.query(text)) as unknown as pg.QueryResult | pg.QueryResult[];
      return ([result].flat().at(-1)?.rows ?? []) as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  return {
    folder,
    warnings,
    source,
    sql,
    request: (database, more = {}) => ({
      ...common,
      source: source(database),
      ...RESTORE_ALL,
      ...more,
    }),
    target: (database) => ({ ...common, source: source(database) }),
    async database(name, text = '') {
      await sql('postgres', `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      await sql('postgres', `CREATE DATABASE "${name}"`);
      if (text !== '') await sql(name, text);
      return name;
    },
    names: async () =>
      (await sql('postgres', 'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1')).map(
        (row) => row['datname'] as string,
      ),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Dumps a database into a real archive and opens it again. */
export async function backUp(
  source: EngineSource<PostgresOptions>,
  more: Partial<DumpRequest> = {},
): Promise<BackupContent> {
  return backUpBy(postgresEngine, source, dumpRequest(more));
}
