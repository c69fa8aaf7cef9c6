import { DguardError } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { countRows, listTables, type TableInfo } from '../server/catalog.ts';
import { schemaHash } from '../server/schema-hash.ts';
import type { Session } from '../server/session.ts';

export interface Expected {
  readonly tables: readonly TableFact[];
  /** Tables whose counts may differ by right. */
  readonly approximate: (table: string) => boolean;
  readonly schemaSha256?: string;
  /** To the source, not to the target, time ends in 2038: see `oldEndFailure`. */
  readonly oldEnd: boolean;
}

export interface Compared {
  readonly tables: readonly TableFact[];
  readonly sameSchema: boolean;
  /** Counts that differ where they may. */
  readonly differing: readonly string[];
}

/**
 * Holds a loaded schema against what was recorded. Throws `corrupt` for rows that are missing or too many, and
 * `target_failed` where the target takes what is current for history.
 */
export async function compareSchema(
  session: Session,
  schema: string,
  expected: Expected,
  subject: string,
): Promise<Compared> {
  const tables = await listTables(session, schema);
  await session.run('START TRANSACTION');
  const found = await countRows(session, schema, tables);
  await session.run('COMMIT');
  // A server may write names in small letters (lower_case_table_names); elsewhere two may differ by nothing else.
  const exact = new Map(found.map((table) => [table.name, table]));
  const folded = new Map(found.map((table) => [table.name.toLowerCase(), table]));
  const find = (name: string) => exact.get(name) ?? folded.get(name.toLowerCase());
  const problems: string[] = [];
  const differing: string[] = [];
  const emptied = new Set<string>();
  for (const table of expected.tables) {
    const count = find(table.name)?.rows;
    if (count === undefined) problems.push(`${table.name} is missing`);
    else if (table.rows !== undefined && count !== table.rows) {
      if (count === 0) emptied.add(find(table.name)!.name);
      const text = `${table.name} has ${count} rows, ${table.rows} were recorded`;
      (expected.approximate(table.name) ? differing : problems).push(text);
    }
  }
  const inThePast = tables.filter(({ name, versioned }) => versioned && emptied.has(name));
  if (expected.oldEnd && inThePast.length > 0 && problems.length <= inThePast.length)
    throw oldEndFailure(inThePast, subject);
  if (problems.length > 0) {
    throw new DguardError(
      'corrupt',
      `what came back is not what was dumped: ${problems.slice(0, 5).join('; ')}`,
      {
        operation: 'compare',
        subject,
        hint: 'the target was not touched; restore an older backup, or verify this one',
      },
    );
  }
  const wanted = new Set(expected.tables.map(({ name }) => find(name)));
  return {
    tables: found.filter((table) => wanted.has(table)),
    differing,
    sameSchema:
      expected.schemaSha256 === undefined ||
      (await schemaHash(session, schema, tables)) === expected.schemaSha256,
  };
}

/**
 * A current row of a table with system versioning ends at the end of time. That is 2106 since MariaDB 11.5, and 2038
 * before: a history that was dumped there says of every current row that it ends in 2038
 * (https://jira.mariadb.org/browse/MDEV-32188).
 */
function oldEndFailure(tables: readonly TableInfo[], subject: string): DguardError {
  const names = tables.slice(0, 5).map(({ name }) => name);
  return new DguardError(
    'target_failed',
    `rows of ${names.join(', ')}, with system versioning, came in as history: time ended in 2038 for the server they are of, and ends later for this one`,
    {
      operation: 'compare',
      subject,
      hint: 'the target was not touched; restore to a MariaDB before 11.5 and upgrade that, or restore a backup with format: jsonl (without history)',
    },
  );
}
