import { DguardError, throwIfAborted } from '../../errors.ts';
import { textLines } from '../jsonl/lines.ts';
import type { BackupContent, Dump } from '../types.ts';
import { writtenContent } from './content.ts';
import { createDigest } from './digest.ts';
import { decodeLine } from './rows.ts';
import type { PlainForm, PlainWriter, WrittenTable } from './types.ts';

type Written = WrittenTable & { readonly sizeBytes: number; readonly sum: string };

/**
 * Reads back what was loaded and compares the rows, value by value through a sum over them, with those that were
 * read from the backup. Throws `target_failed`.
 */
export async function proveTables(
  to: PlainForm & { readonly write: PlainWriter },
  written: readonly Written[],
  dump: Dump,
  signal: AbortSignal,
): Promise<void> {
  // What it reads like follows from the definitions that were written, as for any export of that engine.
  const described: BackupContent = writtenContent(to.write, written, async function* () {});
  const expected = new Map(written.map((table) => [table.recorded.member, table]));
  const back = await to.read(described);
  const wrong: string[] = [];
  for await (const member of dump.members()) {
    const table = expected.get(member.path);
    const shape = back.tables.find(({ recorded }) => recorded.member === member.path);
    // Definitions were compared by what made them.
    if (table === undefined || shape === undefined || member.kind !== 'stream') continue;
    expected.delete(member.path);
    const digest = createDigest(table.table.columns);
    let line = 0;
    for await (const text of textLines(member.open(), member.path)) {
      if (++line % 1000 === 0) throwIfAborted(signal);
      // SQLite numbers rows of tables that have no number of their own.
      digest.add(decodeLine(shape, text, line, 'any'));
    }
    if (digest.rows() !== table.recorded.rows) {
      wrong.push(`${table.table.label} has ${digest.rows()} rows, ${table.recorded.rows} were read`);
    } else if (digest.sum() !== table.sum) wrong.push(`${table.table.label} has other values`);
  }
  for (const { table } of expected.values()) wrong.push(`${table.label} is missing`);
  if (wrong.length === 0) return;
  throw new DguardError(
    'target_failed',
    `what was loaded is not what was read: ${wrong.slice(0, 5).join('; ')}`,
    {
      operation: 'compare',
      hint: `the target was not touched; ${to.title} does not hold these values as they are: choose other tables (--only)`,
    },
  );
}
