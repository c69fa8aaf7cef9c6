import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { openPostgresProxy } from './support-proxy.ts';

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

    it('one that comes while the server commits: what it then does not do any more', async () => {
      await bench.database('held', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1)');
      const content = await backUp(bench.source('held'));
      // The commit waits for a lock of ours.
      await bench.sql(
        'held',
        `UPDATE t SET n = 2; CREATE TABLE log (n int);
       CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
       CREATE CONSTRAINT TRIGGER c AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
       CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (1); END';
       CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION note()`,
      );
      const { host, port, user, password } = server();
      const holder = new pg.Client({ host, port, user, password, database: 'held' });
      holder.on('error', () => {});
      await holder.connect();
      await holder.query('SELECT pg_advisory_lock(4711)');
      const stop = new AbortController();
      const { signal } = stop;
      const request = bench.request('held', { only: ['t'], overwrite: true, signal });
      const restoring = errorOf(
        postgresEngine.restore(content, { ...request, source: { ...request.source!, signal } }),
      );
      const committing = `SELECT pid FROM pg_stat_activity WHERE datname = 'held' AND query LIKE 'COMMIT%' AND wait_event = 'advisory'`;
      await expect
        .poll(async () => (await bench.sql('postgres', committing)).length, { timeout: 60_000 })
        .toBe(1);
      stop.abort();
      expect(await restoring).toMatchObject({ code: 'interrupted' });
      await holder.end();
      const others = `SELECT pid FROM pg_stat_activity WHERE datname = 'held'`;
      await expect.poll(() => bench.sql('postgres', others), { timeout: 60_000 }).toEqual([]);
      expect(await bench.sql('held', 'SELECT n FROM t')).toEqual([{ n: 2 }]);
      expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    });

    /** A restore of chosen rows; when the server answers its commit, `act` is called. What it threw, and said. */
    const cutAtCommit = async (name: string, act: (stop: AbortController, sever: () => void) => void) => {
      await bench.database(name, 'CREATE TABLE t (n int); INSERT INTO t VALUES (1)');
      const content = await backUp(bench.source(name));
      await bench.sql(name, 'UPDATE t SET n = 2');
      const stop = new AbortController();
      let isSwap = false;
      const proxy = await openPostgresProxy(
        server().port,
        { at: 1, when: 'after', act: (sever) => act(stop, sever) },
        (statement) => {
          isSwap ||= statement.startsWith('CREATE SCHEMA "dg_undo_');
          return isSwap && statement.startsWith('COMMIT');
        },
      );
      const said: string[] = [];
      const common = { signal: stop.signal, warn: ({ message }: { message: string }) => said.push(message) };
      const request = bench.request(name, { only: ['t'], overwrite: true, ...common });
      const options = { ...request.source!.options, port: proxy.port, ssl: 'disable' as const };
      const error = await errorOf(
        postgresEngine.restore(content, { ...request, source: { ...request.source!, ...common, options } }),
      );
      await proxy.close();
      expect(await bench.sql(name, 'SELECT n FROM t')).toEqual([{ n: 1 }]);
      const [kept] = await bench.sql(
        name,
        "SELECT nspname AS n FROM pg_namespace WHERE nspname LIKE 'dg_undo%'",
      );
      return { error, said: said.join('\n'), kept: kept!['n'] as string };
    };

    it('one that comes with the answer of the commit: says that it is restored', async () => {
      const { error, said, kept } = await cutAtCommit('answered', (stop) => stop.abort());
      expect(error).toMatchObject({ code: 'interrupted' });
      expect(said).toContain(
        `it is restored, and what follows was cut short; what was there before is kept: answered: schema ${kept}`,
      );
    });

    it.each([
      { name: 'unknown', code: 'interrupted', alsoStops: true },
      { name: 'lost', code: 'target_failed', alsoStops: false },
    ])(
      'the answer of the commit is lost ($code): says how to find out',
      async ({ name, code, alsoStops }) => {
        const { error, kept } = await cutAtCommit(name, (stop, sever) => {
          sever();
          if (alsoStops) stop.abort();
        });
        expect(error).toMatchObject({
          code,
          message: expect.stringContaining(`the rows were replaced if there is a schema ${kept} in ${name}`),
        });
        expect(String((error as { hint?: string }).hint)).not.toContain('nothing was changed');
        await postgresEngine.swaps!.undo(bench.target(name));
        expect(await bench.sql(name, 'SELECT n FROM t')).toEqual([{ n: 2 }]);
      },
    );

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
