import { expect, it } from 'vitest';
import { explained } from '../../../src/engines/postgres/dump/run-tool.ts';
import { loadFailure } from '../../../src/engines/postgres/restore/load-failures.ts';
import { DguardError } from '../../../src/errors.ts';

it('what the server cannot write as text is told to be left out, and how to keep it', () => {
  // Of a bytea of 550 MB, which takes gigabytes to make: as PostgreSQL 17 said it.
  const said = `pg_dump: exit status 1: pg_dump: error: Dumping the contents of table "b550" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid memory alloc request size 1153433603`;
  const error = explained(new DguardError('source_failed', said, { operation: 'dump' }), 'app/big');
  expect(error).toMatchObject({ message: said, hint: expect.stringContaining('exclude_tables') });
});

it.each(['18446744073709551613', '99999999999'])('a length of %s is told to be damage', (size) => {
  const said = `psql: exit status 3: ERROR:  invalid memory alloc request size ${size}`;
  const error = explained(new DguardError('source_failed', said, { operation: 'dump' }), 'app/big');
  expect(error).toMatchObject({ message: said, hint: expect.stringContaining('pg_amcheck') });
  expect((error as DguardError).hint).not.toContain('exclude_tables');
});

it('rows that lie in another partition by the sort order of this server say so, with the table', () => {
  // Of a partition by the hash of an ICU collation, from Debian 12 to a server with a newer ICU.
  const said =
    'psql: exit status 3: ERROR:  new row for relation "p0" violates partition constraint\nDETAIL:  Failing row contains (x3).';
  const failure = new DguardError('target_failed', said, { operation: 'load', subject: 'app' });
  expect(loadFailure(failure, { role: 'me', serverVersionNum: 180000 }, 'public.p0')).toMatchObject({
    message: `rows of public.p0: ${said}`,
    hint: expect.stringContaining('ICU'),
    subject: 'app',
  });
});
