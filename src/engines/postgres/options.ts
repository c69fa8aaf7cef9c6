import type { PostgresConfig } from '../../config/types.ts';

/** What a datasource of type `postgres` says. */
export type PostgresOptions = Omit<PostgresConfig, 'name' | 'type' | 'tags' | 'undo_keep'> & {
  readonly undo_keep?: number;
};
