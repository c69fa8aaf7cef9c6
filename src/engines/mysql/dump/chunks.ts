import { listPartitions, type TableInfo } from '../server/catalog.ts';
import type { ColumnInfo } from '../server/columns.ts';
import { identifier, type Session } from '../server/session.ts';

/** A part of a table's rows, in the order of its primary key. */
export interface Chunk {
  readonly table: TableInfo;
  readonly columns: readonly ColumnInfo[];
  /** Those in one of its partitions; undefined: wherever they lie. */
  readonly partition?: string;
  /** A condition on the primary key; undefined: all rows. */
  readonly where?: string;
}

/** Of a table's data on the server's disk. */
const CHUNK_BYTES = 4 * 1024 * 1024;
const INTEGERS = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint'];

/**
 * The rows of tables in parts of about 4 MiB: a table with one integer as its primary key is cut at multiples of
 * a power of two, so that rows which were there before are cut in the same places again; others are not cut.
 *
 * A table with partitions is read one by one. MySQL refuses what was made after the snapshot (TRUNCATE PARTITION, a
 * rebuild) only where it is the first that a query by an index comes to, and reads others as empty. And a condition
 * on the key would pass by rows in a partition that they do not belong to (EXCHANGE … WITHOUT VALIDATION).
 */
export async function* planChunks(
  session: Session,
  schema: string,
  tables: readonly { readonly table: TableInfo; readonly columns: readonly ColumnInfo[] }[],
): AsyncGenerator<Chunk> {
  const partitions = await listPartitions(
    session,
    schema,
    tables.length === 1 ? tables[0]!.table.name : undefined,
  );
  for (const { table, columns } of tables) {
    // Of one that is named MariaDB shows what its rows once were, too. NDB lists its own, and takes the name of none.
    const isNamed = table.engine === 'InnoDB' && !table.versioned;
    const names = isNamed ? (partitions.get(table.name) ?? []) : [];
    if (names.length > 0) {
      for (const partition of names) yield { table, columns, partition };
      continue;
    }
    const key = columns.filter(({ primaryKey }) => primaryKey > 0);
    const cuttable = key.length === 1 && INTEGERS.includes(key[0]!.dataType);
    if (!cuttable || table.sizeBytes < 2 * CHUNK_BYTES) {
      yield { table, columns };
      continue;
    }
    const name = identifier(key[0]!.name);
    await session.run('SAVEPOINT dguard');
    const [row] = await session.rows<{ low: string | null; high: string | null }>(
      `SELECT MIN(${name}) AS low, MAX(${name}) AS high FROM ${identifier(schema)}.${identifier(table.name)}`,
    );
    await session.run('ROLLBACK TO SAVEPOINT dguard');
    const cuts =
      row?.low == null || row.high == null
        ? []
        : cutPoints(BigInt(row.low), BigInt(row.high), table.sizeBytes);
    for (const where of conditions(name, cuts))
      yield where === undefined ? { table, columns } : { table, columns, where };
  }
}

/** Multiples of a power of two within (low, high], about `CHUNK_BYTES` apart where keys lie evenly. */
export function cutPoints(low: bigint, high: bigint, sizeBytes: number): bigint[] {
  const keysPerChunk = (Number(high - low) + 1) / Math.max(1, sizeBytes / CHUNK_BYTES);
  const step = 1n << BigInt(Math.max(0, Math.floor(Math.log2(keysPerChunk))));
  const points: bigint[] = [];
  // The first multiple above `low`, also below zero.
  const floor = low / step - (low % step < 0n ? 1n : 0n);
  for (let point = (floor + 1n) * step; point <= high; point += step) points.push(point);
  return points;
}

/** Conditions that every key meets exactly one of, whatever keys there are. */
export function conditions(name: string, cuts: readonly bigint[]): (string | undefined)[] {
  if (cuts.length === 0) return [undefined];
  return [
    `${name} < ${cuts[0]}`,
    ...cuts.slice(1).map((cut, at) => `${name} >= ${cuts[at]} AND ${name} < ${cut}`),
    `${name} >= ${cuts.at(-1)}`,
  ];
}
