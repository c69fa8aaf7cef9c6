import { literal, type Session } from '../server/session.ts';
import type { TableDocument } from './jsonl-document.ts';

/** Indexes and foreign keys of a schema's tables, for who reads an export. */
export async function readKeys(session: Session, schema: string) {
  const indexes = await session.rows<{ t: string; i: string; c: string | null; other: string }>(
    `SELECT TABLE_NAME AS t, INDEX_NAME AS i, COLUMN_NAME AS c, NON_UNIQUE AS other FROM information_schema.STATISTICS
      WHERE TABLE_SCHEMA = ${literal(schema)} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
  );
  const references = await session.rows<{ t: string; k: string; c: string; rt: string; rc: string }>(
    `SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS k, COLUMN_NAME AS c, REFERENCED_TABLE_NAME AS rt,
      REFERENCED_COLUMN_NAME AS rc FROM information_schema.KEY_COLUMN_USAGE
      WHERE TABLE_SCHEMA = ${literal(schema)} AND REFERENCED_TABLE_NAME IS NOT NULL
      ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION`,
  );
  return {
    indexes: (table: string): TableDocument['indexes'] =>
      grouped(
        indexes.filter(({ t }) => t === table),
        ({ i }) => i,
      ).map((parts) => ({
        name: parts[0]!.i,
        unique: parts[0]!.other === '0',
        // An index over an expression has no column there.
        columns: parts.map(({ c }) => c ?? '(expression)'),
      })),
    foreignKeys: (table: string): TableDocument['foreign_keys'] =>
      grouped(
        references.filter(({ t }) => t === table),
        ({ k }) => k,
      ).map((parts) => ({
        name: parts[0]!.k,
        columns: parts.map(({ c }) => c),
        references: { table: parts[0]!.rt, columns: parts.map(({ rc }) => rc) },
      })),
  };
}

function grouped<Row>(rows: readonly Row[], key: (row: Row) => string): Row[][] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return [...groups.values()];
}
