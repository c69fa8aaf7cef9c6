import type { Member } from '../../member.ts';
import type { Dump, DumpFacts, DumpRequest, EngineSource, TableFact } from '../../types.ts';
import type { SourceFacts } from '../facts.ts';
import { jsonlMembers } from '../jsonl/jsonl-members.ts';
import type { MysqlOptions } from '../options.ts';
import type { CodeName } from '../server/code.ts';
import { serverError } from '../server/failures.ts';
import { warnOfElsewhere, warnOfHistory } from './dump-preflight.ts';
import { dumpStream, dumpsHistory, startRest } from './dump-stream.ts';
import { isUnprotected, openSnapshot, type Snapshot } from './snapshot.ts';
import { watchUnchanged } from './unchanged.ts';
import { usersMember } from './users.ts';

export const DUMP_MEMBER = 'database.sql';

interface Content {
  readonly members: readonly Member[];
  /** Rows of the tables, once they have been read. */
  count(): Promise<readonly TableFact[]>;
}

/** Opens a snapshot of one schema and offers it as a script, or as JSON lines. */
export async function dumpDatabase(source: EngineSource<MysqlOptions>, request: DumpRequest): Promise<Dump> {
  const rowsAsJson = request.format === 'jsonl';
  const start = rowsAsJson ? async () => [] : startRest;
  const snapshot = await openSnapshot(source, { ...request, start });
  const { schema, subject, without, kept, info, tools, defaults } = snapshot;
  warnOfHistory(kept, !rowsAsJson && dumpsHistory(tools), source, subject);
  warnOfElsewhere(kept, source, subject);
  const users = source.options.include_users ? [usersMember(snapshot)] : [];
  const definitions = await watchUnchanged(snapshot).catch(async (error: unknown) => {
    await snapshot.close();
    throw serverError(error, 'source_failed', 'read definitions', subject);
  });
  const content = rowsAsJson
    ? jsonlMembers(snapshot, definitions.code)
    : wholeDump(snapshot, definitions.code);
  const nonTransactional = snapshot.locked ? [] : kept.filter(isUnprotected);
  const patterned = request.include.length > 0 || request.exclude.length > 0;
  return {
    snapshotAt: snapshot.snapshotAt,
    identity: `${info.identity}/${schema}`,
    expectedBytes: kept.reduce((sum, table) => sum + table.sizeBytes, 0),
    ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
    async *members(): AsyncGenerator<Member> {
      yield* [...content.members, ...users].sort((a, b) => (a.path < b.path ? -1 : 1));
    },
    async facts(): Promise<DumpFacts> {
      const counted = await content.count().catch((error: unknown) => {
        throw serverError(error, 'source_failed', 'count rows', subject);
      });
      const sha256 = await definitions.check();
      await snapshot.same.checkAll(kept.filter(({ kind }) => kind === 'table')).catch((error: unknown) => {
        throw serverError(error, 'source_failed', 'read table ids', subject);
      });
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

/** One script, such as the server's own tools write. */
function wholeDump(snapshot: Snapshot, code: readonly CodeName[]): Content {
  const { read, count } = dumpStream(snapshot, code);
  const member: Member = {
    kind: 'stream',
    path: DUMP_MEMBER,
    media: 'application/sql',
    format: 'sql',
    open: read,
    tables: count,
  };
  return { members: [member], count };
}
