import { throwIfAborted } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { insertBuffers } from '../rows/insert-buffers.ts';
import { INSERT_BUFFER_BYTES, insertEncoder } from '../rows/insert-encoder.ts';
import { countRows, hasOwnRows } from '../server/catalog.ts';
import type { CodeName } from '../server/code.ts';
import { rowsQuery } from '../server/columns.ts';
import { serverError } from '../server/failures.ts';
import { compareVersions, type Tools } from '../server/tools.ts';
import { planChunks } from './chunks.ts';
import { startDefinitions, startTriggers } from './definitions.ts';
import { refuseGenerated } from './dump-preflight.ts';
import { dumpArguments, type RunningDump, startDump } from './dump-tool.ts';
import { watchLargeRows } from './large-rows.ts';
import { type Moment, restOf } from './moment.ts';
import { readInOrder } from './read-in-order.ts';
import { withoutSandboxLine } from './sandbox-line.ts';
import type { Snapshot } from './snapshot.ts';

/** How many bytes of one part wait for their turn. */
const MAX_PART_BYTES = 4 * 1024 * 1024;

/**
 * Under these rows come in as they are, whatever made them: days that no month has, and rows that a CHECK of MariaDB
 * would refuse today. MySQL, whose CHECKs know no exception, takes `/*M!` for a comment.
 */
const ROW_MODE =
  "time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', unique_checks = 0, foreign_key_checks = 0";

/** Between these statements every INSERT may be carried out by another session that has the same settings. */
export const ROWS_BEGIN = `SET ${ROW_MODE} /*M!100201 , check_constraint_checks = 0 */`;
export const ROWS_END =
  'SET time_zone = @dguard_zone, sql_mode = @dguard_mode, unique_checks = @dguard_unique /*M!100201 , check_constraint_checks = @dguard_checks */';

/** What a session of the dump tool's own sets before it writes rows, and sets back. */
export const BEFORE_ROWS = `
SET @dguard_names = @@character_set_client, @dguard_zone = @@time_zone, @dguard_mode = @@sql_mode;
SET @dguard_unique = @@unique_checks, @dguard_keys = @@foreign_key_checks /*M!100201 , @dguard_checks = @@check_constraint_checks */;
SET NAMES utf8mb4;
${ROWS_BEGIN};

`;
export const AFTER_ROWS = `
${ROWS_END};
SET foreign_key_checks = @dguard_keys, character_set_client = @dguard_names;

`;

/** Whether a dump tool can write what rows of tables with system versioning were before. */
export function dumpsHistory(tools: Tools): boolean {
  return tools.flavour === 'mariadb' && compareVersions(tools.version, '10.11.0') >= 0;
}

/** Starts the dump tool for the rows of the tables that are not read by us; nothing where there are none. */
export async function startRest(snapshot: Moment): Promise<readonly RunningDump[]> {
  const { server, tools, schema, subject } = snapshot;
  const rest = restOf(snapshot);
  if (rest.length === 0) return [];
  await refuseGenerated(snapshot, rest);
  const history = dumpsHistory(tools) && rest.some(({ versioned }) => versioned);
  const argv = [
    ...(await dumpArguments(server, tools)),
    '--no-create-info',
    '--skip-triggers',
    ...(history ? ['--dump-history'] : []),
    // Names may begin with a dash.
    '--',
    schema,
    ...rest.map(({ name }) => name),
  ];
  return [await startDump(server, argv, [], subject)];
}

/**
 * The dump in one stream, as the dump tool alone would order it: definitions, views and routines by the tool,
 * rows by our own sessions, then triggers and events, which must not see the rows come in. Reading rows ourselves
 * costs half of what the tools take for it, keeps all digits of a FLOAT, and counts what is written.
 */
export function dumpStream(
  snapshot: Snapshot,
  code: readonly CodeName[],
): {
  read(): AsyncGenerator<Uint8Array>;
  count(): Promise<readonly TableFact[]>;
} {
  const { server, session, schema, subject, readers, readable, running, info } = snapshot;
  const rest = restOf(snapshot);
  const counts = rest.filter(hasOwnRows);
  const pool = insertBuffers(INSERT_BUFFER_BYTES, 6 * (readers.length + 2));
  const rows = new Map(readable.map(({ table }): [string, number] => [table.name, 0]));
  const large = watchLargeRows(info.maxPacketBytes, server.source, subject);
  let counted: Promise<readonly TableFact[]> | undefined;

  async function* readRows(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(BEFORE_ROWS);
    try {
      yield* readInOrder(
        readers,
        planChunks(session, schema, readable),
        (reader, { table, columns, ...part }) =>
          reader.stream(
            rowsQuery(schema, table.name, columns, part),
            (emit) => {
              const encoder = insertEncoder(table.name, columns, pool, (statement) => {
                large.saw(table.name, statement.length);
                emit(statement);
              });
              return {
                ...encoder,
                end() {
                  encoder.end();
                  rows.set(table.name, rows.get(table.name)! + encoder.rows());
                },
              };
            },
            { maxBytes: MAX_PART_BYTES, pool },
          ),
        ({ table }) => snapshot.same.check(table),
      );
    } catch (error) {
      throwIfAborted(server.source.signal);
      throw serverError(error, 'source_failed', 'dump', subject);
    }
    large.warn();
    yield Buffer.from(AFTER_ROWS);
  }
  return {
    async *read() {
      yield* (await startDefinitions(snapshot)).read();
      // First, as the server does not let a tool wait for long.
      for (const dump of running) yield* withoutSandboxLine(dump.read());
      // The tool gave its locks back: sooner than at the end it cannot be told.
      for (const table of running.length === 0 ? [] : rest)
        await snapshot.same.check(table).catch((error: unknown) => {
          throw serverError(error, 'source_failed', 'read table ids', subject);
        });
      yield* readRows();
      counted = countRows(session, schema, counts);
      // It is asked for at the end; the tool may fail before.
      counted.catch(() => {});
      yield* withoutSandboxLine((await startTriggers(snapshot, code)).read());
    },
    async count() {
      const others = await (counted ?? countRows(session, schema, counts)).catch((error: unknown) => {
        throw serverError(error, 'source_failed', 'count rows', subject);
      });
      const own = [...rows].map(([name, count]) => ({ name, rows: count }));
      return [...own, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
  };
}
