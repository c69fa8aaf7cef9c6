import { DguardError, errorText } from '../../../errors.ts';
import type { ServerVersion, SourceFacts } from '../dump/source-facts.ts';
import type { DatabaseFacts } from '../server/database.ts';
import type { Server } from '../server/server.ts';
import { grantRole, identifier, literal, type Session } from '../server/session.ts';
import { loadsBack, type Tools } from '../server/tools.ts';
import { MAX_NAME_BYTES } from './marks.ts';

/** What the role that restores may do at the target's server. */
export interface Powers {
  readonly role: string;
  readonly superuser: boolean;
  readonly createDatabases: boolean;
}

/** Flags of pg_restore that follow from what the target's server lacks. */
export interface Fit {
  readonly flags: readonly string[];
  readonly warnings: readonly string[];
  /** Roles of the dump that this server has too. */
  readonly roles: ReadonlySet<string>;
  /** The `lc_monetary` that the backup's values of type money are read by; undefined: it does not say. */
  readonly money?: string;
  /** Where the new database lies; undefined: where the server puts it. */
  readonly tablespace?: string;
}

export async function readPowers(session: Session): Promise<Powers> {
  const [row] = await session.rows<Powers>(`
    SELECT r.rolname AS role, r.rolsuper AS superuser, r.rolsuper OR r.rolcreatedb AS "createDatabases"
    FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER`);
  return row!;
}

/** The server would cut a longer name silently, and what is called by the rest would be replaced. Errors: `usage`. */
export function refuseName(target: string): void {
  const bytes = Buffer.byteLength(target);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES) return;
  throw new DguardError(
    'usage',
    `the name of a database has 1 to ${MAX_NAME_BYTES} bytes, this one ${bytes}`,
    {
      operation: 'restore',
      subject: target,
      hint: 'give another name: --to-database NAME',
    },
  );
}

/**
 * pg_restore for a dump and a server: it reads no dump of a newer pg_dump than itself, and from 17 on it sets
 * what servers up to 16 do not know. Errors: `target_refused` for a server older than the dump's, and those
 * of `chooseTools`.
 */
export async function restoreTools(
  server: Server,
  target: ServerVersion,
  facts: SourceFacts,
): Promise<Tools> {
  const { name } = server.source;
  const sourceMajor = Math.floor(facts.server_version_num / 10000);
  if (target.major < sourceMajor) {
    throw new DguardError(
      'target_refused',
      `the dump is of PostgreSQL ${sourceMajor}, the target is ${target.text}: a dump does not load into an older server`,
      {
        operation: 'restore',
        subject: name,
        hint: `restore to a server of PostgreSQL ${sourceMajor} or newer`,
      },
    );
  }
  const tools = await server.tools(Math.max(target.major, facts.tool_major));
  if (loadsBack(tools.major, target.major)) return tools;
  throw new DguardError(
    'tool_version',
    `pg_restore ${tools.version} sets what PostgreSQL ${target.text} does not know (transaction_timeout)`,
    {
      operation: 'restore',
      subject: name,
      hint:
        facts.tool_major > target.major
          ? `the dump was made by pg_dump ${facts.tool_major}: restore it to PostgreSQL ${facts.tool_major} or newer`
          : `install postgresql-client-${target.major}, or set client_path`,
    },
  );
}

/**
 * Holds extensions, roles and tablespaces of the dump against the target's server. `existing`: what would be replaced,
 * whose tablespace the new one gets. `scratch`: for a test restore.
 */
