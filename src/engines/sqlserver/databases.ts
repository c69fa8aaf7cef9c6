import { withSession } from '../sessions.ts';
import type { EngineSource } from '../types.ts';
import type { SqlserverOptions } from './options.ts';
import { isMarkedName } from './restore/marks.ts';
import { serverError } from './server/failures.ts';
import { openServer } from './server/server.ts';
import { SYSTEM_DATABASES } from './server/server-info.ts';

/** The databases that a datasource means: the named ones, or all that hold anybody's data. */
export async function listDatabases(source: EngineSource<SqlserverOptions>): Promise<readonly string[]> {
  const server = openServer(source);
  const { database } = server.connection;
  if (source.options.database.length > 0) return source.options.database;
  if (!source.options.all_databases && database !== undefined) return [database];
  try {
    return await withSession(
      () => server.open(),
      async (session) => {
        const rows = await session.rows<{ name: string }>(
          // Not the snapshots of databases; offline ones are listed, and fail by name.
          'SELECT name FROM sys.databases WHERE source_database_id IS NULL ORDER BY name',
        );
        return rows
          .map(({ name }) => name)
          .filter((name) => !SYSTEM_DATABASES.includes(name.toLowerCase()) && !isMarkedName(name));
      },
    );
  } catch (error) {
    throw serverError(error, 'source_failed', 'list databases', source.name);
  }
}
