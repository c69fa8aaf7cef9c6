import type { SqlserverConfig } from '../../config/types/datasources.ts';

/** What a datasource of type `sqlserver` says. */
export type SqlserverOptions = Omit<SqlserverConfig, 'name' | 'type' | 'tags' | 'undo_keep'> & {
  readonly undo_keep?: number;
};
