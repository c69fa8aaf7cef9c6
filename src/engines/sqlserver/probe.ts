import { errorText } from '../../errors.ts';
import type { Health } from '../health.ts';
import type { EngineSource } from '../types.ts';
import type { SqlserverOptions } from './options.ts';
import { failureKind, serverError } from './server/failures.ts';
import { openServer } from './server/server.ts';
import { readServer, SYSTEM_DATABASES } from './server/server-info.ts';
import type { Session } from './server/session.ts';
import { literal } from './server/sql.ts';

/** Connects, and tells what a person wants to know of a server. Never throws for what a status can say. */
export async function probeServer(source: EngineSource<SqlserverOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const server = openServer(source);
    const { options } = source;
    const session = await server.open(options.database[0] ?? server.connection.database);
    try {
      const latencyMs = source.now().getTime() - begun;
      const info = await readServer(session);
      const named = options.database.length > 0 ? options.database : [server.connection.database ?? ''];
      const sizeBytes = await sizeOf(session, options.all_databases ? undefined : named);
      return {
        status: 'ok',
        latencyMs,
        serverVersion: info.version,
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
        facts: { edition: info.edition, ...(await activity(session)) },
      };
    } finally {
      await session.close();
    }
  } catch (error) {
    const known = serverError(error, 'source_failed', 'probe', source.name);
    const message = known.hint === undefined ? errorText(known) : `${errorText(known)}; ${known.hint}`;
    return { status: failureKind(error), message };
  }
}

/** What only a login with VIEW SERVER STATE sees whole is left out for others. */
async function activity(session: Session): Promise<Record<string, number>> {
  try {
    const [row] = await session.rows<Record<string, number>>(
      `SELECT DATEDIFF(second, i.sqlserver_start_time, SYSDATETIME()) AS uptime,
        (SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1) AS connections,
        (SELECT COUNT(*) FROM sys.dm_exec_requests r JOIN sys.dm_exec_sessions s ON s.session_id = r.session_id
          WHERE s.is_user_process = 1) AS active, @@MAX_CONNECTIONS AS most
      FROM sys.dm_os_sys_info i`,
    );
    const { uptime, connections, active, most } = row!;
    return {
      uptime_seconds: uptime!,
      connections: connections!,
      active_queries: active!,
      max_connections: most!,
    };
  } catch {
    return {};
  }
}

/** Of the data and log files, in pages of 8 KiB; undefined where the login may not know. */
async function sizeOf(
  session: Session,
  databases: readonly string[] | undefined,
): Promise<number | undefined> {
  const which =
    databases === undefined
      ? `DB_NAME(database_id) NOT IN (${SYSTEM_DATABASES.map(literal).join(', ')})`
      : `DB_NAME(database_id) IN (${databases.map(literal).join(', ')})`;
  const [row] = await session
    .rows<{ bytes: number | string | null }>(
      `SELECT SUM(CONVERT(bigint, size)) * 8192 AS bytes FROM sys.master_files WHERE ${which}`,
    )
    .catch(() => []);
  return row?.bytes == null ? undefined : Number(row.bytes);
}