export async function fitToServer(
  session: Session,
  powers: Powers,
  facts: SourceFacts,
  subject: string,
  { existing, scratch }: { readonly existing: DatabaseFacts | undefined; readonly scratch: boolean },
): Promise<Fit> {
  await refuseMissingExtensions(session, facts, subject);
  const money = await readableMoney(session, facts, subject);
  const flags: string[] = [];
  const warnings: string[] = [];
  // From 16 on a member may lack SET, without which it gives nothing away: whoever creates a role is such a member of it.
  const roles = await session.rows<{ name: string; member: boolean }>(`
    SELECT r.rolname AS name, pg_catalog.pg_has_role(CURRENT_USER, r.oid,
      CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS member
    FROM pg_catalog.pg_roles r`);
  const there = new Set(roles.map(({ name }) => name));
  const missing = facts.roles.filter((role) => !there.has(role));
  const foreign = facts.roles.filter((role) => roles.some(({ name, member }) => name === role && !member));
  if (missing.length > 0) {
    flags.push('--no-owner', '--no-privileges');
    warnings.push(
      `these roles are not at the target: ${missing.join(', ')}; everything will belong to ${powers.role}, without grants. To make them too: restore --roles`,
    );
  } else if (!powers.superuser && foreign.length > 0) {
    flags.push('--no-owner');
    // In the name of another role: no test of rows and definitions is to fail for them.
    if (scratch) flags.push('--no-privileges');
    warnings.push(
      `${powers.role} may not give objects to ${foreign.join(', ')}; everything will belong to ${powers.role}`,
    );
  }
  const spaces = await session.rows<{ name: string; usable: boolean }>(`
    SELECT spcname AS name, pg_catalog.has_tablespace_privilege(oid, 'CREATE') AS usable FROM pg_catalog.pg_tablespace`);
  const lost = facts.tablespaces.filter((name) => !spaces.some((space) => space.name === name));
  if (lost.length > 0) {
    flags.push('--no-tablespaces');
    warnings.push(
      `these tablespaces are not at the target: ${lost.join(', ')}; everything goes into its default one`,
    );
  }
  const { tablespace } = existing ?? facts.database;
  // What a new database is made in where nobody says otherwise, on every server.
  if (tablespace === '' || tablespace === 'pg_default') return { flags, warnings, roles: there, ...money };
  const space = spaces.find(({ name }) => name === tablespace);
  if (space?.usable) return { flags, warnings, roles: there, ...money, tablespace };
  const why = space === undefined ? 'is not at the target' : `may not be used by ${powers.role}`;
  warnings.push(`the database's tablespace ${tablespace} ${why}; it goes into the server's default one`);
  return { flags, warnings, roles: there, ...money };
}

/** By another locale, `$ 12,34` is an error or, worse, 1234.00. */
async function readableMoney(
  session: Session,
  { lc_monetary: money }: SourceFacts,
  subject: string,
): Promise<Pick<Fit, 'money'>> {
  if (money === undefined) return {};
  try {
    await session.rows(`SELECT pg_catalog.set_config('lc_monetary', ${literal(money)}, true) AS set`);
    return { money };
  } catch (error) {
    throw new DguardError(
      'target_refused',
      `values of type money are written by lc_monetary ${money}, which the target's server does not know: ${errorText(error)}`,
      {
        operation: 'restore',
        subject,
        hint: 'make that locale there (locale-gen) and restart the server, then restore again; nothing was changed',
        cause: error,
      },
    );
  }
}

async function refuseMissingExtensions(session: Session, facts: SourceFacts, subject: string): Promise<void> {
  const available = await session.rows<{ name: string }>(
    'SELECT name FROM pg_catalog.pg_available_extensions',
  );
  const missing = facts.extensions.filter(({ name }) => !available.some((one) => one.name === name));
  if (missing.length === 0) return;
  const names = missing.map(({ name, version }) => `${name} ${version}`).join(', ');
  throw new DguardError('target_refused', `the target's server does not have these extensions: ${names}`, {
    operation: 'restore',
    subject,
    hint: 'install their packages there (postgresql-contrib, postgresql-N-NAME), then restore again; nothing was changed',
  });
}

/** Somebody who is connected to a database. */
export interface Connected {
  readonly pid: number;
  readonly user: string | null;
  readonly application: string;
  readonly from: string;
  /** `idle`, `active`, …; null where the role may not know. */
  readonly state: string | null;
}

