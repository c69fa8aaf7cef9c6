import { DguardError } from '../../errors.ts';
import { globMatcher } from '../../plan/glob.ts';

/** Whether one of the patterns names a table, by `table` or by `schema.table`; globs allowed. */
export function tableMatcher(
  patterns: readonly string[],
): (table: { schema: string; table: string }) => boolean {
  const exact = new Set(patterns);
  const globs = patterns.filter((pattern) => /[*?[{]/.test(pattern)).map(globMatcher);
  return ({ schema, table }) =>
    [table, `${schema}.${table}`].some((name) => exact.has(name) || globs.some((matches) => matches(name)));
}

/** The tables whose rows are exported. Throws where an include pattern names none. */
export function chooseTables<T extends { schema: string; table: string }>(
  tables: readonly T[],
  { include, exclude }: { readonly include: readonly string[]; readonly exclude: readonly string[] },
  subject: string,
): T[] {
  const included = include.length === 0 ? tables : tables.filter(tableMatcher(include));
  if (include.length > 0 && included.length === 0) {
    throw new DguardError('config_invalid', `no table matches ${include.join(', ')}`, {
      operation: 'dump',
      subject,
      hint: `tables: ${tables
        .slice(0, 20)
        .map(({ schema, table }) => `${schema}.${table}`)
        .join(', ')}`,
    });
  }
  const isExcluded = tableMatcher(exclude);
  return included.filter((table) => exclude.length === 0 || !isExcluded(table));
}
