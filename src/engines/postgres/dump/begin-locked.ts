import { DguardError, errorText } from '../../../errors.ts';
import { listTables, type TableInfo, tableLock } from '../server/catalog.ts';
import { isOutOfLocks, sqlState } from '../server/failures.ts';
import { literal, type Session } from '../server/session.ts';

/** SQLSTATE lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03';
/** What to do where the server's table of locks is full. */
export const MORE_LOCKS =
  'each table is locked while it is dumped, and the server has no room for so many locks: raise max_locks_per_transaction (ALTER SYSTEM SET max_locks_per_transaction = 1024, then restart it), or leave tables out';

const ATTEMPTS = 5;

/**
 * Begins the transaction that the snapshot is of, with every table locked against changes of its definition
 * before the snapshot is taken. A table truncated or rewritten after the snapshot, and before pg_dump had
 * locked it, would read as empty: the one case in which a snapshot does not show what was.
 *
 * @returns the tables of the snapshot, which is taken by then
 */
export async function beginLocked(
  session: Session,
  lockTimeoutMs: number,
  subject: string,
): Promise<readonly TableInfo[]> {
  for (let attempt = 1; ; attempt++) {
    const listed = await listTables(session);
    let tables = listed;
    await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await session.run(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    try {
      if (listed.length > 0) await session.run(tableLock(listed));
      tables = await listTables(session);
      // While a lock was waited for, somebody may have made tables, or given them other names.
      const locked = new Set(listed.map(({ oid }) => oid));
      const more = tables.filter(({ oid }) => !locked.has(oid));
      if (more.length === 0) return tables;
      await session.run(tableLock(more));
      if (!(await isRewritten(session, more))) return tables;
      if (attempt === ATTEMPTS) throw tooQuick(more, subject);
      await session.run('ROLLBACK');
    } catch (error) {
      await session.run('ROLLBACK').catch(() => {});
      if (isOutOfLocks(error)) {
        const cause = { operation: 'dump', subject, hint: MORE_LOCKS, cause: error };
        throw new DguardError('source_failed', errorText(error), cause);
      }
      if (sqlState(error) === LOCK_NOT_AVAILABLE) throw await lockError(session, tables, error);
      // Dropped since it was listed: then it is none of this backup's.
      if (!['42P01', '3F000'].includes(sqlState(error) ?? '') || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Whether one of the tables, locked by now, has its rows elsewhere than the snapshot says. */
async function isRewritten(session: Session, tables: readonly TableInfo[]): Promise<boolean> {
  const oids = literal(`{${tables.map(({ oid }) => oid).join(',')}}`);
  // The rows of pg_class are those of the snapshot; the function looks at what is there now.
  const rows = await session.rows(`
    SELECT c.oid::pg_catalog.text AS oid FROM pg_catalog.pg_class c WHERE c.oid = ANY (${oids}::pg_catalog.oid[])
      AND c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)`);
  return rows.length > 0;
}

function tooQuick(tables: readonly TableInfo[], subject: string): DguardError {
  const named = tables.slice(0, 5).map(({ name }) => name);
  return new DguardError(
    'source_failed',
    `tables were made and truncated or rewritten faster than they could be locked: ${named.join(', ')}`,
    { operation: 'dump', subject, hint: 'run the backup again; not while migrations run' },
  );
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
