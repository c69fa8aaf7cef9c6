import { DguardError } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { countLargeObjects, countRows, listTables, placesOfRows, type TableInfo } from '../server/catalog.ts';
import { schemaHash } from '../server/schema-hash.ts';
import type { Session } from '../server/session.ts';

export interface Expected {
  readonly tables: readonly TableFact[];
  readonly largeObjects?: number;
  readonly schemaSha256?: string;
}

export interface Compared {
  readonly tables: readonly TableFact[];
  readonly sameSchema: boolean;
}

/**
 * Holds a restored database against what was recorded inside the dump's snapshot. Throws `corrupt` for rows
 * that are missing or too many; whether a different schema is an error is the caller's to say.
 */
export async function compareDatabase(
  session: Session,
  expected: Expected,
  subject: string,
): Promise<Compared> {
  await session.run("SET search_path TO ''");
  const tables = await listTables(session);
  const found = await countRows(session, tables);
  const rows = new Map(found.map(({ name, rows: count }) => [name, count]));
  const problems: string[] = [];
  for (const table of together(expected.tables, tables, rows)) {
    const count = rows.get(table.name);
    if (count === undefined) problems.push(`${table.name} is missing`);
    else if (table.rows !== undefined && count !== table.rows) {
      problems.push(`${table.name} has ${count} rows, ${table.rows} were recorded`);
    }
  }
  if (expected.largeObjects !== undefined) {
    const count = await countLargeObjects(session);
    if (count !== expected.largeObjects)
      problems.push(`${count} large objects, ${expected.largeObjects} were recorded`);
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
  const names = new Set(expected.tables.map(({ name }) => name));
  return {
    tables: found.filter(({ name }) => names.has(name)),
    sameSchema:
      expected.schemaSha256 === undefined ||
      (await schemaHash(session, { largeObjects: expected.largeObjects !== undefined })) ===
        expected.schemaSha256,
  };
}

/**
 * What was recorded, with partitions by the hash of an enum as one: their rows lie in others of them by right.
 * Adds the rows that were found in all of them to `rows`.
 */
function together(
  expected: readonly TableFact[],
  tables: readonly TableInfo[],
  rows: Map<string, number>,
): readonly TableFact[] {
  const placeOf = placesOfRows(tables);
  const placed = new Map<string, string>();
  for (const table of tables) {
    const place = placeOf(table);
    if (place === table || !rows.has(table.name)) continue;
    placed.set(table.name, place.name);
    rows.set(place.name, (rows.get(place.name) ?? 0) + rows.get(table.name)!);
  }
  const sums = new Map<string, TableFact>();
  for (const one of expected) {
    const name = placed.get(one.name) ?? one.name;
    const sum = sums.get(name) ?? { name, rows: 0 };
    const known = sum.rows !== undefined && one.rows !== undefined;
    sums.set(name, known ? { name, rows: sum.rows + one.rows } : { name });
  }
  return [...sums.values()];
}
