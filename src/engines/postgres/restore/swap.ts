import { DguardError, errorText } from '../../../errors.ts';
import { sqlState } from '../server/failures.ts';
import { identifier, inTransaction, literal, type Session } from '../server/session.ts';
import { besideName, markText } from './marks.ts';
import { uniqueWord } from './place.ts';
import { listConnected, refuseBusy } from './preflight.ts';

/** How often a swap is tried against sessions that come back as fast as they are closed. */
const ATTEMPTS = 5;
/** SQLSTATE object_in_use. */
const IN_USE = '55006';

export interface Swap {
  /** The database that gets the target's name. */
  readonly incoming: string;
  /** The comment that it gets; undefined: none. */
  readonly comment?: string;
  /** It becomes a template. */
  readonly template?: true;
  readonly target: string;
  /** What is there now is kept, marked with these; undefined: nothing is there. */
  readonly replaces?: { readonly backupId: string; readonly createdAt: string; readonly comment?: string };
}

/**
 * Gives a loaded database the target's name, and what had that name an undo name, in one transaction of the
 * server's: at every moment, and after a crash, there is the old or the new one. Returns the undo name.
 *
 * A database is renamed only while nobody is connected to it: idle sessions are closed, busy ones refused.
 */
export async function swapDatabases(admin: Session, swap: Swap): Promise<string | undefined> {
  const { target, incoming, replaces } = swap;
  const undo = replaces === undefined ? undefined : besideName(target, 'undo', uniqueWord());
  const statements = [
    ...(undo === undefined || replaces === undefined
      ? []
      : [
          `ALTER DATABASE ${identifier(target)} RENAME TO ${identifier(undo)}`,
          `COMMENT ON DATABASE ${identifier(undo)} IS ${literal(markText({ role: 'undo', target, ...replaces }))}`,
          // A template could not be dropped.
          `ALTER DATABASE ${identifier(undo)} WITH ALLOW_CONNECTIONS false IS_TEMPLATE false`,
        ]),
    `ALTER DATABASE ${identifier(incoming)} RENAME TO ${identifier(target)}`,
    `ALTER DATABASE ${identifier(target)} WITH ALLOW_CONNECTIONS true IS_TEMPLATE ${swap.template ?? false}`,
    `COMMENT ON DATABASE ${identifier(target)} IS ${swap.comment === undefined ? 'NULL' : literal(swap.comment)}`,
  ];
  for (let attempt = 1; ; attempt++) {
    if (undo !== undefined) {
      await refuseBusy(admin, target);
      await closeIdle(admin, target);
    }
    try {
      await inTransaction(admin, statements);
      return undo;
    } catch (error) {
      if (sqlState(error) !== IN_USE || attempt === ATTEMPTS) {
        throw new DguardError('target_failed', `the databases could not be swapped: ${errorText(error)}`, {
          operation: 'swap',
          subject: target,
          hint: swapHint(sqlState(error)),
          cause: error,
        });
      }
    }
  }
}

function swapHint(state: string | undefined): string {
  if (state === IN_USE) return 'stop the application that keeps connecting, then restore again';
  if (state !== undefined)
    return 'the target is as it was; both databases must belong to the role, or it must be a superuser';
  // The server may have done it, and its answer was lost.
  return 'the target is the old one or the new one, whole: look at it; dguard restore --recover takes away what is left';
}

async function closeIdle(admin: Session, database: string): Promise<void> {
  for (const { pid } of await listConnected(admin, database)) {
    await admin.rows(
      `SELECT pg_catalog.pg_terminate_backend(a.pid) AS done FROM pg_catalog.pg_stat_activity a
       WHERE a.pid = ${pid} AND a.state = 'idle'`,
    );
  }
}
