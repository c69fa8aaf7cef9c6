import type { PlainForm, PlainWriter } from '../../plain/types.ts';
import { readTables } from './read.ts';
import { plainWriter } from './write.ts';

export const sqlitePlain: PlainForm & { readonly write: PlainWriter } = {
  title: 'SQLite',
  read: readTables,
  write: plainWriter,
};
