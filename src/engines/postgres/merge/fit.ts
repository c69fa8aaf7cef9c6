import { DguardError } from '../../../errors.ts';
import type { TableShape, TouchingKey } from './shape.ts';

/**
 * Refuses to replace the rows of tables that are not what they were: rows of other columns would be lost or
 * invented, and what hangs on a table is not changed without being asked.
 */
export function refuseOtherShapes(
  staged: readonly TableShape[],
  live: readonly TableShape[],
  keys: readonly TouchingKey[],
  subject: string,
): void {
  const problems: string[] = [];
  for (const table of live) {
    const before = staged.find(({ name }) => name === table.name)!;
    if (table.kind !== before.kind)
      problems.push(`${table.name} is no longer ${kindOf(before)} but ${kindOf(table)}`);
    else problems.push(...differences(before, table));
  }
  if (problems.length > 0) {
    const some =
      problems.slice(0, 5).join('; ') + (problems.length > 5 ? `; and ${problems.length - 5} more` : '');
    throw refused(
      `tables have changed since the backup: ${some}`,
      subject,
      'restore to a database of its own (--to-database NAME), and move the rows by hand',
    );
  }
  const strangers = [
    ...live.filter(({ owned }) => !owned).map(({ name }) => name),
    ...keys.filter(({ owned }) => !owned).map(({ table }) => table),
  ];
  if (strangers.length === 0) return;
  throw refused(
    `the role does not own these tables, or tables that refer to them: ${[...new Set(strangers)].join(', ')}`,
    subject,
    'restore as their owner or as a superuser: only they may lock and replace them',
  );
}

export function refused(message: string, subject: string, hint: string): DguardError {
  return new DguardError('target_refused', message, { operation: 'restore', subject, hint });
}

function differences(before: TableShape, now: TableShape): string[] {
  const types = (table: TableShape) =>
    new Map(
      table.columns.map(({ name, type, generated }) => [name, `${type}${generated ? ' generated' : ''}`]),
    );
  const [old, current] = [types(before), types(now)];
  const gone = [...old.keys()].filter((name) => !current.has(name));
  const added = [...current.keys()].filter((name) => !old.has(name));
  const changed = [...old].filter(([name, type]) => current.has(name) && current.get(name) !== type);
  return [
    ...gone.map((name) => `column ${name} of ${now.name} is only in the backup`),
    ...added.map((name) => `column ${name} of ${now.name} is only in the database`),
    ...changed.map(([name, type]) => `column ${name} of ${now.name} was ${type} and is ${current.get(name)}`),
  ];
}

function kindOf({ kind }: TableShape): string {
  return (
    { r: 'a table', p: 'a partitioned table', v: 'a view', m: 'a materialized view', f: 'a foreign table' }[
      kind
    ] ?? 'another kind of object'
  );
}
