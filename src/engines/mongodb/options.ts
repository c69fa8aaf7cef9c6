import type { MongodbConfig } from '../../config/types/datasources.ts';

/** What a datasource of type `mongodb` says. */
export type MongodbOptions = Omit<MongodbConfig, 'name' | 'type' | 'tags' | 'undo_keep'> & {
  readonly undo_keep?: number;
};
