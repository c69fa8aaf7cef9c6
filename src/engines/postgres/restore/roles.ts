import { DguardError, errorText } from '../../../errors.ts';
import { memberText } from '../../member-text.ts';
import { lookUntil } from '../../sessions.ts';
import type { BackupContent, RestoreRequest } from '../../types.ts';
import { GLOBALS_MEMBER } from '../dump/members.ts';
import type { SourceFacts } from '../dump/source-facts.ts';
import type { PostgresOptions } from '../options.ts';
import { sqlState } from '../server/failures.ts';
import { type Server, withFreshSession } from '../server/server.ts';
import { identifier, inTransaction, type Session } from '../server/session.ts';

/** What makes one role, in the words of pg_dumpall. */
interface RoleStatement {
  readonly role: string;
  /** Of a grant of `role` to it. */
  readonly member?: string;
  readonly sql: string;
}

interface Place {
  readonly server: Server;
  readonly target: string;
  readonly request: RestoreRequest<PostgresOptions>;
}

const MAX_BYTES = 64 * 1024 * 1024;

/** Roles that a backup's database needs: owners, and who was granted something. Not PUBLIC. */
function neededRoles({ roles, database }: SourceFacts): string[] {
  const all = [
    ...roles,
    database.owner,
    ...(database.acl ?? []).flatMap(({ grantor, grantee }) => [grantor, grantee]),
    ...database.settings.map(({ role }) => role),
  ];
  return [...new Set(all)].filter((role) => role !== '');
}

/** Roles that a restore makes, and the server's process that makes them. */
export interface NewRoles {
  readonly names: readonly string[];
  readonly pid: number;
}

/**
 * Makes the roles that a backup needs and the server lacks, and those that they are members of, as its globals
 * have them; roles that are there are left as they are. All or none. Tells which before it does. Returns whether
 * there are new ones. Errors: `target_refused`.
 */
export async function createRoles(
  content: BackupContent,
  facts: SourceFacts,
  session: Session,
  making: (roles: NewRoles | undefined) => void,
): Promise<boolean> {
  const rows = await session.rows<{ n: string }>('SELECT rolname AS n FROM pg_catalog.pg_roles');
  const there = new Set(rows.map(({ n }) => n));
  const statements = roleStatements(splitStatements(await readGlobals(content)));
  const wanted = new Set(neededRoles(facts).filter((role) => !there.has(role)));
  for (const role of wanted) {
    for (const one of statements) if (one.member === role && !there.has(one.role)) wanted.add(one.role);
  }
  const made = statements.filter(({ role, member }) =>
    member === undefined ? wanted.has(role) : wanted.has(member) && (wanted.has(role) || there.has(role)),
  );
  const names = [...wanted].filter((name) =>
    made.some(({ role, sql }) => role === name && sql.startsWith('CREATE ')),
  );
  if (names.length === 0) return false;
  const [row] = await session.rows<{ pid: number }>('SELECT pg_catalog.pg_backend_pid() AS pid');
  making({ names, pid: row!.pid });
  try {
    await inTransaction(
      session,
      made.map(({ sql }) => sql),
    );
  } catch (error) {
    // Without an answer of the server they may have been made.
    if (sqlState(error) !== undefined) making(undefined);
    if (error instanceof DguardError) throw error;
    throw new DguardError('target_refused', `the roles could not be made: ${errorText(error)}`, {
      operation: 'create roles',
      subject: names.join(', '),
      hint: 'restore as a superuser, or without --roles: everything belongs to the role that restores then',
      cause: error,
    });
  }
  return true;
}

/** Takes roles back that nothing belongs to. The restore's session may be broken, and its process still at work. */
export async function dropRoles({ server, target, request }: Place, { names, pid }: NewRoles): Promise<void> {
  const working = `SELECT 1 AS one FROM pg_catalog.pg_stat_activity WHERE pid = ${pid}`;
  try {
    await withFreshSession({ server, target }, async (session) => {
      if (request.signal.aborted) await lookUntil(async () => (await session.rows(working)).length === 0);
      await session.run(`DROP ROLE IF EXISTS ${names.map(identifier).join(', ')}`);
    });
  } catch (error) {
    const message = `roles may be left that this restore made: ${names.join(', ')} (${errorText(error)})`;
    request.warn({ message, subject: target, partial: false });
  }
}

async function readGlobals(content: BackupContent): Promise<string> {
  const entry = await content.entry(GLOBALS_MEMBER);
  if (entry?.type !== 'stream' || entry.size > MAX_BYTES) {
    throw new DguardError('corrupt', `the backup has no ${GLOBALS_MEMBER} with its roles`, {
      operation: 'create roles',
    });
  }
  return memberText(content, entry);
}

/** Statements without comments and psql's own commands; a semicolon within quotes ends none. */
function splitStatements(text: string): string[] {
  const parts = text.matchAll(/(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|[^;'"])+/g);
  return [...parts]
    .map(([part]) => part.replace(/^(?:\s|--[^\n]*\n?|\\[^\n]*\n?)+/, '').trim())
    .filter((statement) => statement !== '');
}

const NAME = '("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)';
const OF_ROLE = new RegExp(
  `^(?:CREATE ROLE ${NAME}$|ALTER ROLE ${NAME} (?:WITH|SET) |COMMENT ON ROLE ${NAME} IS )`,
);
const GRANT = new RegExp(`^(GRANT ${NAME} TO ${NAME}(?: WITH .*?)?)(?: GRANTED BY ${NAME})?$`, 's');

function roleStatements(statements: readonly string[]): RoleStatement[] {
  return statements.flatMap((sql): RoleStatement[] => {
    const of = OF_ROLE.exec(sql);
    if (of) return [{ role: plain(of[1] ?? of[2] ?? of[3]!), sql }];
    const grant = GRANT.exec(sql);
    // Who granted it may not be here; it is granted by whoever restores.
    return grant ? [{ role: plain(grant[2]!), member: plain(grant[3]!), sql: grant[1]! }] : [];
  });
}

function plain(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}
