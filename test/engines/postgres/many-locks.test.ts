import { afterAll, beforeAll, expect, it } from 'vitest';
import { serverError } from '../../../src/engines/postgres/server/failures.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

it('a server without memory is not told to have more locks, which has the same SQLSTATE', () => {
  const of = (message: string, more: object) =>
    serverError(
      Object.assign(new Error(message), { code: '53200', ...more }),
      'source_failed',
      'dump',
      'app',
    );
  const memory = of('out of memory', { detail: 'Failed on request of size 64 in memory context "Tuples".' });
  expect(memory.hint).toContain('the server ran out of memory');
  // As a German server says it; psql hands no hint on.
  const hint = 'Sie müssen möglicherweise max_locks_per_transaction erhöhen.';
  for (const locks of [of('Shared Memory aufgebraucht', { hint }), of('out of shared memory', {})])
    expect(locks.hint).toContain('raise max_locks_per_transaction');
});

const TABLES = 4000;
const AT_ONCE = 50;

describeWithPostgres(
  17,
  'postgres: more tables than the server has locks',
  (server) => {
    let bench: Bench;

    beforeAll(async () => {
      bench = await makeBench(server());
      await bench.database('many');
      // Each of them is locked to the end of its transaction.
      for (let from = 0; from < TABLES; from += AT_ONCE) {
        const names = Array.from({ length: AT_ONCE }, (_, at) => `CREATE TABLE t${from + at} (n int)`);
        await bench.sql('many', names.join(';'));
      }
    });
    afterAll(() => bench?.remove());

    it.each(['native', 'jsonl'] as const)('%s: says which setting is to be raised', async (format) => {
      const error = await errorOf(backUp(bench.source('many'), { format }));
      expect(error).toMatchObject({
        code: 'source_failed',
        message: expect.stringContaining('out of shared memory'),
        hint: expect.stringContaining('max_locks_per_transaction'),
      });
      // Not by naming all of them.
      expect(error.message.length).toBeLessThan(1500);
    });
  },
  { settings: { max_locks_per_transaction: '10', max_connections: '10' } },
);
