import { DguardError } from '../../errors.ts';
import type { Warning } from '../types.ts';
import { warnOfUnmet } from '../unmet.ts';
import type { PlainTable } from './types.ts';

/** The tables that patterns name. Throws `nothing_there` where none is left, `unsupported` where two would get one name. */
export function chooseTables(
  tables: readonly PlainTable[],
  only: readonly string[],
  subject: string,
  warn: (warning: Warning) => void,
): readonly PlainTable[] {
  const matchers = only.map((pattern) => ({ pattern, matches: matcher(pattern) }));
  const named = ({ label, name }: PlainTable, { matches }: (typeof matchers)[number]) =>
    matches(label) || matches(name);
  const chosen = tables.filter((table) => only.length === 0 || matchers.some((one) => named(table, one)));
  const hint = `tables in it: ${tables
    .slice(0, 20)
    .map(({ label }) => label)
    .join(', ')}`;
  if (chosen.length === 0) {
    const message =
      only.length === 0 ? 'the backup has no tables' : `no table of the backup matches ${only.join(', ')}`;
    throw new DguardError('nothing_there', message, { operation: 'restore', subject, hint });
  }
  const isMet = (pattern: string) =>
    matchers.some((one) => one.pattern === pattern && tables.some((table) => named(table, one)));
  warnOfUnmet(only, isMet, warn);
  const names = new Map<string, PlainTable>();
  for (const table of chosen) {
    const other = names.get(table.name.toLowerCase());
    if (other !== undefined) {
      throw new DguardError(
        'unsupported',
        `${other.label} and ${table.label} would both be called ${table.name}`,
        {
          operation: 'translate',
          subject,
          hint: 'restore them one after the other: --only, --to-database',
        },
      );
    }
    names.set(table.name.toLowerCase(), table);
  }
  return chosen;
}

/** `*` and `?` of a table's name. */
function matcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`, 'su');
  return (name) => expression.test(name);
}
