import { DguardError } from '../../errors.ts';
import type { Dump, DumpFacts, DumpRequest, EngineSource, Member, TableFact } from '../types.ts';
import { countRows, listTables, readSchema, type TableInfo } from './catalog.ts';
import { dumpArguments, type RunningDump, startDump } from './dump-tool.ts';
import type { SourceFacts } from './facts.ts';
import { serverError } from './failures.ts';
import { freezeServer } from './freeze.ts';
import type { MysqlOptions } from './options.ts';
import { refuseBlind } from './privileges.ts';
import { withoutSandboxLine } from './sandbox-line.ts';
import { type Definitions, hashDefinitions, readDefinitions } from './schema-hash.ts';
import { leftOut } from './select.ts';
import { onlyDatabase, openServer, type Server } from './server.ts';
import { readServer, type ServerInfo } from './server-info.ts';
import { literal, type Session } from './session.ts';
import { compareVersions, type Tools } from './tools.ts';

export const DUMP_MEMBER = 'database.sql';

/** How long commits may be held up for the dump tool to begin; it takes some milliseconds. */
const MAX_FREEZE_MS = 10_000;

/**
 * Starts the dump tool and a session of our own at the same moment: while no commit goes through, both begin
 * their snapshots. Rows are counted in ours while the tool works.
 */
