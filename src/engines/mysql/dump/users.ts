import type { StreamMember } from '../../member.ts';
import { serverError, serverErrorNumber } from '../server/failures.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import type { Snapshot } from './snapshot.ts';

export const USERS_MEMBER = 'users.sql';
/** The last line; without it something is missing. */
export const USERS_END = '-- Users completed';

/** Accounts of the servers' own, which every server has. */
const SYSTEM_ACCOUNTS = ['mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys', 'PUBLIC', ''];

/** ER_PASSWORD_NO_MATCH */
const NO_SUCH_ACCOUNT = 1133;

/** Accounts, roles and privileges of the whole server, as statements. They hold password hashes. */
export function usersMember(snapshot: Snapshot): StreamMember {
  const { side, info, subject, server } = snapshot;
  const warn = (message: string) => server.source.warn({ message, subject, partial: false });
  return {
    kind: 'stream',
    path: USERS_MEMBER,
    media: 'application/sql',
    format: 'sql',
    async *open() {
      try {
        const text = info.flavour === 'mariadb' ? await mariadbUsers(side, warn) : await mysqlUsers(side);
        yield Buffer.from(`${text.join('')}${USERS_END}\n`);
      } catch (error) {
        throw serverError(error, 'source_failed', 'dump users (include_users)', subject);
      }
    },
  };
}

async function mysqlUsers(session: Session): Promise<string[]> {
  // Hashes of passwords may hold any byte.
  await session.run('SET SESSION print_identified_with_as_hex = ON').catch(() => {});
  const users = await accounts(session);
  const created: string[] = [];
  const granted: string[] = [];
  for (const user of users) {
    // Roles are accounts, too.
    created.push(existing(await only(session, `SHOW CREATE USER ${user}`), 'CREATE USER'));
    granted.push(...(await all(session, `SHOW GRANTS FOR ${user}`)));
  }
  return [...created, ...granted].map((statement) => `${statement};\n`);
}

async function mariadbUsers(session: Session, warn: (message: string) => void): Promise<string[]> {
  const roles = (
    await session.rows<{ u: string }>("SELECT User AS u FROM mysql.user WHERE is_role = 'Y' ORDER BY User")
  )
    .map(({ u }) => u)
    .filter((name) => !SYSTEM_ACCOUNTS.includes(name));
  const users = await accounts(session, "is_role = 'N'");
  const created = roles.map((role) => `CREATE ROLE IF NOT EXISTS ${identifier(role)}`);
  const granted: string[] = [];
  for (const user of users) {
    try {
      created.push(existing(await only(session, `SHOW CREATE USER ${user}`), 'CREATE USER'));
      granted.push(...(await all(session, `SHOW GRANTS FOR ${user}`)));
    } catch (error) {
      // With skip_name_resolve the server does not know accounts of host names, though they are in its table.
      if (serverErrorNumber(error) !== NO_SUCH_ACCOUNT) throw error;
      warn(`the server does not use the account ${user}: it is not in ${USERS_MEMBER}`);
    }
  }
  for (const role of roles) granted.push(...(await all(session, `SHOW GRANTS FOR ${identifier(role)}`)));
  // A default role has to be granted first.
  const last = granted.filter((statement) => /^SET DEFAULT ROLE/i.test(statement));
  const first = granted.filter((statement) => !last.includes(statement));
  return [...created, ...first, ...last].map((statement) => `${statement};\n`);
}

async function accounts(session: Session, where = 'TRUE'): Promise<string[]> {
  const rows = await session.rows<{ u: string; h: string }>(
    `SELECT User AS u, Host AS h FROM mysql.user WHERE ${where} ORDER BY User, Host`,
  );
  return rows
    .filter(({ u }) => !SYSTEM_ACCOUNTS.includes(u))
    .map(({ u, h }) => `${literal(u)}@${literal(h)}`);
}

async function all(session: Session, sql: string): Promise<string[]> {
  return (await session.rows<Record<string, string>>(sql)).map((row) => Object.values(row)[0]!);
}

async function only(session: Session, sql: string): Promise<string> {
  return (await all(session, sql))[0]!;
}

/** Loaded where the account is already, it stays as it is. */
function existing(statement: string, begin: string): string {
  return statement.startsWith(begin) ? `${begin} IF NOT EXISTS${statement.slice(begin.length)}` : statement;
}
