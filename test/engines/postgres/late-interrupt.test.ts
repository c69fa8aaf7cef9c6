import { afterAll, beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

describeWithPostgres(
  17,
  'postgres: what fails, or is interrupted, after the rows were replaced',
  (server) => {
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

    it('a database that was filled by who may create none, and no event triggers: says what is there', async () => {
      await bench.database(
        'within',
        `CREATE TABLE t (n int); INSERT INTO t VALUES (1);
       CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
       CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()`,
      );
      const content = await backUp(bench.source('within'));
      await bench.sql('postgres', "CREATE ROLE filler LOGIN PASSWORD 'pw of filler'");
      await bench.database('filled');
      await bench.sql('postgres', 'ALTER DATABASE filled OWNER TO filler');
      const said: string[] = [];
      const request = bench.request('filled', { warn: ({ message }) => said.push(message) });
      const login = { username: 'filler', password: new Secret('pw of filler') };
      const source = { ...request.source!, options: { ...request.source!.options, ...login } };
      const error = await errorOf(postgresEngine.restore(content, { ...request, source }));
      expect(error).toMatchObject({
        code: 'target_failed',
        message: expect.stringContaining('permission denied to create event trigger'),
        hint: expect.stringContaining('all but event triggers is restored'),
      });
      expect(said.join('\n')).toContain('it is restored, and what follows was cut short');
      expect(await bench.sql('filled', 'SELECT n FROM t')).toEqual([{ n: 1 }]);
    });
  },
);
