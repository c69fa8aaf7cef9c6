import { errorText } from '../../errors.ts';
import type { Health } from '../health.ts';
import type { EngineSource } from '../types.ts';
import { listDatabaseNames } from './databases.ts';
import type { MongodbOptions } from './options.ts';
import { databaseSize } from './server/catalog.ts';
import { openServer, type Server } from './server/connection.ts';
import { failureKind, serverError } from './server/failures.ts';
import { readServer } from './server/server-info.ts';

/** Connects, and tells what a person wants to know of a server. Never throws for what a status can say. */
export async function probeServer(source: EngineSource<MongodbOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const server = await openServer(source);
    try {
      const info = await readServer(server);
      // What needs no login answers anybody: a missing password shows with the first command that does.
      const there = await listDatabaseNames(server);
      const latencyMs = source.now().getTime() - begun;
      const status = await server.client
        .db('admin')
        .command({ serverStatus: 1, repl: 0, metrics: 0 })
        .catch(() => ({}) as Record<string, never>);
      const uptime = Number(status['uptime']);
      const connections = (status['connections'] ?? {}) as { current?: number; available?: number };
      const sizeBytes = await sizeOf(server, there);
      return {
        status: 'ok',
        latencyMs,
        serverVersion: `${info.product} ${info.version}`,
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
        facts: {
          role: info.role,
          ...(info.setName === undefined ? {} : { replica_set: info.setName }),
          ...(Number.isFinite(uptime) ? { uptime_seconds: Math.round(uptime) } : {}),
          ...(connections.current === undefined ? {} : { connections: connections.current }),
        },
      };
    } finally {
      await server.close();
    }
  } catch (error) {
    const known = serverError(error, 'source_failed', 'probe', source.name);
    const message = known.hint === undefined ? errorText(known) : `${errorText(known)}; ${known.hint}`;
    return { status: failureKind(error), message };
  }
}

/** Of the databases named, or of all that the user may see. */
async function sizeOf(server: Server, there: readonly string[]): Promise<number | undefined> {
  const { options } = server.source;
  const one = server.connection.database;
  const named = options.database.length > 0 ? options.database : one === undefined ? [] : [one];
  const names = options.all_databases ? there : named;
  if (names.length === 0) return undefined;
  let total = 0;
  for (const name of names) total += (await databaseSize(server.client.db(name))) ?? 0;
  return total;
}
