import { throwIfAborted } from '../../errors.ts';
import type { TableFact } from '../types.ts';
import { countRows, type TableInfo } from './catalog.ts';
import { planChunks } from './chunks.ts';
import { type ColumnInfo, listColumns, rowsQuery } from './columns.ts';
import { dumpArguments, type RunningDump, startDump } from './dump-tool.ts';
import { serverError } from './failures.ts';
import { insertEncoder } from './insert-encoder.ts';
import { readInOrder } from './read-in-order.ts';
import { withoutSandboxLine } from './sandbox-line.ts';
import type { Snapshot } from './snapshot.ts';
import { compareVersions } from './tools.ts';

type Moment = Pick<Snapshot, 'server' | 'tools' | 'schema' | 'side' | 'kept' | 'subject'>;

/** A table whose rows we read ourselves. */
interface Readable {
  readonly table: TableInfo;
  readonly columns: readonly ColumnInfo[];
}

/** How many bytes of one part wait for their turn. */
const MAX_PART_BYTES = 4 * 1024 * 1024;

/** What a session of the dump tool's own sets before it writes rows, and sets back. */
const BEFORE_ROWS = `
SET @dguard_names = @@character_set_client, @dguard_zone = @@time_zone, @dguard_mode = @@sql_mode;
SET @dguard_unique = @@unique_checks, @dguard_keys = @@foreign_key_checks;
SET NAMES utf8mb4;
SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', unique_checks = 0, foreign_key_checks = 0;

`;
const AFTER_ROWS = `
SET time_zone = @dguard_zone, sql_mode = @dguard_mode, unique_checks = @dguard_unique;
SET foreign_key_checks = @dguard_keys, character_set_client = @dguard_names;

`;

/** Tables of which one transaction sees one state, and all of whose types are known. */
export async function readableTables({ side, schema, kept }: Moment): Promise<readonly Readable[]> {
  const columns = await listColumns(side, schema);
  return kept
    .filter(({ kind, transactional, versioned }) => kind === 'table' && transactional && !versioned)
    .map((table) => ({
      table,
      columns: (columns.get(table.name) ?? []).filter(({ generated }) => !generated),
    }))
    .filter(({ columns: own }) => own.length > 0 && own.every(({ kind }) => kind !== undefined));
}

/** Starts the dump tool for the rows of all other tables; nothing where there are none. */
export async function startRest(
  { server, tools, schema, kept, subject }: Moment,
  readable: readonly Readable[],
): Promise<readonly RunningDump[]> {
  const rest = restOf(kept, readable);
  if (rest.length === 0) return [];
  const history =
    tools.flavour === 'mariadb' &&
    compareVersions(tools.version, '10.11.0') >= 0 &&
    rest.some(({ versioned }) => versioned);
  const argv = [
    ...(await dumpArguments(server, tools)),
    '--no-create-info',
    '--skip-triggers',
    ...(history ? ['--dump-history'] : []),
    schema,
    ...rest.map(({ name }) => name),
  ];
  return [await startDump(server, argv, [], subject)];
}

function restOf(kept: readonly TableInfo[], readable: readonly Readable[]): TableInfo[] {
  const own = new Set(readable.map(({ table }) => table.name));
  return kept.filter(({ name, kind }) => kind === 'table' && !own.has(name));
}

/**
 * The dump in one stream, as the dump tool alone would order it: definitions, views and routines by the tool,
 * rows by several of our sessions at a time, then triggers and events, which must not see the rows come in.
 */
export async function parallelStream(snapshot: Snapshot): Promise<{
  read(): AsyncGenerator<Uint8Array>;
  count(): Promise<readonly TableFact[]>;
}> {
  const { server, session, schema, tools, subject, readers, without, kept, running } = snapshot;
  const readable = await readableTables(snapshot);
  const rest = restOf(kept, readable);
  const rows = new Map(readable.map(({ table }): [string, number] => [table.name, 0]));
  let counted: Promise<readonly TableFact[]> | undefined;

  const tool = async (...options: string[]) => {
    const views = without.filter(({ kind }) => kind === 'view').map(({ name }) => name);
    const ignored = views.map((name) => `--ignore-table=${schema}.${name}`);
    return [...(await dumpArguments(server, tools)), '--no-data', ...options, ...ignored, schema];
  };
  async function* readRows(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(BEFORE_ROWS);
    try {
      yield* readInOrder(
        readers,
        planChunks(session, schema, readable),
        (reader, { table, columns, where }) =>
          reader.stream(
            rowsQuery(schema, table.name, columns, where),
            (emit) => {
              const encoder = insertEncoder(table.name, columns, emit);
              return {
                row: encoder.row,
                end() {
                  encoder.end();
                  rows.set(table.name, rows.get(table.name)! + encoder.rows());
                },
              };
            },
            MAX_PART_BYTES,
          ),
      );
    } catch (error) {
      throwIfAborted(server.source.signal);
      throw serverError(error, 'source_failed', 'dump', subject);
    }
    yield Buffer.from(AFTER_ROWS);
  }
  return {
    async *read() {
      const tables = snapshot.tables.filter(({ kind }) => kind === 'table');
      const first = await startDump(server, await tool('--skip-triggers', '--routines'), tables, subject);
      yield* first.read();
      // First, as the server does not let a tool wait for long.
      for (const dump of running) yield* withoutSandboxLine(dump.read());
      yield* readRows();
      counted = countRows(session, schema, rest);
      const code = await tool('--no-create-info', '--triggers', '--events');
      const last = await startDump(server, code, [], subject);
      yield* withoutSandboxLine(last.read());
    },
    async count() {
      const others = await (counted ?? countRows(session, schema, rest));
      const own = [...rows].map(([name, count]) => ({ name, rows: count }));
      return [...own, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
  };
}
