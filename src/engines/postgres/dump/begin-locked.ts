import { errorText } from '../../../errors.ts';
import { listTables, type TableInfo } from '../server/catalog.ts';
import { sqlState } from '../server/failures.ts';
import { identifier, type Session } from '../server/session.ts';

/** SQLSTATE lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Begins the transaction that the snapshot is of, with every table locked against changes of its definition
 * before the snapshot is taken. A table truncated or rewritten after the snapshot, and before pg_dump had
 * locked it, would read as empty: the one case in which a snapshot does not show what was.
 */
export async function beginLocked(session: Session, lockTimeoutMs: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const tables = await listTables(session);
    await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await session.run(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    try {
      if (tables.length === 0) return;
      const names = tables.map(({ schema, table }) => `ONLY ${identifier(schema)}.${identifier(table)}`);
      await session.run(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`);
      return;
    } catch (error) {
      await session.run('ROLLBACK').catch(() => {});
      if (sqlState(error) === LOCK_NOT_AVAILABLE) throw await lockError(session, tables, error);
      // Dropped since it was listed: then it is none of this backup's.
      if (!['42P01', '3F000'].includes(sqlState(error) ?? '') || attempt === 5) throw error;
    }
  }
}

/** The same error, which says who holds what, where they still do: the server names neither. */
async function lockError(session: Session, tables: readonly TableInfo[], error: unknown): Promise<unknown> {
  const held = await session
    .rows<{ oid: string; pid: number; user: string | null; application: string | null }>(`
      SELECT l.relation::pg_catalog.text AS oid, l.pid, a.usename AS "user", a.application_name AS application
      FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
      WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND l.locktype = 'relation'
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      ORDER BY l.pid`)
    .catch(() => []);
  const who = held.flatMap(({ oid, pid, user, application }) => {
    const table = tables.find((one) => one.oid === oid);
    return table ? [`${table.name} by pid ${pid} (${[user, application].filter(Boolean).join(', ')})`] : [];
  });
  if (who.length === 0) return error;
  const more = who.length > 5 ? ` and ${who.length - 5} more` : '';
  return Object.assign(new Error(`${errorText(error)}: held are ${who.slice(0, 5).join('; ')}${more}`), {
    code: LOCK_NOT_AVAILABLE,
    cause: error,
  });
}
