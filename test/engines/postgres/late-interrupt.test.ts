import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

describeWithPostgres(17, 'postgres: an interrupt after the rows were replaced', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
  });
  afterAll(() => bench?.remove());

  it('says that they are, and where the old ones lie', async () => {
    await bench.database(
      'late',
      // Its statistics cannot be gathered, which is warned of: the first moment after the commit that anybody hears of.
      `CREATE TABLE t (n int); INSERT INTO t VALUES (1);
       CREATE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
         IF pg_catalog.current_query() LIKE 'ANALYZE%' THEN RAISE 'not now'; END IF;
         RETURN n;
       END $$;
       CREATE INDEX ON t (f(n))`,
    );
    const content = await backUp(bench.source('late'));
    await bench.sql('late', 'UPDATE t SET n = 2');
    const stop = new AbortController();
    const said: string[] = [];
    const request = bench.request('late', {
      only: ['t'],
      overwrite: true,
      signal: stop.signal,
      warn: ({ message }) => {
        said.push(message);
        if (message.includes('without statistics')) stop.abort();
      },
    });
    const { signal, warn } = request;
    const error = await errorOf(
      postgresEngine.restore(content, { ...request, source: { ...request.source!, signal, warn } }),
    );
    expect(error).toMatchObject({ code: 'interrupted' });
    expect(said.join('\n')).toMatch(/it is restored, .* kept: late.*dg_undo_/);
    expect(await bench.sql('late', 'SELECT n FROM t')).toEqual([{ n: 1 }]);
    await postgresEngine.swaps!.undo(bench.target('late'));
    expect(await bench.sql('late', 'SELECT n FROM t')).toEqual([{ n: 2 }]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
});
