import pg from 'pg';
import type { PostgresOptions } from '../../../src/engines/postgres/engine.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent, DumpRequest, EngineSource } from '../../../src/engines/types.ts';
import type { PostgresServer } from '../../services/postgres.mjs';
import { backUpBy, dumpRequest, loginOf, makeServerBench, type ServerBench } from '../support.ts';

export { contentOf, dumpRequest } from '../support.ts';

/** What the engine is handed against one server, and plain access to that server. */
export interface Bench extends ServerBench<PostgresOptions> {
  /** Runs statements in a database as the superuser; returns the rows of the last. */
  sql(database: string, text: string): Promise<Record<string, unknown>[]>;
  /** A new database, filled by statements; dropped with the bench. */
  database(name: string, text?: string): Promise<string>;
  names(): Promise<string[]>;
}

export async function makeBench(server: PostgresServer): Promise<Bench> {
  const bench = await makeServerBench<PostgresOptions>('postgres', loginOf(server, server.bin));
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
    ...bench,
    sql,
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
  };
}

/** Dumps a database into a real archive and opens it again. */
export async function backUp(
  source: EngineSource<PostgresOptions>,
  more: Partial<DumpRequest> = {},
): Promise<BackupContent> {
  return backUpBy(postgresEngine, source, dumpRequest(more));
}
