import { DguardError } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import type { ServerInfo } from './server-info.ts';
import { identifier, type Session } from './session.ts';

/** What an account may, as far as SHOW GRANTS tells. */
export interface Privileges {
  /** It has one of these, for all schemas or for this one; undefined: roles may give it, which are not told. */
  has(names: readonly string[], schema?: string): boolean | undefined;
  /** The pattern whose privileges the account has on a schema; undefined: it has only global ones, or none. */
  pattern(schema: string): string | undefined;
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
  const pattern = (schema: string) =>
    mostSpecific(
      grants.map((grant) => grant.schema),
      schema,
    );
  return {
    pattern,
    has(names, schema) {
      const place = schema === undefined ? undefined : pattern(schema);
      const given = grants.some(
        (grant) =>
          (grant.schema === '*' || grant.schema === place) &&
          grant.names.some((name) => name === 'ALL PRIVILEGES' || names.includes(name)),
      );
      return given || (roles ? undefined : false);
    },
  };
}

/**
 * Of patterns that match a schema the server takes one, that whose first wildcard comes last, and no privilege of the
 * others. https://dev.mysql.com/doc/refman/8.4/en/request-access.html
 */
export function mostSpecific(patterns: readonly string[], schema: string): string | undefined {
  const matching = patterns.filter((pattern) => pattern !== '*' && likeMatches(pattern, schema));
  return matching.sort((a, b) => firstWildcard(b) - firstWildcard(a))[0];
}

function firstWildcard(pattern: string): number {
  const at = pattern.replace(/\\[\s\S]/g, '  ').search(/[%_]/);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
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

/** What is made of an account that does not see all. */
export interface Blindness {
  readonly subject: string;
  readonly warn: (warning: Warning) => void;
  readonly hiddenRoutines: MysqlOptions['hidden_routines'];
}

/**
 * Without these a dump tool sees less, says nothing and ends well: refused before anything is written. Routines of
 * others need more than an account has as a rule, and may not be there: the backup is partial, unless they are not wanted.
 */
export async function refuseBlind(
  session: Session,
  schema: string,
  info: ServerInfo,
  { subject, warn, hiddenRoutines }: Blindness,
): Promise<void> {
  const privileges = await readPrivileges(session);
  const missing = TO_DUMP.filter((name) => privileges.has([name], schema) === false);
  if (missing.length === 0) {
    if (hiddenRoutines === 'ignore' || (await seesRoutines(session, info, privileges, schema))) return;
    const message = `the account may not see procedures and functions of others: if there are any, this backup lacks them; ${grantRoutines(info)}; or say that there are none: hidden_routines: ignore`;
    warn({ message, subject, partial: true });
    return;
  }
  throw new DguardError(
    'source_failed',
    `the account lacks ${missing.join(', ')}: a dump would leave out what it cannot see`,
    {
      operation: 'dump',
      subject,
      hint: grantToDump(missing, schema, info, privileges),
    },
  );
}

/** What an account needs on a schema for a whole dump, routines of others aside. */
export const TO_DUMP = ['SELECT', 'SHOW VIEW', 'TRIGGER', 'EVENT'];

/** On the pattern that counts already: one of the schema alone would take its place, and what it gives. */
export function grantToDump(
  missing: readonly string[],
  schema: string,
  info: ServerInfo,
  privileges: Privileges,
): string {
  const place = privileges.pattern(schema) ?? escaped(schema);
  return `GRANT ${missing.join(', ')} ON ${identifier(place)}.* TO ${account(info.user)}`;
}

/** In a grant `_` and `%` of a schema's name are patterns. */
export function escaped(schema: string): string {
  return schema.replace(/[\\_%]/g, '\\$&');
}

/**
 * Whether an account learns of every procedure and function of a schema: whoever may not read one does not even see it
 * in a list. With a privilege on the schema's routines it does, and a dump of one that it may not read fails.
 * https://dev.mysql.com/doc/refman/8.4/en/information-schema-routines-table.html
 */
export async function seesRoutines(
  session: Session,
  info: ServerInfo,
  privileges: Privileges,
  schema: string,
): Promise<boolean> {
  const listed = ['EXECUTE', 'ALTER ROUTINE', 'CREATE ROUTINE', 'SHOW CREATE ROUTINE'];
  if (privileges.has(listed, schema) === true) return true;
  if (info.flavour === 'mysql') return privileges.has(['SHOW_ROUTINE', 'SELECT']) !== false;
  return session.rows('SELECT 1 AS one FROM mysql.proc LIMIT 1').then(
    () => true,
    () => false,
  );
}

/** The statement that lets an account see them. */
export function grantRoutines(info: ServerInfo): string {
  const grant = info.flavour === 'mysql' ? 'SHOW_ROUTINE ON *.*' : 'SELECT ON mysql.proc';
  return `GRANT ${grant} TO ${account(info.user)}`;
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
