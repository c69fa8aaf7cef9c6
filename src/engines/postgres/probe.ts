import { errorText } from '../../errors.ts';
import type { Health } from '../health.ts';
import { leftoverHealth } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import type { PostgresOptions } from './options.ts';
import { listMarked } from './restore/marks.ts';
import { databaseSize } from './server/database.ts';
import { failureKind, serverError } from './server/failures.ts';
import { MAINTENANCE, openAny, openServer } from './server/server.ts';
import type { Session } from './server/session.ts';

/** Connects, and tells what a person wants to know of a server. Never throws for what a status can say. */
export async function probeServer(source: EngineSource<PostgresOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const server = openServer(source);
    const named = source.options.database[0] ?? server.connection.database;
    const session = await openAny(server, named === undefined ? MAINTENANCE : [named]);
    try {
      const latencyMs = source.now().getTime() - begun;
      const [row] = await session.rows<Record<string, string | number>>(`
        SELECT pg_catalog.current_setting('server_version') AS version,
          pg_catalog.date_part('epoch', pg_catalog.now() - pg_catalog.pg_postmaster_start_time())::pg_catalog.int8 AS uptime,
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active') AS active,
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS connections,
          pg_catalog.current_setting('max_connections')::pg_catalog.int4 AS "max",
          CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS role,
          pg_catalog.current_database() AS database`);
      const { version, uptime, active, connections, max, role, database } = row!;
      const { all_databases, database: wanted } = source.options;
      const databases = all_databases ? await readableDatabases(session) : wanted;
      const sizeBytes = await sizeOf(session, databases.length === 0 ? [String(database)] : databases);
      const meant = wanted.length > 0 || named === undefined ? wanted : [named];
      const owned = { targets: all_databases ? [] : meant, datasource: source.name };
      return {
        status: 'ok',
        latencyMs,
        serverVersion: String(version),
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
        facts: {
          role: role!,
          uptime_seconds: uptime!,
          active_queries: active!,
          connections: connections!,
          max_connections: max!,
        },
        ...(await leftoverHealth(() => listMarked(session), owned)),
      };
    } finally {
      await session.close();
      await server.dispose();
    }
  } catch (error) {
    const known = serverError(error, 'source_failed', 'probe', source.name);
    const message = known.hint === undefined ? errorText(known) : `${errorText(known)}; ${known.hint}`;
    return { status: failureKind(error), message };
  }
}

/** Undefined where the role may not know all of it. */
async function sizeOf(session: Session, databases: readonly string[]): Promise<number | undefined> {
  let sum = 0;
  for (const database of databases) {
    const size = await databaseSize(session, database);
    if (size === undefined) return undefined;
    sum += size;
  }
  return sum;
}

async function readableDatabases(session: Session): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(`
    SELECT datname AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate
      AND pg_catalog.has_database_privilege(oid, 'CONNECT')`);
  return rows.map(({ name }) => name);
}
