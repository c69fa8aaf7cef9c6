import type { MysqlConfig } from '../../config/types/datasources.ts';

/** What a datasource of type `mysql` says. */
export type MysqlOptions = Omit<MysqlConfig, 'name' | 'type' | 'tags' | 'undo_keep'> & {
  readonly undo_keep?: number;
};
