import type { Warning } from '../../types.ts';
import { literal, type Session } from '../server/session.ts';
import type { ColumnSequence, TableShape } from './shape.ts';

/** Where a sequence goes on at least, as `setval` has it. */
export interface SequencePosition {
  /** As SQL. */
  readonly sequence: string;
  readonly value: string;
  /** Whether the value was given out; otherwise it is the next one. */
  readonly called: boolean;
  readonly descending: boolean;
}

/**
 * Where sequences stood in the stage that columns of the chosen tables take numbers from, by their names in the
 * database that the tables go to: restored rows must not meet numbers that are given out once more. Those of new
 * tables' own come with them. Both sessions' search_path is empty.
 */
export async function stagedPositions(
  { staged, session }: { readonly staged: Session; readonly session: Session },
  shapes: readonly TableShape[],
  live: readonly TableShape[],
  { warn, subject }: { readonly warn: (warning: Warning) => void; readonly subject: string },
): Promise<SequencePosition[]> {
  const pairs = new Map<string, ColumnSequence & { readonly before: ColumnSequence }>();
  for (const shape of shapes) {
    const table = live.find(({ name }) => name === shape.name);
    const now = table?.sequences ?? (await stillThere(session, shape.sequences));
    for (const one of now) {
      const before = shape.sequences.find((old) => isSame(old, one));
      if (before?.readable) pairs.set(one.sequence, { ...one, before });
    }
  }
  const stay = [...pairs.values()].filter(({ settable }) => !settable).map(({ sequence }) => sequence);
  if (stay.length > 0) {
    const message = `the role may not set these sequences, which may give out numbers that restored rows have: ${stay.join(', ')}`;
    warn({ message, subject, partial: false });
  }
  const positions: SequencePosition[] = [];
  for (const { sequence, descending, settable, before } of pairs.values()) {
    if (!settable) continue;
    const [row] = await staged.rows<{ value: string; called: boolean }>(
      `SELECT last_value::pg_catalog.text AS value, is_called AS called FROM ${before.sequence}`,
    );
    positions.push({ sequence, descending, ...row! });
  }
  return positions;
}

/** A column's own may be called otherwise by now. */
function isSame(before: ColumnSequence, now: ColumnSequence): boolean {
  return before.column === now.column && ((before.owned && now.owned) || before.sequence === now.sequence);
}

/** What a table that is gone took numbers from, and did not own. */
async function stillThere(
  session: Session,
  sequences: readonly ColumnSequence[],
): Promise<readonly ColumnSequence[]> {
  const shared = sequences.filter(({ owned }) => !owned);
  if (shared.length === 0) return [];
  const rows = await session.rows<{ sequence: string; settable: boolean }>(`
    SELECT n.name AS sequence, pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
      AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE') AS settable
    FROM (VALUES ${shared.map(({ sequence }) => `(${literal(sequence)})`).join(', ')}) n(name)
    JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(n.name) AND c.relkind = 'S'`);
  return shared.flatMap((one) => {
    const row = rows.find(({ sequence }) => sequence === one.sequence);
    return row ? [{ ...one, settable: row.settable }] : [];
  });
}

/** Never back: whoever took a number since may have used it elsewhere. */
export function setSequence({ sequence, value, called, descending }: SequencePosition): string {
  const staged = BigInt(value);
  const further = `last_value ${descending ? '>' : '<'} ${staged}`;
  return `SELECT pg_catalog.setval(${literal(sequence)}::pg_catalog.regclass,
    CASE WHEN ${further} THEN ${staged} ELSE last_value END,
    CASE WHEN ${further} THEN ${called} ELSE is_called OR (${called} AND last_value = ${staged}) END) FROM ${sequence}`;
}
