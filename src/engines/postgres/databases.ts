import { withSession } from '../sessions.ts';
import type { EngineSource } from '../types.ts';
import type { PostgresOptions } from './options.ts';
import { BEGUN_LIMIT, parseMark } from './restore/marks.ts';
import { serverError } from './server/failures.ts';
import { MAINTENANCE, openAny, openServer } from './server/server.ts';

/** What providers keep for themselves on servers that they run: nobody else may even connect. */
const PROVIDERS = ['azure_maintenance', 'azure_sys', 'cloudsqladmin', 'rdsadmin'];

/** The databases that a datasource means: the named ones, or all that hold anybody's data. */
export async function listDatabases(source: EngineSource<PostgresOptions>): Promise<readonly string[]> {
  const server = openServer(source);
  const { database } = server.connection;
  if (source.options.database.length > 0) return source.options.database;
  if (!source.options.all_databases && database !== undefined) return [database];
  try {
    return await withSession(
      () => openAny(server, database === undefined ? MAINTENANCE : [database]),
      async (session) => {
        const rows = await session.rows<{ name: string; comment: string | null }>(`
        SELECT d.datname AS name, pg_catalog.shobj_description(d.oid, 'pg_database') AS comment
        FROM pg_catalog.pg_database d
        WHERE d.datallowconn AND NOT d.datistemplate AND d.datconnlimit <> ${BEGUN_LIMIT}
        ORDER BY d.datname COLLATE "C"`);
        return rows
          .filter(({ name, comment }) => parseMark(comment) === undefined && !PROVIDERS.includes(name))
          .map(({ name }) => name);
      },
    );
  } catch (error) {
    throw serverError(error, 'source_failed', 'list databases', source.name);
  } finally {
    await server.dispose();
  }
}