export async function dumpDatabase(source: EngineSource<MysqlOptions>, request: DumpRequest): Promise<Dump> {
  const server = openServer(source);
  const schema = request.database ?? onlyDatabase(server);
  const subject = `${source.name}/${schema}`;
  const open: { session?: Session; side?: Session; main?: RunningDump } = {};
  const close = async () => {
    await open.main?.stop();
    await open.session?.close();
    await open.side?.close();
    await server.dispose();
  };
  try {
    const session = await server.open();
    open.session = session;
    const side = await server.open();
    open.side = side;
    const info = await readServer(session);
    const defaults = await readSchema(session, schema);
    if (defaults === undefined) throw noSchema(schema, subject);
    const tools = await server.tools(info);
    await refuseBlind(side, schema, info, subject);
    await refuseGenerated(side, schema, info, tools, subject);
    warnOfEngines(await listTables(side, schema), source, subject);

    const freeze = await freezeServer(server, info);
    let exact = freeze !== undefined;
    let tables: TableInfo[];
    let without: readonly TableInfo[];
    let snapshotAt: Date;
    try {
      await session.run('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await session.run('START TRANSACTION WITH CONSISTENT SNAPSHOT');
      snapshotAt = source.now();
      tables = await listTables(side, schema);
      without = leftOut(tables, schema, request, subject, source.warn);
      const timer = setTimeout(() => {
        exact = false;
        freeze?.release().catch(() => {});
      }, MAX_FREEZE_MS);
      try {
        const argv = await mainArguments(server, tools, schema, tables, without);
        open.main = await startDump(
          server,
          argv,
          tables.filter((table) => !without.includes(table)),
          subject,
        );
      } finally {
        clearTimeout(timer);
      }
    } finally {
      await freeze?.release();
    }
    const kept = tables.filter((table) => !without.includes(table));
    const sizeBytes = kept.reduce((sum, table) => sum + table.sizeBytes, 0);
    const nonTransactional = kept.filter((table) => table.kind === 'table' && !table.transactional);
    let counting: Promise<readonly TableFact[]> | undefined;
    const count = () => {
      counting ??= countRows(session, schema, kept).then(async (counted) => {
        await session.run('COMMIT');
        return counted;
      });
      counting.catch(() => {});
      return counting;
    };
    const begun = readDefinitions(side, schema, tables);
    begun.catch(() => {});
    const patterned = request.include.length > 0 || request.exclude.length > 0;
    const main = open.main;
    async function* stream(): AsyncGenerator<Uint8Array> {
      count();
      const structures = without.filter(({ kind }) => kind !== 'view');
      if (structures.length === 0) return yield* main.read();
      yield* await definitions(server, tools, schema, structures, subject);
      yield* withoutSandboxLine(main.read());
    }
    return {
      snapshotAt,
      identity: `${info.identity}/${schema}`,
      expectedBytes: sizeBytes,
      ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
      async *members(): AsyncGenerator<Member> {
        yield {
          kind: 'stream',
          path: DUMP_MEMBER,
          media: 'application/sql',
          format: 'sql',
          open: stream,
          tables: count,
        };
      },
      async facts(): Promise<DumpFacts> {
        const counted = await count().catch((error: unknown) => {
          throw serverError(error, 'source_failed', 'count rows', subject);
        });
        const sha256 = await unchanged(begun, () => readDefinitions(side, schema, tables), subject);
        const engine: SourceFacts = {
          flavour: info.flavour,
          version: info.version,
          schema,
          ...defaults!,
          lower_case_table_names: info.lowerCaseTableNames,
          counts: exact ? 'exact' : 'approximate',
          non_transactional: nonTransactional.map(({ name }) => name),
          without_rows: without.filter(({ kind }) => kind !== 'view').map(({ name }) => name),
        };
        return {
          database_version: info.versionText,
          tool: tools.name,
          tool_version: tools.flavour === 'mariadb' ? `${tools.version}-MariaDB` : tools.version,
          consistency: nonTransactional.length > 0 ? 'none' : 'snapshot',
          ...(patterned || sha256 === undefined ? {} : { schema_sha256: sha256 }),
          tables_count: counted.length,
          rows: counted.reduce((sum, table) => sum + (table.rows ?? 0), 0),
          engine: { ...engine },
        };
      },
      close,
    };
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/**
 * The schema's hash; undefined where code was changed meanwhile, and the dump may have either. A table whose
 * definition changed under the dump fails it: not every server notices that itself.
 */
async function unchanged(
  begun: Promise<Definitions>,
  read: () => Promise<Definitions>,
  subject: string,
): Promise<string | undefined> {
  let before: Definitions;
  let after: Definitions;
  try {
    before = await begun;
    after = await read();
  } catch (error) {
    throw serverError(error, 'source_failed', 'read definitions', subject);
  }
  const changed = [...before].filter(([key, text]) => key.startsWith('table ') && after.get(key) !== text);
  if (changed.length > 0) {
    const named = changed.slice(0, 5).map(([key]) => key.slice('table '.length));
    throw new DguardError(
      'source_failed',
      `tables were altered while they were dumped: ${named.join(', ')}`,
      {
        operation: 'dump',
        subject,
        hint: 'run the backup again; not while migrations run',
      },
    );
  }
  const [first, second] = [hashDefinitions(before), hashDefinitions(after)];
  return first === second ? first : undefined;
}

async function mainArguments(
  server: Server,
  tools: Tools,
  schema: string,
  tables: readonly TableInfo[],
  without: readonly TableInfo[],
): Promise<string[]> {
  const history =
    tools.flavour === 'mariadb' &&
    compareVersions(tools.version, '10.11.0') >= 0 &&
    tables.some((table) => table.versioned);
  return [
    ...(await dumpArguments(server, tools)),
    '--routines',
    '--events',
    ...(history ? ['--dump-history'] : []),
    ...without.map(({ name }) => `--ignore-table=${schema}.${name}`),
    schema,
  ];
}

/** Definitions of the tables whose rows are left out: they come first, as others refer to them. */
async function definitions(
  server: Server,
  tools: Tools,
  schema: string,
  tables: readonly TableInfo[],
  subject: string,
): Promise<AsyncGenerator<Uint8Array>> {
  const argv = [
    ...(await dumpArguments(server, tools)),
    '--no-data',
    schema,
    ...tables.map(({ name }) => name),
  ];
  return (await startDump(server, argv, tables, subject)).read();
}

/**
 * MariaDB's tool writes the values of MySQL's generated columns into its dump, which MySQL refuses to load: no
 * backup at all is better than one that cannot be restored.
 */
async function refuseGenerated(
  session: Session,
  schema: string,
  info: ServerInfo,
  tools: Tools,
  subject: string,
): Promise<void> {
  if (info.flavour !== 'mysql' || tools.flavour !== 'mariadb') return;
  const rows = await session.rows<{ name: string }>(
    `SELECT DISTINCT TABLE_NAME AS name FROM information_schema.COLUMNS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND EXTRA LIKE '%GENERATED%' AND EXTRA NOT LIKE 'DEFAULT_GENERATED%'`,
  );
  if (rows.length === 0) return;
  const named = rows.slice(0, 5).map(({ name }) => name);
  throw new DguardError(
    'tool_version',
    `MariaDB's ${tools.name} cannot dump generated columns of MySQL so that they can be restored: ${named.join(', ')}`,
    {
      operation: 'dump',
      subject,
      hint: "install MySQL's own client tools, or say where they are: client_path",
    },
  );
}

function warnOfEngines(
  tables: readonly TableInfo[],
  source: EngineSource<MysqlOptions>,
  subject: string,
): void {
  const unsafe = tables.filter((table) => table.kind === 'table' && !table.transactional);
  if (unsafe.length === 0) return;
  const named = unsafe.slice(0, 10).map(({ name, engine }) => `${name} (${engine})`);
  source.warn({
    message: `tables without transactions may change while they are dumped: ${named.join(', ')}${unsafe.length > 10 ? ', …' : ''}; ALTER TABLE … ENGINE=InnoDB`,
    subject,
    partial: false,
  });
}

function noSchema(schema: string, subject: string): DguardError {
  return new DguardError('source_failed', `there is no database ${schema}, or the account may not see it`, {
    operation: 'dump',
    subject,
    hint: 'list the databases: SHOW DATABASES',
  });
}
