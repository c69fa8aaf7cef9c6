import type { EngineSource } from '../types.ts';
import type { MongodbOptions } from './options.ts';
import { listMarks } from './restore/marks.ts';
import { openServer, type Server } from './server/connection.ts';
import { serverError } from './server/failures.ts';
import { SYSTEM_DATABASES } from './server/names.ts';

/** The databases that a datasource means: the named ones, or all that hold anybody's data. */
export async function listDatabases(source: EngineSource<MongodbOptions>): Promise<readonly string[]> {
  if (source.options.database.length > 0) return source.options.database;
  try {
    const server = await openServer(source);
    try {
      const { database } = server.connection;
      if (!source.options.all_databases && database !== undefined) return [database];
      const found: string[] = [];
      for (const name of await listDatabaseNames(server)) {
        if (!(await isScratch(server, name))) found.push(name);
      }
      return found;
    } finally {
      await server.close();
    }
  } catch (error) {
    throw serverError(error, 'source_failed', 'list databases', source.name);
  }
}

/** All databases that are not the server's own, by name. */
export async function listDatabaseNames({ client }: Server): Promise<string[]> {
  const { databases } = (await client.db('admin').command({ listDatabases: 1, nameOnly: true })) as {
    databases: { name: string }[];
  };
  return databases
    .map(({ name }) => name)
    .filter((name) => !SYSTEM_DATABASES.includes(name))
    .sort();
}

async function isScratch({ client }: Server, name: string): Promise<boolean> {
  if (!name.includes('__dg_scratch_')) return false;
  return (await listMarks(client.db(name))).some(({ role }) => role === 'scratch');
}
