import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, DguardError, errorText } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { createStatement, type DatabaseFacts, dressStatements } from '../server/database.ts';
import { adminDatabases, openAny, openServer } from '../server/server.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { besideName, type Mark, type MarkRole, markText } from './marks.ts';
import type { Powers } from './preflight.ts';
import type { Work } from './restore-work.ts';

/** What the server still does for an interrupted client is looked for so many times. */
const QUIET_LOOKS = 3;
const LOOK_MS = 100;

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

/** Creates a marked, empty database beside the target; returns its name. An interrupt leaves none. */
export async function createBeside(
  work: Pick<Work, 'admin' | 'server' | 'request' | 'target' | 'version'>,
  facts: DatabaseFacts,
  mark: Pick<Mark, 'role' | 'backupId' | 'createdAt'> & { readonly role: MarkRole },
): Promise<string> {
  const { admin, target, version, request } = work;
  const name = besideName(target, mark.role, uniqueWord());
  try {
    await admin.run(createStatement(name, facts, version.major)).catch((error: unknown) => {
      throw new DguardError(
        'target_failed',
        `no database like the backup's can be created: ${errorText(error)}`,
        {
          operation: 'restore',
          subject: target,
          hint: `it was ${facts.encoding}, ${facts.collate}: the target's server may lack that locale (locale -a)`,
          cause: error,
        },
      );
    });
    await admin.run(`COMMENT ON DATABASE ${identifier(name)} IS ${literal(markText({ ...mark, target }))}`);
  } catch (error) {
    if (!request.signal.aborted) throw error;
    await dropUnfinished(work, name);
    throw abortError(request.signal);
  }
  return name;
}

/** The server goes on creating a database whose client is gone, without a mark: it is told to stop, or it is dropped. */
async function dropUnfinished(
  { server, request, target }: Pick<Work, 'server' | 'request' | 'target'>,
  name: string,
): Promise<void> {
  const begins = `CREATE DATABASE ${identifier(name)} `;
  try {
    const again = openServer({ ...server.source, signal: new AbortController().signal });
    try {
      const session = await openAny(again, adminDatabases(server, [target]));
      try {
        for (let quiet = 0; quiet < QUIET_LOOKS; quiet++) {
          const busy = await session.rows(
            `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
              WHERE state = 'active' AND pg_catalog.starts_with(query, ${literal(begins)})`,
          );
          if (busy.length > 0) quiet = 0;
          await dropMarked(session, name);
          await sleep(LOOK_MS);
        }
      } finally {
        await session.close();
      }
    } finally {
      await again.dispose();
    }
  } catch (error) {
    const message = `the database ${name} may be left, empty and without a mark: ${errorText(error)}`;
    request.warn({ message, subject: name, partial: false });
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
export async function dropMarked(admin: Session, name: string): Promise<void> {
  await admin.run(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`);
}
