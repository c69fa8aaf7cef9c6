import { identifier, literal, type Session } from './session.ts';

/** What hangs on a database itself: a dump of its objects does not hold it, and a swap by rename would lose it. */
export interface DatabaseFacts {
  readonly name: string;
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** `libc`, `icu`, `builtin`. */
  readonly provider: string;
  readonly locale?: string;
  readonly icu_rules?: string;
  readonly collation_version?: string;
  readonly tablespace: string;
  readonly connection_limit: number;
  /** Others are created from it, and it cannot be dropped: left out where they are not. */
  readonly template?: true;
  /** Undefined: the default privileges. */
  readonly acl?: readonly Grant[];
  readonly settings: readonly Setting[];
  readonly comment?: string;
  readonly size_bytes?: number;
}

export interface Grant {
  readonly grantor: string;
  /** Empty: PUBLIC. */
  readonly grantee: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

/** `ALTER DATABASE … SET`, of one role where it has one. */
export interface Setting {
  readonly role: string;
  readonly name: string;
  readonly value: string;
}

interface Row {
  d: Record<string, unknown>;
  owner: string;
  encoding: string;
  tablespace: string;
  comment: string | null;
  acl: Grant[] | null;
  settings: { role: string; config: string[] }[];
}

const PROVIDERS: Record<string, string> = { c: 'libc', i: 'icu', b: 'builtin' };

/** The facts of a database of this server, or undefined when there is none of that name. */
export async function readDatabase(session: Session, name: string): Promise<DatabaseFacts | undefined> {
  const [row] = await session.rows<Row>(`
    SELECT pg_catalog.to_jsonb(d) AS d, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
      pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
      (SELECT t.spcname FROM pg_catalog.pg_tablespace t WHERE t.oid = d.dattablespace) AS tablespace,
      pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
      (SELECT CASE WHEN d.datacl IS NOT NULL THEN coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
          'grantor', pg_catalog.pg_get_userbyid(a.grantor),
          'grantee', CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text END,
          'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]') END
        FROM pg_catalog.aclexplode(d.datacl) a) AS acl,
      coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
          'role', CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole)::pg_catalog.text END,
          'config', s.setconfig) ORDER BY s.setrole)
        FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid), '[]') AS settings
    FROM pg_catalog.pg_database d WHERE d.datname = ${literal(name)}`);
  if (!row) return undefined;
  const text = (field: string) => (typeof row.d[field] === 'string' ? (row.d[field] as string) : undefined);
  const locale = text('datlocale') ?? text('daticulocale');
  const rules = text('daticurules');
  const version = text('datcollversion');
  return {
    name,
    owner: row.owner,
    encoding: row.encoding,
    collate: text('datcollate') ?? 'C',
    ctype: text('datctype') ?? 'C',
    provider: PROVIDERS[text('datlocprovider') ?? 'c'] ?? 'libc',
    ...(locale === undefined ? {} : { locale }),
    ...(rules === undefined ? {} : { icu_rules: rules }),
    ...(version === undefined ? {} : { collation_version: version }),
    tablespace: row.tablespace,
    connection_limit: Number(row.d['datconnlimit']),
    ...(row.d['datistemplate'] === true ? { template: true } : {}),
    ...(row.acl === null ? {} : { acl: row.acl }),
    settings: row.settings.flatMap(({ role, config }) =>
      config.map((item) => ({
        role,
        name: item.slice(0, item.indexOf('=')),
        value: item.slice(item.indexOf('=') + 1),
      })),
    ),
    ...(row.comment === null ? {} : { comment: row.comment }),
  };
}

export async function databaseSize(session: Session, name: string): Promise<number | undefined> {
  try {
    const [row] = await session.rows<{ n: string }>(
      `SELECT pg_catalog.pg_database_size(${literal(name)}::pg_catalog.name)::pg_catalog.text AS n`,
    );
    return Number(row!.n);
  } catch {
    // Without CONNECT on it, its size is a secret.
    return undefined;
  }
}

/** The statement that makes an empty database as these facts describe it. */
export function createStatement(name: string, facts: DatabaseFacts, serverMajor: number): string {
  const parts = [
    `CREATE DATABASE ${identifier(name)} TEMPLATE template0`,
    `ENCODING ${literal(facts.encoding)}`,
  ];
  // Of no database: as the server makes them.
  if (facts.collate === '') return parts.join(' ');
  parts.push(`LC_COLLATE ${literal(facts.collate)}`, `LC_CTYPE ${literal(facts.ctype)}`);
  // Not said, it is that of the server's template: what sorted by libc would sort by ICU.
  if (serverMajor >= 15) parts.push(`LOCALE_PROVIDER ${facts.provider}`);
  if (serverMajor >= 15 && facts.provider !== 'libc') {
    const option = facts.provider === 'icu' ? 'ICU_LOCALE' : 'BUILTIN_LOCALE';
    if (facts.locale !== undefined) parts.push(`${option} ${literal(facts.locale)}`);
    if (facts.icu_rules !== undefined && serverMajor >= 16)
      parts.push(`ICU_RULES ${literal(facts.icu_rules)}`);
  }
  return parts.join(' ');
}

/** Settings whose value is a list of names, not one text. See pg_dump's `variable_is_guc_list_quote`. */
const LISTS = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** The statements that give a database its owner, privileges, settings and limit; not its comment. */
export function dressStatements(name: string, facts: DatabaseFacts): string[] {
  const database = identifier(name);
  const statements: string[] = [];
  if (facts.acl !== undefined) {
    statements.push(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`);
    const owners = facts.acl.filter(({ grantee }) => grantee === facts.owner);
    if (
      !['CREATE', 'TEMPORARY', 'CONNECT'].every((wanted) =>
        owners.some((grant) => grant.privilege === wanted),
      )
    ) {
      statements.push(`REVOKE ALL ON DATABASE ${database} FROM ${identifier(facts.owner)}`);
    }
    for (const { grantee, privilege, grantable } of facts.acl) {
      const to = grantee === '' ? 'PUBLIC' : identifier(grantee);
      const option = grantable ? ' WITH GRANT OPTION' : '';
      statements.push(`GRANT ${privilege} ON DATABASE ${database} TO ${to}${option}`);
    }
  }
  for (const { role, name: setting, value } of facts.settings) {
    const whose = role === '' ? '' : `ROLE ${identifier(role)} IN `;
    const to = LISTS.has(setting.toLowerCase()) ? listValue(value) : literal(value);
    statements.push(`ALTER ${whose}DATABASE ${database} SET ${settingName(setting)} TO ${to}`);
  }
  if (facts.connection_limit !== -1) {
    statements.push(`ALTER DATABASE ${database} CONNECTION LIMIT ${facts.connection_limit}`);
  }
  return statements;
}

/** `"$user", public` as the catalog has it: each element by itself. */
function listValue(value: string): string {
  const items = value.match(/"(?:[^"]|"")*"|[^,\s]+/g) ?? [];
  if (items.length === 0) return "''";
  return items
    .map((item) => literal(item.startsWith('"') ? item.slice(1, -1).replaceAll('""', '"') : item))
    .join(', ');
}

/** An extension's setting has a dot, and each part may need quotes. */
function settingName(name: string): string {
  return name.split('.').map(identifier).join('.');
}
