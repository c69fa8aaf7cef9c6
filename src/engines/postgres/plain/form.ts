import type { PlainForm, PlainWriter } from '../../plain/types.ts';
import { readTables } from './read.ts';
import { plainWriter } from './write.ts';

export const postgresPlain: PlainForm & { readonly write: PlainWriter } = {
  title: 'PostgreSQL',
  read: readTables,
  write: plainWriter,
};
