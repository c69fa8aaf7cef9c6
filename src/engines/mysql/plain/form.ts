import type { PlainForm, PlainWriter } from '../../plain/types.ts';
import { readTables } from './read.ts';
import { plainWriter } from './write.ts';

export const mysqlPlain: PlainForm & { readonly write: PlainWriter } = {
  title: 'MySQL',
  read: readTables,
  write: plainWriter,
};
