import { DguardError } from '../../errors.ts';
import { globMatcher } from '../../plan/glob.ts';
import type { Warning } from '../types.ts';
import { warnOfUnmet } from '../unmet.ts';
import type { TableInfo } from './server/catalog.ts';

export interface TablePatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Whether one of the patterns names a table, by `table` or by `schema.table`; globs allowed. */
export function tableMatcher(patterns: readonly string[], schema: string): (table: string) => boolean {
  const exact = new Set(patterns);
  const globs = patterns.filter((pattern) => /[*?[{]/.test(pattern)).map(globMatcher);
  return (table) =>
    [table, `${schema}.${table}`].some((name) => exact.has(name) || globs.some((matches) => matches(name)));
}

/**
 * What the patterns leave out: of tables the rows (their definitions stay, as others refer to them), of views
 * that an exclude pattern names all.
 */
export function leftOut(
  tables: readonly TableInfo[],
  schema: string,
  patterns: TablePatterns,
  subject: string,
  warn: (warning: Warning) => void,
): readonly TableInfo[] {
  if (patterns.include.length === 0 && patterns.exclude.length === 0) return [];
  const isMet = (pattern: string) => {
    const matches = tableMatcher([pattern], schema);
    return tables.some(({ name }) => matches(name));
  };
  warnOfUnmet([...patterns.include, ...patterns.exclude], isMet, warn);
  const included = tableMatcher(patterns.include, schema);
  const excluded = tableMatcher(patterns.exclude, schema);
  const kept = ({ name, kind }: TableInfo) =>
    (patterns.include.length === 0 || kind === 'view' || included(name)) && !excluded(name);
  if (tables.length > 0 && !tables.some((table) => table.kind !== 'view' && kept(table))) {
    throw new DguardError('source_empty', 'no table is left by the include and exclude patterns', {
      operation: 'select tables',
      subject,
      hint: `tables there: ${tables
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    });
  }
  return tables.filter((table) => !kept(table));
}
