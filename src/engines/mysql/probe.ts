import { errorText } from '../../errors.ts';
import type { Health } from '../health.ts';
import { leftoverHealth } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import type { MysqlOptions } from './options.ts';
import { listMarked } from './restore/marks.ts';
import { SYSTEM_SCHEMAS, schemaSize } from './server/catalog.ts';
import { failureKind, serverError } from './server/failures.ts';
import { openServer } from './server/server.ts';
import { readServer, storedName } from './server/server-info.ts';
import type { Session } from './server/session.ts';

/** Connects, and tells what a person wants to know of a server. Never throws for what a status can say. */
export async function probeServer(source: EngineSource<MysqlOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const server = openServer(source);
    const schema = source.options.database[0] ?? server.connection.database;
    const session = await server.open(schema);
    try {
      const latencyMs = source.now().getTime() - begun;
      const info = await readServer(session);
      const rows = await session.rows<{ Variable_name: string; Value: string }>(
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected', 'Threads_running')",
      );
      const status = Object.fromEntries(rows.map((row) => [row.Variable_name, Number(row.Value)]));
      const [limits] = await session.rows<Record<string, string>>(
        'SELECT @@max_connections AS connections, @@read_only AS read_only',
      );
      const { all_databases, database } = source.options;
      const named = database.length > 0 ? database : schema === undefined ? [] : [schema];
      const sizeBytes = await sizeOf(session, all_databases, named);
      const stored = named.map((name) => storedName(name, info.lowerCaseTableNames));
      const owned = { targets: all_databases ? [] : stored, datasource: source.name };
      return {
        status: 'ok',
        latencyMs,
        serverVersion: info.versionText,
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
        facts: {
          flavour: info.flavour === 'mariadb' ? 'MariaDB' : 'MySQL',
          uptime_seconds: status['Uptime'] ?? 0,
          active_queries: status['Threads_running'] ?? 0,
          connections: status['Threads_connected'] ?? 0,
          max_connections: Number(limits!['connections']),
          read_only: limits!['read_only'] === '0' || limits!['read_only'] === 'OFF' ? 'no' : 'yes',
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

/** Of the schemas named, or of all that the account may see. */
async function sizeOf(session: Session, all: boolean, named: readonly string[]): Promise<number | undefined> {
  const rows = all
    ? await session.rows<{ name: string }>('SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA')
    : [];
  const schemas = all
    ? rows.map(({ name }) => name).filter((name) => !SYSTEM_SCHEMAS.includes(name.toLowerCase()))
    : named;
  const sizes: number[] = [];
  for (const schema of schemas) sizes.push((await schemaSize(session, schema)) ?? 0);
  return sizes.length === 0 ? undefined : sizes.reduce((sum, size) => sum + size, 0);
}
