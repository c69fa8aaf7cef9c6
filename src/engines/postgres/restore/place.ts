import { randomBytes } from 'node:crypto';
import { abortError, DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { lookUntil, withSession } from '../../sessions.ts';
import type { Warning } from '../../types.ts';
import { createStatement, type DatabaseFacts, dressStatements } from '../server/database.ts';
import { sqlState } from '../server/failures.ts';
import { type Server, withFreshSession } from '../server/server.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { BEGUN_LIMIT, besideName, holdBeside, type Mark, type MarkRole, markText } from './marks.ts';
import { type Powers, withoutSubscription } from './preflight.ts';
import type { Work } from './restore-work.ts';

/** So often in a row the server has to do nothing any more for a client that is gone. */
const QUIET_LOOKS = 3;

/** SQLSTATE object_in_use. */
const IN_USE = '55006';
/** SQLSTATE read_only_sql_transaction. */
const READ_ONLY = '25006';

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

type Beside = Pick<Work, 'admin' | 'server' | 'request' | 'target' | 'version' | 'fit'>;

/** Creates a marked, empty database beside the target; returns its name. What fails or is interrupted leaves none. */
export async function createBeside(
  work: Beside,
  facts: DatabaseFacts,
  mark: Pick<Mark, 'role' | 'backupId' | 'createdAt'> & { readonly role: MarkRole },
): Promise<string> {
  const { admin, target, version, request, fit } = work;
  const unique = uniqueWord();
  const name = besideName(target, mark.role, unique);
  await holdBeside(admin, unique);
  try {
    const where = fit.tablespace === undefined ? '' : ` TABLESPACE ${identifier(fit.tablespace)}`;
    await admin.run(`${createStatement(name, facts, version.major)}${where} CONNECTION LIMIT ${BEGUN_LIMIT}`);
  } catch (error) {
    if (request.signal.aborted) {
      await dropUnfinished(work, name);
      throw abortError(request.signal);
    }
    throw new DguardError(
      'target_failed',
      `no database like the backup's can be created: ${errorText(error)}`,
      {
        operation: 'restore',
        subject: target,
        hint:
          sqlState(error) === READ_ONLY
            ? 'the server is read-only: restore to its primary'
            : `it was ${facts.encoding}, ${facts.collate}: the target's server may lack that locale (locale -a)`,
        cause: error,
      },
    );
  }
  try {
    await admin.run(`COMMENT ON DATABASE ${identifier(name)} IS ${literal(markText({ ...mark, target }))}`);
    await admin.run(`ALTER DATABASE ${identifier(name)} CONNECTION LIMIT -1`);
  } catch (error) {
    await dropUnfinished(work, name);
    throwIfAborted(request.signal);
    throw error;
  }
  return name;
}

/** The server goes on creating a database whose client is gone: it is told to stop, or it is dropped. */
async function dropUnfinished(work: Beside, name: string): Promise<void> {
  const begins = `CREATE DATABASE ${identifier(name)} `;
  try {
    await withFreshSession(work, async (session, fresh) => {
      let quiet = 0;
      const isOver = await lookUntil(async () => {
        const busy = await session.rows(
          `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE state = 'active' AND pg_catalog.starts_with(query, ${literal(begins)})`,
        );
        quiet = busy.length > 0 ? 0 : quiet + 1;
        await dropMarked(session, name, fresh);
        return quiet === QUIET_LOOKS;
      });
      if (!isOver) throw new Error('the server does not stop creating it');
    });
  } catch (error) {
    const message = `the database ${name} may be left, empty; it goes with: dguard restore --recover (${errorText(error)})`;
    work.request.warn({ message, subject: name, partial: false, stays: true });
  }
}

/** Gives a database owner, privileges, settings and limit, as far as the server has the roles for it. */
export async function dressDatabase(
  admin: Session,
  name: string,
  facts: DatabaseFacts,
  powers: Powers,
  roles: ReadonlySet<string>,
  warn: (warning: Warning) => void,
): Promise<void> {
  const known = (role: string) => role === '' || roles.has(role);
  const lost = [
    ...(facts.acl ?? []).filter(({ grantee }) => !known(grantee)).map(({ grantee }) => grantee),
    ...facts.settings.filter(({ role }) => !known(role)).map(({ role }) => role),
    ...(known(facts.owner) ? [] : [facts.owner]),
  ];
  if (lost.length > 0) {
    const message = `roles that the database was owned by, or granted to, are not at the target: ${[...new Set(lost)].join(', ')}`;
    warn({ message, subject: name, partial: false });
  }
  const owner = facts.owner !== '' && known(facts.owner) ? facts.owner : powers.role;
  const statements = dressStatements(name, {
    ...facts,
    owner,
    ...(facts.acl === undefined ? {} : { acl: facts.acl.filter(({ grantee }) => known(grantee)) }),
    settings: facts.settings.filter(({ role }) => known(role)),
  });
  if (owner !== powers.role)
    statements.unshift(`ALTER DATABASE ${identifier(name)} OWNER TO ${identifier(owner)}`);
  for (const statement of statements) {
    try {
      await admin.run(statement);
    } catch (error) {
      warn({ message: `not done: ${statement}: ${errorText(error)}`, subject: name, partial: false });
    }
  }
}

/** Drops a database of dguard's own, with whoever is in it. Never one without a mark: the caller looked. */
export async function dropMarked(admin: Session, name: string, server: Pick<Server, 'open'>): Promise<void> {
  const statement = `DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`;
  try {
    await admin.run(statement);
  } catch (error) {
    if (sqlState(error) !== IN_USE) throw error;
    await dropSubscriptions(server, name);
    await admin.run(statement);
  }
}

/**
 * A loaded database's subscriptions keep it from being dropped. They never ran, and the slot that they name is the
 * original's: it stays.
 */
async function dropSubscriptions(server: Pick<Server, 'open'>, database: string): Promise<void> {
  await withSession(
    () => server.open(database),
    async (session) => {
      const names = async (sql: string) => (await session.rows<{ n: string }>(sql)).map(({ n }) => n);
      // They would run, or refuse, and the database is about to go.
      for (const name of await names(
        "SELECT evtname AS n FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'",
      ))
        await session.run(`ALTER EVENT TRIGGER ${identifier(name)} DISABLE`);
      const subscriptions = await names(`SELECT s.subname AS n FROM pg_catalog.pg_subscription s
        JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()`);
      for (const name of subscriptions)
        for (const statement of withoutSubscription(name)) await session.run(statement);
    },
  );
}
