import type { Flavour } from './server/connection.ts';

/** What a backup's manifest says of its schema, for a restore: `facts.engine`. */
export interface SourceFacts {
  readonly flavour: Flavour;
  readonly version: string;
  readonly schema: string;
  readonly charset: string;
  readonly collation: string;
  readonly lower_case_table_names: number;
  /**
   * `exact`: counted at the moment that the dump is of. `approximate`: beside it, as the account could not
   * hold up commits for that moment: under writes they may differ.
   */
  readonly counts: 'exact' | 'approximate';
  /** Tables whose rows no transaction protects: dumped while they may have changed. */
  readonly non_transactional: readonly string[];
  /** Dumped without their rows. */
  readonly without_rows: readonly string[];
}

/** Reads them back; what an older version did not record has its default. */
export function sourceFacts(engine: Readonly<Record<string, unknown>> | undefined): SourceFacts {
  const facts = (engine ?? {}) as Partial<SourceFacts>;
  return {
    flavour: facts.flavour === 'mysql' ? 'mysql' : 'mariadb',
    version: text(facts.version, ''),
    schema: text(facts.schema, ''),
    charset: word(facts.charset, 'utf8mb4'),
    collation: word(facts.collation, ''),
    lower_case_table_names: Number(facts.lower_case_table_names ?? 0),
    counts: facts.counts === 'exact' ? 'exact' : 'approximate',
    non_transactional: names(facts.non_transactional),
    without_rows: names(facts.without_rows),
  };
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

/** It gets into a statement unquoted. */
function word(value: unknown, otherwise: string): string {
  return typeof value === 'string' && /^\w+$/.test(value) ? value : otherwise;
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === 'string') : [];
}
