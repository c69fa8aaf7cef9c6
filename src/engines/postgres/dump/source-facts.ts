import { DguardError } from '../../../errors.ts';
import { OWN_SCHEMA, ownObjects } from '../server/catalog.ts';
import { MONEY_LOCALE } from '../server/connection.ts';
import type { DatabaseFacts } from '../server/database.ts';
import type { Session } from '../server/session.ts';
import type { DataBlock } from './archive-offsets.ts';

/** What a restore has to know of where a dump came from: `facts.engine` of the manifest. */
export interface SourceFacts {
  readonly server_version_num: number;
  readonly tool_major: number;
  readonly database: DatabaseFacts;
  readonly extensions: readonly { readonly name: string; readonly version: string }[];
  /** Who owns objects, or was granted something, in this database. */
  readonly roles: readonly string[];
  readonly tablespaces: readonly string[];
  readonly large_objects: number;
  readonly publications: readonly string[];
  readonly subscriptions: readonly string[];
  readonly slots: readonly string[];
  /** Tables whose rows were left out, by `schema.table`. */
  readonly without_rows: readonly string[];
  /** Whether the rows of its tables were counted, or estimated. */
  readonly row_counts: 'exact' | 'estimate';
  /** The `lc_monetary` that values of type money are written by; undefined: an older dguard wrote it. */
  readonly lc_monetary?: string;
  /** Whether columns or types are of type money; undefined: as above. */
  readonly has_money?: boolean;
  /** Own event triggers. */
  readonly event_triggers: readonly string[];
  /** Of partitions and children: the tables that they are one of, by `schema.table`. */
  readonly parents: Readonly<Record<string, readonly string[]>>;
  /** Where in the stream of the dump the data of large tables lie, so that several can be read at once. */
  readonly large_data: readonly DataBlock[];
}

export type ServerVersion = { readonly num: number; readonly text: string; readonly major: number };

/** Throws what the session throws; `unsupported` for a server older than anyone supports. */
export async function readVersion(session: Session): Promise<ServerVersion> {
  const [row] = await session.rows<{ num: string; text: string }>(
    `SELECT pg_catalog.current_setting('server_version_num') AS num, pg_catalog.current_setting('server_version') AS text`,
  );
  const num = Number(row!.num);
  if (num < 130000) {
    throw new DguardError(
      'unsupported',
      `the server is PostgreSQL ${row!.text}; 13 and newer are supported`,
      {
        operation: 'connect',
        hint: 'upgrade the server, or dump it with its own pg_dump as a file of a files datasource',
      },
    );
  }
  return { num, text: row!.text, major: Math.floor(num / 10000) };
}

/** Number of a cluster, the same for all its databases, whatever they are called and wherever they run. */
export async function readSystemIdentifier(session: Session): Promise<string | undefined> {
  try {
    const [row] = await session.rows<{ id: string }>(
      'SELECT system_identifier::pg_catalog.text AS id FROM pg_catalog.pg_control_system()',
    );
    return row!.id;
  } catch {
    return undefined;
  }
}

/** Extensions, roles, tablespaces, replication: of the database that the session is in. */
export async function readSurroundings(
  session: Session,
): Promise<
  Omit<
    SourceFacts,
    | 'server_version_num'
    | 'tool_major'
    | 'database'
    | 'large_objects'
    | 'without_rows'
    | 'parents'
    | 'row_counts'
    | 'large_data'
  >
> {
  const names = async (sql: string) => (await session.rows<{ n: string }>(sql)).map(({ n }) => n);
  const here = '(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())';
  return {
    extensions: await session.rows(
      'SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY extname',
    ),
    roles: await names(`
      SELECT DISTINCT r.rolname AS n FROM pg_catalog.pg_roles r WHERE r.oid IN (
        SELECT s.refobjid FROM pg_catalog.pg_shdepend s
          WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.dbid = ${here}
        UNION SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid >= 16384
        UNION SELECT p.proowner FROM pg_catalog.pg_proc p WHERE p.oid >= 16384
        UNION SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE n.oid >= 16384)
        AND r.rolname !~ '^pg_' ORDER BY 1`),
    tablespaces: await names(`
      SELECT DISTINCT t.spcname AS n FROM pg_catalog.pg_tablespace t JOIN pg_catalog.pg_class c
        ON c.reltablespace = t.oid WHERE t.spcname !~ '^pg_' ORDER BY 1`),
    event_triggers: await names(
      `SELECT c.evtname AS n FROM pg_catalog.pg_event_trigger c WHERE ${ownObjects('c', 'pg_event_trigger')} ORDER BY 1`,
    ),
    publications: await names('SELECT pubname AS n FROM pg_catalog.pg_publication ORDER BY 1'),
    ...(await readMoney(session)),
    subscriptions: await names(
      `SELECT subname AS n FROM pg_catalog.pg_subscription WHERE subdbid = ${here} ORDER BY 1`,
    ),
    slots: await names(
      'SELECT slot_name AS n FROM pg_catalog.pg_replication_slots WHERE database = pg_catalog.current_database() ORDER BY 1',
    ),
  };
}

