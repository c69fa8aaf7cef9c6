import { withSession } from '../sessions.ts';
import type { EngineSource } from '../types.ts';
import type { MysqlOptions } from './options.ts';
import { MARK_TABLE } from './restore/marks.ts';
import { SYSTEM_SCHEMAS } from './server/catalog.ts';
import { serverError } from './server/failures.ts';
import { openServer } from './server/server.ts';
import { literal } from './server/session.ts';

/** The databases that a datasource means: the named ones, or all that hold anybody's data. */
export async function listDatabases(source: EngineSource<MysqlOptions>): Promise<readonly string[]> {
  const server = openServer(source);
  const { database } = server.connection;
  if (source.options.database.length > 0) return source.options.database;
  if (!source.options.all_databases && database !== undefined) return [database];
  try {
    return await withSession(
      () => server.open(),
      async (session) => {
        const rows = await session.rows<{ name: string }>(
          `SELECT s.SCHEMA_NAME AS name FROM information_schema.SCHEMATA s WHERE NOT EXISTS (SELECT 1
          FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = s.SCHEMA_NAME
          AND t.TABLE_NAME = ${literal(MARK_TABLE)})`,
        );
        return rows
          .map(({ name }) => name)
          .filter((name) => !SYSTEM_SCHEMAS.includes(name.toLowerCase()))
          .sort();
      },
    );
  } catch (error) {
    throw serverError(error, 'source_failed', 'list databases', source.name);
  } finally {
    await server.dispose();
  }
}
