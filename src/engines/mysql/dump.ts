import type { Dump, DumpFacts, DumpRequest, EngineSource, Member, TableFact } from '../types.ts';
import { countRows, type TableInfo } from './catalog.ts';
import { dumpArguments, startDump } from './dump-tool.ts';
import type { SourceFacts } from './facts.ts';
import { serverError } from './failures.ts';
import type { MysqlOptions } from './options.ts';
import { parallelStream, readableTables, startRest } from './parallel-dump.ts';
import { withoutSandboxLine } from './sandbox-line.ts';
import { readDefinitions } from './schema-hash.ts';
import { openSnapshot, type Snapshot } from './snapshot.ts';
import { compareVersions } from './tools.ts';
import { unchanged } from './unchanged.ts';

export const DUMP_MEMBER = 'database.sql';

/** What a dump's bytes are, and the rows of its tables once they have been read. */
interface Content {
  read(): AsyncGenerator<Uint8Array>;
  count(): Promise<readonly TableFact[]>;
}

/** Opens a snapshot of one schema and offers it as a dump of the server's own tool, by several connections or one. */
export async function dumpDatabase(source: EngineSource<MysqlOptions>, request: DumpRequest): Promise<Dump> {
  const readers = request.parallelJobs > 1 ? request.parallelJobs : 0;
  const snapshot = await openSnapshot(source, {
    ...request,
    readers,
    start: async (moment) =>
      moment.readers.length > 0
        ? await startRest(moment, await readableTables(moment))
        : [await startWhole(moment)],
  });
  try {
    const content = snapshot.readers.length > 0 ? await parallelStream(snapshot) : wholeStream(snapshot);
    return describe(snapshot, request, content);
  } catch (error) {
    await snapshot.close();
    throw serverError(error, 'source_failed', 'dump', snapshot.subject);
  }
}

function describe(snapshot: Snapshot, request: DumpRequest, content: Content): Dump {
  const { side, schema, subject, tables, without, kept, info, tools, defaults } = snapshot;
  const nonTransactional = kept.filter((table) => table.kind === 'table' && !table.transactional);
  const begun = readDefinitions(side, schema, tables);
  begun.catch(() => {});
  const patterned = request.include.length > 0 || request.exclude.length > 0;
  return {
    snapshotAt: snapshot.snapshotAt,
    identity: `${info.identity}/${schema}`,
    expectedBytes: kept.reduce((sum, table) => sum + table.sizeBytes, 0),
    ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
    async *members(): AsyncGenerator<Member> {
      yield {
        kind: 'stream',
        path: DUMP_MEMBER,
        media: 'application/sql',
        format: 'sql',
        open: content.read,
        tables: content.count,
      };
    },
    async facts(): Promise<DumpFacts> {
      const counted = await content.count().catch((error: unknown) => {
        throw serverError(error, 'source_failed', 'count rows', subject);
      });
      const sha256 = await unchanged(begun, () => readDefinitions(side, schema, tables), subject);
      const engine: SourceFacts = {
        flavour: info.flavour,
        version: info.version,
        schema,
        ...defaults,
        lower_case_table_names: info.lowerCaseTableNames,
        counts: snapshot.exact ? 'exact' : 'approximate',
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
    close: snapshot.close,
  };
}

/** One run of the dump tool for everything. Rows are counted in our own session while it works. */
function wholeStream(snapshot: Snapshot): Content {
  const { session, schema, kept, without, running } = snapshot;
  let counting: Promise<readonly TableFact[]> | undefined;
  const count = () => {
    counting ??= countRows(session, schema, kept).then(async (counted) => {
      await session.run('COMMIT');
      return counted;
    });
    counting.catch(() => {});
    return counting;
  };
  return {
    count,
    async *read() {
      count();
      const structures = without.filter(({ kind }) => kind !== 'view');
      if (structures.length === 0) return yield* running[0]!.read();
      yield* await definitions(snapshot, structures);
      yield* withoutSandboxLine(running[0]!.read());
    },
  };
}

async function startWhole(
  moment: Pick<Snapshot, 'server' | 'tools' | 'schema' | 'kept' | 'tables' | 'without' | 'subject'>,
) {
  const { server, tools, schema, tables, without, kept, subject } = moment;
  const history =
    tools.flavour === 'mariadb' &&
    compareVersions(tools.version, '10.11.0') >= 0 &&
    tables.some((table) => table.versioned);
  const argv = [
    ...(await dumpArguments(server, tools)),
    '--routines',
    '--events',
    ...(history ? ['--dump-history'] : []),
    ...without.map(({ name }) => `--ignore-table=${schema}.${name}`),
    schema,
  ];
  return await startDump(server, argv, kept, subject);
}

/** Definitions of the tables whose rows are left out: they come first, as others refer to them. */
async function definitions(
  { server, tools, schema, subject }: Snapshot,
  tables: readonly TableInfo[],
): Promise<AsyncGenerator<Uint8Array>> {
  const argv = [
    ...(await dumpArguments(server, tools)),
    '--no-data',
    schema,
    ...tables.map(({ name }) => name),
  ];
  return (await startDump(server, argv, tables, subject)).read();
}
