import { DguardError, errorText } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { type DatabaseInfo, readDatabase } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import { identifier, literal } from '../server/sql.ts';
import { multiUserStatement, renameStatement, singleUserStatement } from '../server/statements.ts';
import { besideName, type Mark, markStatement, unmarkStatement } from './marks.ts';

export interface Swap {
  readonly target: string;
  /** A whole database, marked as dguard's own. */
  readonly incoming: string;
  readonly backupId: string;
  readonly createdAt: string;
}

/**
 * Gives a loaded database the target's name; what had it is kept under one of its own. The server has no
 * transaction for this: the marks say how far it got, and `settleSwap` finishes or reverts it. Returns the name
 * of the undo copy. A swap that throws has put the target back, or says that it could not.
 */
export async function swapDatabases(admin: Session, swap: Swap): Promise<string | undefined> {
  const { target, incoming, backupId, createdAt } = swap;
  const mark = (role: Mark['role']): Mark => ({ role, target, backupId, createdAt });
  await admin.run(markStatement(incoming, mark('ready')));
  const existing = await readDatabase(admin, target);
  if (existing === undefined) {
    await admin.run(renameStatement(incoming, target));
    await admin.run(unmarkStatement(target));
    return undefined;
  }
  const undo = besideName(target, 'undo');
  await admin.run(markStatement(target, mark('swap')));
  try {
    // In one batch: between two of them somebody else could take the only seat.
    await admin.run(`${singleUserStatement(target)}; ${renameStatement(target, undo)}`);
  } catch (error) {
    await admin.run(`${multiUserStatement(target)}; ${unmarkStatement(target)}`).catch(() => {});
    throw error;
  }
  try {
    await admin.run(renameStatement(incoming, target));
  } catch (error) {
    await admin.run(renameStatement(undo, target));
    await admin.run(`${multiUserStatement(target)}; ${unmarkStatement(target)}`);
    throw error;
  }
  await admin.run(unmarkStatement(target));
  await admin.run(`${multiUserStatement(undo)}; ${markStatement(undo, mark('undo'))}`);
  return undo;
}

/** What a swap that was cut off left: which databases are there, and what their marks say. */
export interface SwapState {
  readonly target: string;
  /** The database that is called as the target is; undefined: there is none. */
  readonly there?: { readonly role?: Mark['role'] };
  /** Those beside it. */
  readonly beside: readonly { readonly name: string; readonly mark: Mark }[];
}

/** The statements that finish or revert a swap, and what that is in words. Pure: the state is all that it knows. */
export function settleSwap({ target, there, beside }: SwapState): { sql: string[]; done: string[] } {
  const sql: string[] = [];
  const done: string[] = [];
  const replaced = beside.find(({ mark }) => mark.role === 'swap');
  const ready = beside.find(({ mark }) => mark.role === 'ready');
  if (there === undefined && replaced !== undefined && ready !== undefined) {
    // The old one is away, the new one whole: forward.
    sql.push(renameStatement(ready.name, target), unmarkStatement(target));
    sql.push(
      multiUserStatement(replaced.name),
      markStatement(replaced.name, { ...replaced.mark, role: 'undo' }),
    );
    done.push(`finished the interrupted restore of ${ready.mark.backupId} to ${target}`);
    return { sql, done };
  }
  if (there === undefined && replaced !== undefined) {
    sql.push(renameStatement(replaced.name, target), multiUserStatement(target), unmarkStatement(target));
    done.push(`reverted the interrupted restore of ${replaced.mark.backupId}: ${target} is as it was`);
    return { sql, done };
  }
  if (there?.role === 'swap') {
    // It was marked, and not yet renamed.
    sql.push(multiUserStatement(target), unmarkStatement(target));
    done.push(`reverted an interrupted restore: ${target} is as it was`);
  }
  if (
    there?.role === 'ready' ||
    (there !== undefined && there.role === undefined && replaced !== undefined)
  ) {
    sql.push(unmarkStatement(target));
    if (replaced !== undefined) {
      sql.push(
        multiUserStatement(replaced.name),
        markStatement(replaced.name, { ...replaced.mark, role: 'undo' }),
      );
      done.push(`finished the interrupted restore of ${replaced.mark.backupId} to ${target}`);
    } else done.push(`finished an interrupted restore to ${target}`);
  }
  return { sql, done };
}

/**
 * Who keeps a database from being replaced. Idle sessions lose nothing when they are closed; whoever is at work
 * is not thrown out, and a login that may not see others does not know.
 */
export async function refuseBusy(admin: Session, database: string): Promise<void> {
  const refuse = (message: string, hint: string) =>
    new DguardError('target_refused', message, { operation: 'restore', subject: database, hint });
  const [may] = await admin.rows<{ may: number }>(
    "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') AS may",
  );
  if (Number(may?.may) !== 1) {
    throw refuse(
      'the login may not see who else is connected, and must not end the work of others unseen',
      'as an administrator: GRANT VIEW SERVER STATE TO the login; or restore beside it: --to-database NAME',
    );
  }
  const busy = await admin.rows<{ id: number; login: string; program: string | null; host: string | null }>(
    `SELECT s.session_id AS id, s.login_name AS login, s.program_name AS program, s.host_name AS host
      FROM sys.dm_exec_sessions s WHERE s.is_user_process = 1 AND s.session_id <> @@SPID
        AND s.database_id = DB_ID(${literal(database)})
        AND (s.open_transaction_count > 0 OR s.status = 'running')`,
  );
  if (busy.length === 0) return;
  const who = busy.slice(0, 5).map(({ id, login, program, host }) => {
    return `session ${id} (${[login, program, host].filter(Boolean).join(', ')})`;
  });
  throw refuse(
    `the database is in use by ${who.join('; ')}`,
    'stop the application, or end these sessions: KILL ID',
  );
}

/** What would be torn from a database that is renamed. */
export function refuseBound({ name, bound, state }: DatabaseInfo): void {
  if (bound.length === 0 && state === 'ONLINE') return;
  const why = bound.length > 0 ? `it is ${bound.join(', ')}` : `it is ${state}, not ONLINE`;
  throw new DguardError('target_refused', `the database cannot be replaced: ${why}`, {
    operation: 'restore',
    subject: name,
    hint: 'restore beside it with --to-database NAME, or take it out of that first',
  });
}

/** What a restore does not bring back: owner, and two switches that it turns off. */
export async function dressDatabase(
  admin: Session,
  name: string,
  like: Pick<DatabaseInfo, 'owner' | 'trustworthy'>,
  warn: (warning: Warning) => void,
): Promise<void> {
  const database = identifier(name);
  const statements = [
    ...(like.owner === null
      ? []
      : [`ALTER AUTHORIZATION ON DATABASE::${database} TO ${identifier(like.owner)}`]),
    ...(like.trustworthy ? [`ALTER DATABASE ${database} SET TRUSTWORTHY ON`] : []),
  ];
  for (const statement of statements) {
    await admin.run(statement).catch((error: unknown) => {
      warn({ message: `not done: ${statement}: ${errorText(error)}`, subject: name, partial: false });
    });
  }
}
