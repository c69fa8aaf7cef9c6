import { expect, it } from 'vitest';
import { loadFailure } from '../../../src/engines/mysql/restore/load-failures.ts';
import { DguardError } from '../../../src/errors.ts';

const failure = (message: string) =>
  loadFailure(
    new DguardError('target_failed', message, { operation: 'load', subject: 'app', hint: 'a hint' }),
    'app',
  ) as DguardError;
const CLIENT = '/usr/bin/mariadb: exit status 1: ';
const LAST = 'ERROR 1062 (23000) at line 640: Duplicate entry';

it('rows that the client repeats of a statement that failed are in no message', () => {
  // As MariaDB 11.8 writes it; only the end of it is kept.
  for (const said of [
    `--------------\nINSERT INTO t VALUES (1,'secret')\n--------------\n\n${LAST}`,
    `3,'secret')\n--------------\n\n${LAST}`,
  ]) {
    const error = failure(CLIENT + said);
    expect(error.message).toBe(CLIENT + LAST);
    expect(error.hint).toBe('a hint');
    expect(JSON.stringify([error, error.cause])).not.toContain('secret');
    expect(String(error.cause)).not.toContain('secret');
  }
});

it('what the client says without a statement stays as it is, with what to do where that is known', () => {
  expect(failure(CLIENT + LAST).message).toBe(CLIENT + LAST);
  const large = failure(`${CLIENT}x'\n--------------\n\nERROR 2013 (HY000) at line 640: Lost connection`);
  expect(large.message).toBe(`${CLIENT}ERROR 2013 (HY000) at line 640: Lost connection`);
  expect(large.hint).toMatch(/max_allowed_packet/);
});
