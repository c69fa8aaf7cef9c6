import { errorText } from '../../errors.ts';
import type { EngineSource, Health } from '../types.ts';
import { databaseSize } from './catalog.ts';
import { openServer } from './connection.ts';
import { failureKind, serverError } from './failures.ts';
import type { MongodbOptions } from './options.ts';
import { readServer } from './server-info.ts';

/** Connects, and tells what a person wants to know of a server. Never throws for what a status can say. */
export async function probeServer(source: EngineSource<MongodbOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const server = await openServer(source);
    try {
      const named = source.options.database[0] ?? server.connection.database;
      const info = await readServer(server);
      // What needs no login answers anybody: a wrong password shows with the first command that does.
      await server.client.db('admin').command({ listDatabases: 1, nameOnly: true });
      const latencyMs = source.now().getTime() - begun;
      const status = await server.client
        .db('admin')
        .command({ serverStatus: 1, repl: 0, metrics: 0 })
        .catch(() => ({}) as Record<string, never>);
      const uptime = Number(status['uptime']);
      const connections = (status['connections'] ?? {}) as { current?: number; available?: number };
      const sizeBytes = named === undefined ? undefined : await databaseSize(server.client.db(named));
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
