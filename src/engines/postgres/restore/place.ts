import { randomBytes } from 'node:crypto';
import { DguardError, errorText } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { createStatement, type DatabaseFacts, dressStatements } from '../server/database.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { besideName, type Mark, type MarkRole, markText } from './marks.ts';
import type { Powers } from './preflight.ts';

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

/** Creates a marked, empty database beside a target; returns its name. */
export async function createBeside(
  admin: Session,
  target: string,
  facts: DatabaseFacts,
  mark: Pick<Mark, 'role' | 'backupId' | 'createdAt'> & { readonly role: MarkRole },
  serverMajor: number,
): Promise<string> {
  const name = besideName(target, mark.role, uniqueWord());
  try {
    await admin.run(createStatement(name, facts, serverMajor));
  } catch (error) {
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
  }
  await admin.run(`COMMENT ON DATABASE ${identifier(name)} IS ${literal(markText({ ...mark, target }))}`);
  return name;
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