/** Definitions may name amounts where no column is of the type: the locale is said of every backup. */
async function readMoney(
  session: Session,
): Promise<Required<Pick<SourceFacts, 'lc_monetary' | 'has_money'>>> {
  const types = "('pg_catalog.money'::pg_catalog.regtype, 'pg_catalog.money[]'::pg_catalog.regtype)";
  const [row] = await session.rows<{ has_money: boolean }>(`
    SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 AND atttypid IN ${types})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_type WHERE oid >= 16384 AND typbasetype IN ${types})
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_range WHERE rngtypid >= 16384 AND rngsubtype IN ${types}) AS has_money`);
  return { lc_monetary: MONEY_LOCALE, has_money: row!.has_money };
}

/** Tables and sequences that the role may not read, or sees only a part of by row level security (`hidden`). */
export async function listUnreadable(
  session: Session,
): Promise<{ n: string; hidden: boolean; role: string }[]> {
  return await session.rows(`
    SELECT n.nspname || '.' || c.relname AS n, c.relkind <> 'S' AND pg_catalog.row_security_active(c.oid) AS hidden,
      CURRENT_USER::pg_catalog.text AS role
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_class')}
      AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        OR CASE WHEN c.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
          ELSE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.row_security_active(c.oid) END)
    ORDER BY 1`);
}

/** pg_dump would stop at the first of them after a while; here all are named at once, before anything is written. */
export async function refuseUnreadable(session: Session, subject: string): Promise<void> {
  const rows = await listUnreadable(session);
  if (rows.length === 0) return;
  const role = rows[0]!.role;
  const some = (list: readonly { n: string }[]) =>
    list
      .slice(0, 5)
      .map(({ n }) => n)
      .join(', ') + (list.length > 5 ? ` and ${list.length - 5} more` : '');
  const hidden = rows.filter((row) => row.hidden);
  const why =
    hidden.length > 0
      ? `row level security would hide rows of ${some(hidden)} from role ${role}`
      : `role ${role} may not read ${some(rows)}`;
  const fix = hidden.length > 0 ? `ALTER ROLE "${role}" BYPASSRLS` : `GRANT pg_read_all_data TO "${role}"`;
  throw new DguardError('source_failed', why, { operation: 'dump', subject, hint: `as a superuser: ${fix}` });
}

/** The facts of a backup, as its manifest has them. Throws `corrupt` where they are none of a dump's. */
export function sourceFacts(engine: Readonly<Record<string, unknown>> | undefined): SourceFacts {
  const facts = engine as Partial<SourceFacts> | undefined;
  const database = facts?.database;
  const texts = (list: unknown): readonly string[] =>
    Array.isArray(list) ? list.filter((item): item is string => typeof item === 'string') : [];
  if (typeof facts?.server_version_num !== 'number' || typeof database?.encoding !== 'string') {
    throw new DguardError('corrupt', 'the manifest does not say what database this is a dump of', {
      operation: 'read backup',
      hint: 'restore it without dguard: dguard show ID prints the commands',
    });
  }
  const provider = ['libc', 'icu', 'builtin'].includes(database.provider) ? database.provider : 'libc';
  const acl = database.acl?.filter(({ privilege }) => ['CREATE', 'TEMPORARY', 'CONNECT'].includes(privilege));
  return {
    server_version_num: facts.server_version_num,
    tool_major: Number(facts.tool_major ?? 0),
    database: {
      ...database,
      provider,
      ...(acl === undefined ? {} : { acl }),
      settings: Array.isArray(database.settings) ? database.settings : [],
      connection_limit: Number(database.connection_limit ?? -1),
    },
    extensions: Array.isArray(facts.extensions) ? facts.extensions : [],
    roles: texts(facts.roles),
    tablespaces: texts(facts.tablespaces),
    large_objects: Number(facts.large_objects ?? 0),
    publications: texts(facts.publications),
    subscriptions: texts(facts.subscriptions),
    slots: texts(facts.slots),
    without_rows: texts(facts.without_rows),
    row_counts: facts.row_counts === 'estimate' ? 'estimate' : 'exact',
    ...(typeof facts.lc_monetary === 'string' ? { lc_monetary: facts.lc_monetary } : {}),
    ...(typeof facts.has_money === 'boolean' ? { has_money: facts.has_money } : {}),
    event_triggers: texts(facts.event_triggers),
    parents: Object.fromEntries(
      Object.entries(engine?.['parents'] ?? {}).map(([name, list]) => [name, texts(list)]),
    ),
    large_data: blocksOf(facts.large_data),
  };
}

/** Blocks of data, each behind the one before; none where they are no such thing. */
function blocksOf(list: unknown): readonly DataBlock[] {
  if (!Array.isArray(list)) return [];
  let last = 0;
  const blocks = list.map((item: Partial<DataBlock> | null) => {
    const [entry, start, end] = [item?.entry, item?.start, item?.end].map(Number) as [number, number, number];
    const fits = [entry, start, end].every(Number.isSafeInteger) && start >= last && end > start;
    last = end;
    return fits ? { entry, start, end } : undefined;
  });
  return blocks.every((block) => block !== undefined) ? blocks : [];
}
