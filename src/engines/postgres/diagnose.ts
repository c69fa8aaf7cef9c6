import { clockFindings, toolFindings } from '../diagnosis.ts';
import type { DiagnoseRequest, Finding } from '../health.ts';
import { leftoverFindings } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import { listDatabases } from './databases.ts';
import { listUnreadable, readSurroundings, readVersion, type ServerVersion } from './dump/source-facts.ts';
import type { PostgresOptions } from './options.ts';
import { listMarked } from './restore/marks.ts';
import { readPowers } from './restore/preflight.ts';
import { sqlState } from './server/failures.ts';
import { MAINTENANCE, openAny, openServer, type Server } from './server/server.ts';
import { grantRole, identifier, literal, type Session } from './server/session.ts';
import { loadsBack, type Tools } from './server/tools.ts';

/** What a dump of each database, and a restore in its place, would stumble over. */
export async function diagnoseServer(
  source: EngineSource<PostgresOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const server = openServer(source);
  try {
    const databases = await listDatabases(source);
    const findings: Finding[] = [];
    const session = await openAny(server, [...MAINTENANCE, ...databases]);
    let role: string;
    try {
      role = (await readPowers(session)).role;
      const version = await readVersion(session);
      findings.push(
        ...(await clockFindings(source.now, () => readClock(session))),
        ...(await toolFindings(
          () => server.tools(version.major),
          (tools) => fitFindings(tools, version),
        )),
        ...(await restoreFindings(session, databases)),
        ...leftoverFindings(
          await listMarked(session),
          { targets: source.options.all_databases ? [] : databases, datasource: source.name },
          job,
        ),
      );
    } finally {
      await session.close();
    }
    for (const database of databases) findings.push(...(await databaseFindings(server, database, role)));
    return findings;
  } finally {
    await server.dispose();
  }
}

async function readClock(session: Session): Promise<number> {
  const [row] = await session.rows<{ ms: number }>(
    "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000 AS ms",
  );
  return row!.ms;
}

/** A newer client dumps, but what it writes may not load into the server that it came from. */
function fitFindings(tools: Tools, version: ServerVersion): readonly Finding[] {
  if (tools.major === version.major) return [];
  const back = loadsBack(tools.major, version.major);
  return [
    {
      severity: back ? 'warning' : 'problem',
      topic: 'tools',
      message: `the client tools are PostgreSQL ${tools.version}, the server is ${version.text}: ${back ? 'a restore may be refused' : 'what they dump does not load into it, so a backup is refused'}`,
      fix: { by: 'shell', lines: [`apt-get install postgresql-client-${version.major}`] },
    },
  ];
}

/** In place of a database a restore puts a new one: it needs CREATEDB, and to own the old one. */
async function restoreFindings(session: Session, databases: readonly string[]): Promise<Finding[]> {
  const powers = await readPowers(session);
  if (powers.superuser) return [];
  const role = identifier(powers.role);
  const findings: Finding[] = [];
  if (!powers.createDatabases) {
    findings.push({
      severity: 'warning',
      topic: 'privileges',
      message: `role ${powers.role} may not create databases: test restores fail, and a restore goes only into an empty database, without --undo`,
      fix: { by: 'sql', lines: [`ALTER ROLE ${role} CREATEDB`] },
    });
  }
  const rows = await session.rows<{ name: string; owner: string; strong: boolean; num: number }>(`
    SELECT d.datname AS name, r.rolname AS owner, r.rolsuper AS strong,
      pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS num
    FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
    WHERE NOT pg_catalog.pg_has_role(CURRENT_USER, d.datdba, 'USAGE') ORDER BY 1`);
  const foreign = rows.filter(({ name }) => databases.includes(name));
  for (const owner of new Set(foreign.map((row) => row.owner))) {
    const owned = foreign.filter((row) => row.owner === owner);
    const message = `role ${powers.role} is not ${owner}, who owns it: a restore with --overwrite cannot put another in its place`;
    const about = { topic: 'privileges', subject: owned.map(({ name }) => name).join(', ') } as const;
    // Nobody is to be made a superuser for that.
    if (owned[0]!.strong) {
      const instead = '; restore with a datasource of an account that may (--to NAME)';
      findings.push({ ...about, severity: 'notice', message: message + instead });
    } else {
      const fix = { by: 'sql', lines: [grantRole(owner, powers.role, owned[0]!.num)] } as const;
      findings.push({ ...about, severity: 'warning', message, fix });
    }
  }
  const [authid] = await session.rows<{ readable: boolean }>(
    "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS readable",
  );
  if (!authid!.readable) {
    findings.push({
      severity: 'notice',
      topic: 'privileges',
      message: `role ${powers.role} may not read passwords of roles: globals.sql has the roles without them`,
    });
  }
  return findings;
}

