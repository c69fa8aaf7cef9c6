import { DguardError, throwIfAborted } from '../../../errors.ts';
import type { EngineSource } from '../../types.ts';
import type { SqlserverOptions } from '../options.ts';
import { type Connection, connectionOf } from './connection.ts';
import { openSession, type Session } from './session.ts';

/** A server, before and while it is talked to. */
export interface Server {
  readonly source: EngineSource<SqlserverOptions>;
  readonly connection: Connection;
  /** In `master` where no database is named. */
  open(database?: string): Promise<Session>;
}

export const MASTER = 'master';

export function openServer(source: EngineSource<SqlserverOptions>): Server {
  const connection = connectionOf(source.options, source.name);
  return {
    source,
    connection,
    async open(database = MASTER) {
      throwIfAborted(source.signal);
      return await openSession(connection, database, source.signal);
    },
  };
}

/** The database of a source that names just one. */
export function onlyDatabase({ source, connection }: Server): string {
  const { options, name } = source;
  const named = options.database[0] ?? connection.database;
  if (named !== undefined && options.database.length < 2 && !options.all_databases) return named;
  throw new DguardError('usage', 'the datasource does not name exactly one database', {
    operation: 'choose database',
    subject: name,
    hint: 'say which one: --to-database NAME, or database: NAME in the configuration',
  });
}
