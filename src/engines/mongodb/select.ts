import { DguardError } from '../../errors.ts';
import { globMatcher } from '../../plan/glob.ts';
import type { Warning } from '../types.ts';
import { warnOfUnmet } from '../unmet.ts';
import type { CollectionInfo } from './server/catalog.ts';

export interface CollectionPatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Whether one of the patterns names a collection, by `collection` or by `database.collection`; globs allowed. */
export function collectionMatcher(
  patterns: readonly string[],
  database: string,
): (collection: string) => boolean {
  const exact = new Set(patterns);
  const globs = patterns.filter((pattern) => /[*?[{]/.test(pattern)).map(globMatcher);
  return (collection) =>
    [collection, `${database}.${collection}`].some(
      (name) => exact.has(name) || globs.some((matches) => matches(name)),
    );
}

/** The collections that the patterns leave. Throws `source_empty` where none is left of those that are there. */
export function selectCollections(
  collections: readonly CollectionInfo[],
  database: string,
  patterns: CollectionPatterns,
  subject: string,
  warn: (warning: Warning) => void,
): readonly CollectionInfo[] {
  const isMet = (pattern: string) => {
    const matches = collectionMatcher([pattern], database);
    return collections.some(({ name }) => matches(name));
  };
  warnOfUnmet([...patterns.include, ...patterns.exclude], isMet, warn, 'collection');
  const included = collectionMatcher(patterns.include, database);
  const excluded = collectionMatcher(patterns.exclude, database);
  const kept = collections.filter(
    ({ name }) => (patterns.include.length === 0 || included(name)) && !excluded(name),
  );
  if (collections.length > 0 && kept.length === 0) {
    throw new DguardError('source_empty', 'no collection is left by the include and exclude patterns', {
      operation: 'select collections',
      subject,
      hint: `collections there: ${collections
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    });
  }
  return kept;
}