async function databaseFindings(server: Server, database: string, role: string): Promise<Finding[]> {
  let session: Session;
  try {
    session = await server.open(database);
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    return [
      {
        severity: 'problem',
        topic: 'privileges',
        subject: database,
        message: `role ${role} may not connect to this database`,
        fix: {
          by: 'sql',
          lines: [`GRANT CONNECT ON DATABASE ${identifier(database)} TO ${identifier(role)}`],
        },
      },
    ];
  }
  try {
    return [
      ...(await readFindings(session, database)),
      ...(await largeObjectFindings(session, database)),
      ...(await lockFindings(session, database)),
      ...(await replicationFindings(session, database)),
    ];
  } finally {
    await session.close();
  }
}

async function readFindings(session: Session, database: string): Promise<Finding[]> {
  const rows = await listUnreadable(session);
  if (rows.length === 0) return [];
  const role = rows[0]!.role;
  const hidden = rows.filter((row) => row.hidden);
  const lines = [
    `GRANT pg_read_all_data TO ${identifier(role)}`,
    ...(hidden.length > 0 ? [`ALTER ROLE ${identifier(role)} BYPASSRLS`] : []),
  ];
  const why =
    hidden.length > 0
      ? `row level security hides rows of ${some(hidden)} from role ${role}`
      : `role ${role} may not read ${some(rows)}`;
  return [
    {
      severity: 'problem',
      topic: 'privileges',
      subject: database,
      message: `${why}: a backup fails`,
      fix: { by: 'sql', database, lines },
    },
  ];
}

function some(list: readonly { readonly n: string }[]): string {
  const named = list.slice(0, 5).map(({ n }) => n);
  return named.join(', ') + (list.length > 5 ? ` and ${list.length - 5} more` : '');
}

/** pg_read_all_data is for tables: large objects have privileges of their own. */
async function largeObjectFindings(session: Session, database: string): Promise<Finding[]> {
  const [row] = await session.rows<{ n: number; role: string }>(`
    SELECT pg_catalog.count(*) AS n, CURRENT_USER::pg_catalog.text AS role
    FROM pg_catalog.pg_largeobject_metadata m
    WHERE pg_catalog.current_setting('lo_compat_privileges') = 'off'
      AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
      AND NOT pg_catalog.pg_has_role(CURRENT_USER, m.lomowner, 'USAGE')
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
        AND (a.grantee = 0 OR pg_catalog.pg_has_role(CURRENT_USER, a.grantee, 'USAGE')))`);
  const { n, role } = row!;
  if (Number(n) === 0) return [];
  return [
    {
      severity: 'problem',
      topic: 'privileges',
      subject: database,
      message: `role ${role} may not read ${n} large objects: a backup fails`,
      fix: {
        by: 'sql',
        database,
        lines: [
          `DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', o, ${literal(role)}); END LOOP; END $$`,
        ],
      },
    },
  ];
}

/** A lock that was held this long is nobody's who alters a table in passing. */
const LONG_LOCK_S = 60;

/** A dump waits for whoever alters a table, and all that come after it wait for the dump. */
export async function lockFindings(
  session: Session,
  database: string,
  longS = LONG_LOCK_S,
): Promise<Finding[]> {
  const here = 'pg_catalog.current_database()';
  const locked = await session.rows<{ pid: number; tables: string[]; age: number }>(`
    SELECT l.pid, pg_catalog.jsonb_agg(DISTINCT l.relation::pg_catalog.regclass::pg_catalog.text) AS tables,
      pg_catalog.date_part('epoch', pg_catalog.max(pg_catalog.clock_timestamp() - a.xact_start)) AS age
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.relation >= 16384
      AND a.datname = ${here} GROUP BY l.pid`);
  // Which tables one of these has locked cannot be told for certain: their locks have no process.
  const prepared = await session.rows<{ gid: string; age: number }>(`
    SELECT gid, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - prepared) AS age
    FROM pg_catalog.pg_prepared_xacts WHERE database = ${here}`);
  const warning = (message: string, line: string): Finding => ({
    severity: 'warning',
    topic: 'locks',
    subject: database,
    message,
    fix: { by: 'sql', database, lines: [line] },
  });
  return [
    ...locked
      .filter(({ age }) => age >= longS)
      .map(({ pid, tables, age }) =>
        warning(
          `pid ${pid} has locked ${tables.slice(0, 5).join(', ')} for ${Math.round(age)} s: a dump waits 2 min for it, then fails`,
          `SELECT pg_terminate_backend(${pid})`,
        ),
      ),
    ...prepared
      .filter(({ age }) => age >= longS)
      .map(({ gid, age }) =>
        warning(
          `the prepared transaction ${gid} has been open for ${Math.round(age)} s: a dump waits 2 min for what it has locked, then fails`,
          `ROLLBACK PREPARED ${literal(gid)}`,
        ),
      ),
  ];
}

/** Replication hangs on a database by its number: a restore in its place would tear it off, and refuses. */
async function replicationFindings(session: Session, database: string): Promise<Finding[]> {
  const { slots, subscriptions } = await readSurroundings(session);
  const what = [...slots.map((n) => `slot ${n}`), ...subscriptions.map((n) => `subscription ${n}`)];
  if (what.length === 0) return [];
  return [
    {
      severity: 'notice',
      topic: 'replication',
      subject: database,
      message: `${what.join(', ')} hang on this database: a restore in its place is refused, one beside it (--to-database) works`,
    },
  ];
}