export async function listConnected(session: Session, database: string): Promise<Connected[]> {
  return await session.rows<Connected>(`
    SELECT a.pid, a.usename AS "user", coalesce(a.application_name, '') AS application,
      coalesce(pg_catalog.host(a.client_addr), 'local') AS "from", a.state
    FROM pg_catalog.pg_stat_activity a WHERE a.datname = ${literal(database)}
      AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type IN ('client backend', 'walsender') ORDER BY a.pid`);
}

/**
 * Who keeps a database from being replaced. An idle session loses nothing when it is closed, and a pool
 * opens it again; whoever is at work, or within a transaction, is not thrown out.
 */
export async function refuseBusy(session: Session, database: string): Promise<void> {
  const busy = (await listConnected(session, database)).filter(({ state }) => state !== 'idle');
  if (busy.length === 0) return;
  const who = busy
    .slice(0, 5)
    .map(
      (one) =>
        `pid ${one.pid} (${[one.user, one.application, one.from, one.state ?? 'state unknown'].filter(Boolean).join(', ')})`,
    );
  throw new DguardError('target_refused', `the database is in use by ${who.join('; ')}`, {
    operation: 'restore',
    subject: database,
    hint: 'stop the application, or end these sessions: SELECT pg_terminate_backend(PID)',
  });
}

/** The server lets only its owner rename a database: said before anything is loaded for its place. */
export async function refuseOwned(session: Session, powers: Powers, database: string): Promise<void> {
  const [row] = await session.rows<{ owner: string; num: number }>(`
    SELECT pg_catalog.pg_get_userbyid(d.datdba) AS owner,
      pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS num FROM pg_catalog.pg_database d
    WHERE d.datname = ${literal(database)} AND NOT pg_catalog.pg_has_role(CURRENT_USER, d.datdba, 'USAGE')`);
  if (!row) return;
  throw new DguardError(
    'target_refused',
    `role ${powers.role} is not ${row.owner}, who owns the database, and may not put another in its place`,
    {
      operation: 'restore',
      subject: database,
      hint: `as a superuser: ${grantRole(row.owner, powers.role, row.num)}; or restore beside it with --to-database NAME`,
    },
  );
}

/** What would be torn from a database that is renamed, and keep its undo copy from ever being dropped. */
export async function refuseReplicated(session: Session, database: string): Promise<void> {
  const names = async (sql: string) => (await session.rows<{ n: string }>(sql)).map(({ n }) => n);
  const slots = await names(
    `SELECT slot_name AS n FROM pg_catalog.pg_replication_slots WHERE database = ${literal(database)}`,
  );
  const subscriptions = await names(`
    SELECT s.subname AS n FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
    WHERE d.datname = ${literal(database)}`);
  if (slots.length + subscriptions.length === 0) return;
  const what = [
    ...slots.map((name) => `replication slot ${name}`),
    ...subscriptions.map((name) => `subscription ${name}`),
  ];
  throw new DguardError(
    'target_refused',
    `replication hangs on the database that would be replaced: ${what.join(', ')}`,
    {
      operation: 'restore',
      subject: database,
      hint: `restore beside it with --to-database NAME, or remove these first, in ${identifier(database)}: ${[
        ...slots.map((name) => `SELECT pg_drop_replication_slot(${literal(name)})`),
        ...subscriptions.flatMap(withoutSubscription),
      ].join('; ')}`,
    },
  );
}

/**
 * Statements that drop a subscription. The publisher's slot stays: the database that was replaced, or is to come back,
 * may go on with it.
 */
export function withoutSubscription(name: string): string[] {
  const quoted = `SUBSCRIPTION ${identifier(name)}`;
  return [`ALTER ${quoted} DISABLE`, `ALTER ${quoted} SET (slot_name = NONE)`, `DROP ${quoted}`];
}
