import { DguardError } from '../../../errors.ts';
import type { Member } from '../../member.ts';
import type { Dump, DumpFacts, DumpRequest, EngineSource, TableFact } from '../../types.ts';
import { jsonlMembers } from '../jsonl/jsonl-dump.ts';
import { listKept } from '../merge/kept.ts';
import type { PostgresOptions } from '../options.ts';
import { tablesWithoutRows } from '../select.ts';
import { countLargeObjects, countRows, estimateRows, isStandby, type TableInfo } from '../server/catalog.ts';
import { SET_MONEY } from '../server/connection.ts';
import { type DatabaseFacts, databaseSize, readDatabase } from '../server/database.ts';
import { serverError } from '../server/failures.ts';
import { schemaHash } from '../server/schema-hash.ts';
import { openServer, type Server } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import { loadsBack } from '../server/tools.ts';
import { beginLocked } from './begin-locked.ts';
import { beginDump } from './members.ts';
import { refuseAlteredTypes } from './same-objects.ts';
import type { Snapshot } from './snapshot.ts';
import type { SourceFacts } from './source-facts.ts';
import { readSurroundings, readSystemIdentifier, readVersion, refuseUnreadable } from './source-facts.ts';

/** Opens a snapshot of one database and offers it as a dump of PostgreSQL's own, and its globals. */
export async function dumpDatabase(
  source: EngineSource<PostgresOptions>,
  request: DumpRequest,
): Promise<Dump> {
  const server = openServer(source);
  const database = request.database ?? onlyDatabase(server);
  const subject = `${source.name}/${database}`;
  let session: Session | undefined;
  const closed = new AbortController();
  let ended = async (): Promise<void> => {};
  const close = async () => {
    closed.abort();
    await ended();
    await session?.close();
    await server.dispose();
  };
  try {
    const opening = server.open(database);
    // While the server looks at the password.
    server.lookForTools();
    session = await opening;
    const version = await readVersion(session);
    const tools = await server.tools(version.major);
    if (!loadsBack(tools.major, version.major)) {
      throw new DguardError(
        'tool_version',
        `what pg_dump ${tools.version} writes does not load into PostgreSQL ${version.text}, the server that it would be of`,
        {
          operation: 'dump',
          subject,
          hint: `apt-get install postgresql-client-${version.major}, or say where it is: client_path`,
        },
      );
    }
    if (tools.major !== version.major) {
      const message = `pg_dump ${tools.version} dumps the server ${version.text}: a restore needs the same or a newer client, and may not load into a server of ${version.major}`;
      source.warn({ message, subject, partial: false });
    }
    await session.run("SET search_path TO ''");
    await session.run(SET_MONEY);
    await refuseUnreadable(session, subject);
    const system =
      (await readSystemIdentifier(session)) ??
      `${server.connection.host ?? 'localhost'}:${server.connection.port ?? 5432}`;
    const size = await databaseSize(session, database);

    const tables = await beginLocked(session, server.lockTimeoutMs, subject);
    const [exported] = await session.rows<{ id: string; encoding: string }>(
      'SELECT pg_catalog.pg_export_snapshot() AS id, pg_catalog.getdatabaseencoding() AS encoding',
    );
    const snapshotAt = source.now();
    const standby = await isStandby(session);
    const withoutRows = await tablesWithoutRows(tables, request, subject, source.warn);
    if (standby) warnOfUnlogged(source, tables, withoutRows, subject);
    const snapshot: Snapshot = {
      server,
      session,
      database,
      ...exported!,
      tools,
      tables,
      withoutRows,
      standby,
      keptSchemas: (await listKept(session)).map(({ name }) => name),
      ...(size === undefined ? {} : { sizeBytes: size }),
      readsPasswords: await readsPasswords(session),
      signal: AbortSignal.any([source.signal, closed.signal]),
      said: [],
      largeData: [],
      countsRows: server.source.options.row_counts !== 'estimate',
      dumpedRows: new Map(),
    };
    const begun = request.format === 'jsonl' ? undefined : beginDump(snapshot, request, subject);
    if (begun) ({ ended } = begun);
    // All else is asked in the same snapshot, while pg_dump works.
    const description = describe(snapshot, version.num, subject, begun !== undefined);
    description.catch(() => {});
    let counting: Promise<readonly TableFact[]> | undefined;
    const count = () => {
      // The savepoints of the count are no place for other statements.
      counting ??= description.then(() => countKept(snapshot));
      counting.catch(() => {});
      return counting;
    };
    const rowsAsJson = begun ? undefined : await jsonlMembers(snapshot, subject, version.text);
    if (rowsAsJson) ({ ended } = rowsAsJson);
    const patterned = request.include.length > 0 || request.exclude.length > 0;
    return {
      snapshotAt,
      identity: `${system}/${database}`,
      ...(size === undefined ? {} : { expectedBytes: size }),
      ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
      members: (): AsyncIterable<Member> =>
        begun ? begun.members(description, count) : inOrder(rowsAsJson!.members),
      facts: async (): Promise<DumpFacts> => {
        const counted = await (rowsAsJson?.count ?? count)();
        const { facts, schema } = await description;
        await refuseAlteredTypes(snapshot.session, subject).catch((error: unknown) => {
          throw serverError(error, 'source_failed', 'dump', subject);
        });
        const { extensions } = facts;
        const output = snapshot.said.join('\n').trim().slice(-4000);
        return {
          database_version: version.text,
          tool: 'pg_dump',
          tool_version: tools.version,
          consistency: 'snapshot',
          extensions: extensions.map((extension) => `${extension.name} ${extension.version}`),
          schema_sha256: schema,
          tables_count: counted.length,
          ...(counted.some(({ rows }) => rows === undefined)
            ? {}
            : { rows: counted.reduce((sum, { rows }) => sum + rows!, 0) }),
          ...(output === '' ? {} : { engine_output: output }),
          engine: { ...facts, large_data: snapshot.largeData },
        };
      },
      close,
    };
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

async function* inOrder(members: readonly Member[]): AsyncGenerator<Member> {
  yield* members;
}

/** The database of a source that names just one. */
export function onlyDatabase(server: Server): string {
  const { options, name } = server.source;
  const named = options.database[0] ?? server.connection.database;
  if (named !== undefined && options.database.length < 2 && !options.all_databases) return named;
  throw new DguardError('usage', 'the datasource does not name exactly one database', {
    operation: 'choose database',
    subject: name,
    hint: 'say which one: --to-database NAME, or database: NAME in the configuration',
  });
}

interface Description {
  readonly facts: Omit<SourceFacts, 'large_data'>;
  /** The schema's hash. */
  readonly schema: string;
}

/** What the manifest says of the source beside its rows. */
async function describe(
  snapshot: Snapshot,
  versionNum: number,
  subject: string,
  largeObjects: boolean,
): Promise<Description> {
  const { session, countsRows, database, sizeBytes, tools, tables, withoutRows } = snapshot;
  try {
    const facts = (await readDatabase(session, database)) as DatabaseFacts;
    // The server locks views to write their definitions. Kept, these locks would make pg_dump wait for ever, behind whoever
    // waits meanwhile to alter one: its time limit is for tables alone.
    await session.run('SAVEPOINT hashed');
    const schema = await schemaHash(session, { largeObjects });
    await session.run('ROLLBACK TO SAVEPOINT hashed; RELEASE SAVEPOINT hashed');
    return {
      facts: {
        server_version_num: versionNum,
        tool_major: tools.major,
        database: { ...facts, ...(sizeBytes === undefined ? {} : { size_bytes: sizeBytes }) },
        ...(await readSurroundings(session)),
        large_objects: await countLargeObjects(session),
        without_rows: withoutRows.map((table) => table.name),
        parents: parentNames(tables),
        row_counts: countsRows ? 'exact' : 'estimate',
      },
      schema,
    };
  } catch (error) {
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/** How many tables a warning names. */
const NAMED = 5;

/** Of no harm to the backup: their rows are not at a standby, and a crash of the primary empties them. */
function warnOfUnlogged(
  source: EngineSource<PostgresOptions>,
  tables: readonly TableInfo[],
  withoutRows: readonly TableInfo[],
  subject: string,
): void {
  const left = new Set(withoutRows.map(({ oid }) => oid));
  const names = tables
    .filter(({ oid, unlogged, partitioned }) => unlogged && !partitioned && !left.has(oid))
    .map(({ name }) => name);
  if (names.length === 0) return;
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  const message = `the server is a standby, which has no rows of unlogged tables: only the definitions are backed up of ${names.slice(0, NAMED).join(', ')}${more}`;
  source.warn({ message, subject, partial: false });
}

async function readsPasswords(session: Session): Promise<boolean> {
  const [row] = await session.rows<{ readable: boolean }>(
    "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS readable",
  );
  return row!.readable;
}

/** The tables that each partition or child is one of, by name. */
function parentNames(tables: readonly TableInfo[]): SourceFacts['parents'] {
  const names = new Map(tables.map(({ oid, name }) => [oid, name]));
  return Object.fromEntries(
    tables
      .filter(({ parents }) => parents.length > 0)
      .map(({ name, parents }) => [name, parents.flatMap((oid) => names.get(oid) ?? [])]),
  );
}

/**
 * The rows of each table that is kept. The dump's own are as many as it has lines of them: it was made in the very
 * snapshot, and a second look at all rows would cost the server as much as the first. The rest is asked.
 */
async function countKept(snapshot: Snapshot): Promise<readonly TableFact[]> {
  const left = new Set(snapshot.withoutRows.map((table) => table.oid));
  const counted = snapshot.tables.filter(
    (table) => !left.has(table.oid) && !(snapshot.standby && table.unlogged),
  );
  try {
    if (!snapshot.countsRows) return await estimateRows(snapshot.session, counted);
    const { dumpedRows } = snapshot;
    const known = counted.flatMap(({ oid, name }) =>
      dumpedRows.has(oid) ? [{ name, rows: dumpedRows.get(oid)! }] : [],
    );
    const asked = counted.filter(({ oid }) => !dumpedRows.has(oid));
    // By the session that holds the locks: another would wait behind whoever waits to alter a table, who waits
    // for this one to end, and nobody could see the circle.
    const facts = [...known, ...(await countRows(snapshot.session, asked, true))];
    return facts.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const subject = `${snapshot.server.source.name}/${snapshot.database}`;
    throw serverError(error, 'source_failed', 'count rows', subject);
  }
}
