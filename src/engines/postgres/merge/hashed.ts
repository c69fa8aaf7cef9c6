import type { TableFact } from '../../types.ts';
import { listTables, placesOfRows } from '../server/catalog.ts';
import type { Session } from '../server/session.ts';
import { refused } from './fit.ts';
import { readShapes, type TableShape } from './shape.ts';

/** A partitioned table that finds the partition of each row, and how many rows all of them have together. */
export interface PlaceAbove {
  readonly table: TableShape;
  readonly count: number;
}

/**
 * The tables that rows of chosen partitions are written into, where the hash of an enum says which partition: by the
 * partition's name. In the stage, and here, they lie in others than in the backup, so only all of them can be
 * replaced. Errors: `target_refused`.
 */
export async function placesAbove(
  session: Session,
  live: readonly TableShape[],
  staged: readonly TableFact[],
  subject: string,
): Promise<ReadonlyMap<string, PlaceAbove>> {
  const tables = await listTables(session);
  const placeOf = placesOfRows(tables);
  const chosen = new Set(live.map(({ name }) => name));
  const leaves = tables.filter((table) => !table.partitioned && placeOf(table) !== table);
  const wanted = leaves.filter(({ name }) => chosen.has(name)).map(placeOf);
  const above = await readShapes(session, [...new Set(wanted)]);
  const rows = new Map(staged.map((table) => [table.name, table.rows ?? 0]));
  const places = new Map<string, PlaceAbove>();
  for (const table of above) {
    const parts = leaves.filter((leaf) => placeOf(leaf).oid === table.oid);
    const others = parts.filter(({ name }) => !chosen.has(name));
    if (others.length > 0) {
      throw refused(
        `the rows of ${table.name} lie in other partitions in each database (by the hash of an enum): ${others.map(({ name }) => name).join(', ')} would have to be replaced too`,
        subject,
        `restore all of it: --only ${table.name}; or to a database of its own: --to-database NAME`,
      );
    }
    const place = { table, count: parts.reduce((sum, { name }) => sum + (rows.get(name) ?? 0), 0) };
    for (const { name } of parts) places.set(name, place);
  }
  return places;
}
