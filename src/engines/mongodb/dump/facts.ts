import type { DumpedFacts } from '../server/metadata.ts';

/** What a backup's manifest says of its database, for a restore: `facts.engine`. */
export interface SourceFacts {
  /** `MongoDB`, `FerretDB` … */
  readonly product: string;
  readonly version: string;
  readonly database: string;
  readonly role: string;
  readonly set_name?: string;
  /** The cluster time of a snapshot: seconds and ordinal. */
  readonly cluster_time?: { readonly t: number; readonly i: number };
  readonly views: number;
  readonly time_series: number;
  /** Of collections whose metadata stands before their documents (time series). */
  readonly late: Readonly<Record<string, DumpedFacts>>;
}

/** Reads them back; what an older version did not record has its default. */
export function sourceFacts(engine: Readonly<Record<string, unknown>> | undefined): SourceFacts {
  const facts = (engine ?? {}) as Partial<SourceFacts>;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return {
    product: text(facts.product),
    version: text(facts.version),
    database: text(facts.database),
    role: text(facts.role),
    views: Number(facts.views ?? 0),
    time_series: Number(facts.time_series ?? 0),
    late: facts.late ?? {},
  };
}
