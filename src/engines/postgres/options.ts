import type { PostgresConfig } from '../../config/types/datasources.ts';

/** What a datasource of type `postgres` says. */
export type PostgresOptions = Omit<PostgresConfig, 'name' | 'type' | 'tags' | 'undo_keep'> & {
  readonly undo_keep?: number;
};
