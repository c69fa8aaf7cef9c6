import { DguardError } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { countRows, listTables } from '../server/catalog.ts';
import { schemaHash } from '../server/schema-hash.ts';
import type { Session } from '../server/session.ts';

export interface Expected {
  readonly tables: readonly TableFact[];
  /** Tables whose counts may differ by right. */
  readonly approximate: (table: string) => boolean;
  readonly schemaSha256?: string;
}

export interface Compared {
  readonly tables: readonly TableFact[];
  readonly sameSchema: boolean;
  /** Counts that differ where they may. */
  readonly differing: readonly string[];
}

/** Holds a loaded schema against what was recorded. Throws `corrupt` for rows that are missing or too many. */
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
  const rows = new Map(found.map(({ name, rows: count }) => [name.toLowerCase(), count]));
  const problems: string[] = [];
  const differing: string[] = [];
  for (const table of expected.tables) {
    const count = rows.get(table.name.toLowerCase());
    if (count === undefined) problems.push(`${table.name} is missing`);
    else if (table.rows !== undefined && count !== table.rows) {
      const text = `${table.name} has ${count} rows, ${table.rows} were recorded`;
      (expected.approximate(table.name) ? differing : problems).push(text);
    }
  }
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
  const names = new Set(expected.tables.map(({ name }) => name.toLowerCase()));
  return {
    tables: found.filter(({ name }) => names.has(name.toLowerCase())),
    differing,
    sameSchema:
      expected.schemaSha256 === undefined ||
      (await schemaHash(session, schema, tables)) === expected.schemaSha256,
  };
}
