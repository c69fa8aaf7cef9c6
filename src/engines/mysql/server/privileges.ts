import { DguardError } from '../../../errors.ts';
import type { ServerInfo } from './server-info.ts';
import type { Session } from './session.ts';

/** What an account may, as far as SHOW GRANTS tells. */
export interface Privileges {
  /** It has one of these, for all schemas or for this one; undefined: roles may give it, which are not told. */
  has(names: readonly string[], schema?: string): boolean | undefined;
}

export async function readPrivileges(session: Session): Promise<Privileges> {
  const rows = await session.rows<Record<string, string>>('SHOW GRANTS');
  const grants = rows.flatMap((row) => {
    const text = Object.values(row)[0] ?? '';
    const match = /^GRANT (.+) ON (?:TABLE )?(\*|`(?:[^`]|``)*`|'[^']*'|"[^"]*")\.\* TO /s.exec(text);
    if (match === null) return [];
    const names = match[1]!.split(',').map((name) => name.trim().toUpperCase());
    return [{ names, schema: match[2]!.replace(/^[`'"]|[`'"]$/g, '') }];
  });
  const roles = rows.some((row) => / ON /.test(Object.values(row)[0] ?? '') === false);
  return {
    has(names, schema) {
      const given = grants.some(
        (grant) =>
          (grant.schema === '*' || (schema !== undefined && likeMatches(grant.schema, schema))) &&
          grant.names.some((name) => name === 'ALL PRIVILEGES' || names.includes(name)),
      );
      return given || (roles ? undefined : false);
    },
  };
}

/** Privileges on a schema are by LIKE patterns: `app\_%`. */
function likeMatches(pattern: string, schema: string): boolean {
  const source = pattern.replace(/\\?[\s\S]/g, (sign) => {
    if (sign === '%') return '.*';
    if (sign === '_') return '.';
    return sign.replace(/^\\/, '').replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's').test(schema);
}

/** Without these a dump tool sees less, says nothing and ends well: refused before anything is written. */
export async function refuseBlind(
  session: Session,
  schema: string,
  info: ServerInfo,
  subject: string,
): Promise<void> {
  const privileges = await readPrivileges(session);
  const needed = ['SELECT', 'SHOW VIEW', 'TRIGGER', 'EVENT'];
  const missing = needed.filter((name) => privileges.has([name], schema) === false);
  if (missing.length === 0) return;
  throw new DguardError(
    'source_failed',
    `the account lacks ${missing.join(', ')}: a dump would leave out what it cannot see`,
    {
      operation: 'dump',
      subject,
      hint: `GRANT ${missing.join(', ')} ON ${'`'}${schema}${'`'}.* TO ${account(info.user)}`,
    },
  );
}

export function account(user: string): string {
  const at = user.lastIndexOf('@');
  return `'${user.slice(0, at)}'@'${user.slice(at + 1)}'`;
}

/** May it say that somebody else is the definer of code? */
export async function maySetDefiner(session: Session): Promise<boolean> {
  const privileges = await readPrivileges(session);
  return privileges.has(['SUPER', 'SET USER', 'SET_USER_ID', 'SET_ANY_DEFINER']) !== false;
}
