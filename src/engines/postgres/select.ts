import { fromText } from '../../archive/paths.ts';
import { createSelection } from '../../archive/select.ts';
import { DguardError } from '../../errors.ts';
import type { Warning } from '../types.ts';
import { warnOfUnmet } from '../unmet.ts';
import type { TableInfo } from './server/catalog.ts';

export interface TablePatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Whether one of the patterns names a table, by `table` or by `schema.table`; globs allowed. */
export async function tableMatcher(
  patterns: readonly string[],
): Promise<(table: { readonly name: string; readonly table: string }) => boolean> {
  const selects = await createSelection(patterns);
  const named = (text: string) => {
    const name = fromText(text);
    return selects({ type: 'table', kind: 'table', path: name, member: '', table: name });
  };
  return ({ name, table }) => named(name) || named(table);
}

/** Warns of each pattern that names none of the tables. */
export async function warnOfUnmetTables(
  patterns: readonly string[],
  tables: readonly { readonly name: string; readonly table: string }[],
  warn: (warning: Warning) => void,
): Promise<void> {
  const met = new Set<string>();
  for (const pattern of patterns) {
    if (tables.some(await tableMatcher([pattern]))) met.add(pattern);
  }
  warnOfUnmet(patterns, (pattern) => met.has(pattern), warn);
}

/**
 * The tables whose rows are left out by the patterns. A partition follows the table that it is a part of.
 * Definitions are kept of all: what refers to a table that is not there could not be restored.
 */
export async function tablesWithoutRows(
  tables: readonly TableInfo[],
  patterns: TablePatterns,
  subject: string,
  warn: (warning: Warning) => void,
): Promise<readonly TableInfo[]> {
  if (patterns.include.length === 0 && patterns.exclude.length === 0) return [];
  await warnOfUnmetTables([...patterns.include, ...patterns.exclude], tables, warn);
  const includes = withChildren(tables, await tableMatcher(patterns.include));
  const excludes = withChildren(tables, await tableMatcher(patterns.exclude));
  const kept = (table: TableInfo) =>
    (patterns.include.length === 0 || includes.has(table.oid)) && !excludes.has(table.oid);
  if (tables.length > 0 && !tables.some(kept)) {
    throw new DguardError('source_empty', 'no table is left by the include and exclude patterns', {
      operation: 'select tables',
      subject,
      hint: `tables there: ${tables
        .slice(0, 20)
        .map((table) => table.name)
        .join(', ')}`,
    });
  }
  return tables.filter((table) => !kept(table));
}

function withChildren(tables: readonly TableInfo[], matches: (table: TableInfo) => boolean): Set<string> {
  const chosen = new Set(tables.filter(matches).map((table) => table.oid));
  for (let grew = true; grew; ) {
    grew = false;
    for (const table of tables) {
      if (chosen.has(table.oid) || !table.parents.some((parent) => chosen.has(parent))) continue;
      chosen.add(table.oid);
      grew = true;
    }
  }
  return chosen;
}
