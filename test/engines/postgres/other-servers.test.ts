import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

/** Nobody listens there. */
const NOWHERE = "host '127.0.0.1', port '1', dbname 'x'";

describeWithEachPostgres('postgres: what hangs on servers that are away', (server) => {
  let bench: Bench;
  const warned = () => bench.warnings.map(({ message }) => message).join('\n');
  const left = async () => (await bench.names()).filter((name) => name.includes('__dg_'));

  beforeAll(async () => {
    bench = await makeBench(server());
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterEach(async () => {
    expect(await left()).toEqual([]);
  });
  afterAll(() => bench?.remove());

  it('a partition at a foreign server costs the statistics of its table, and nothing else', async () => {
    await bench.database(
      'far',
      `CREATE EXTENSION postgres_fdw;
       CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (${NOWHERE});
       CREATE USER MAPPING FOR PUBLIC SERVER far;
       CREATE TABLE "the parts" (n int) PARTITION BY RANGE (n);
       CREATE TABLE near PARTITION OF "the parts" FOR VALUES FROM (0) TO (10);
       CREATE FOREIGN TABLE away PARTITION OF "the parts" FOR VALUES FROM (10) TO (20) SERVER far;
       CREATE TABLE z (n int); INSERT INTO z SELECT generate_series(1, 100); INSERT INTO near VALUES (1), (2);
       CREATE MATERIALIZED VIEW zz AS SELECT * FROM z`,
    );
    const content = await backUp(bench.source('far'));
    await postgresEngine.restore(content, bench.request('far', { toDatabase: 'far_copy' }));
    expect(warned()).toMatch(
      /without statistics for the planner: .*"the parts" \(could not connect to server/,
    );
    expect(
      await bench.sql(
        'far_copy',
        "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public' ORDER BY 1",
      ),
    ).toEqual([{ tablename: 'near' }, { tablename: 'z' }, { tablename: 'zz' }]);
    expect(await bench.sql('far_copy', 'SELECT n FROM near ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }]);
    await bench.sql('far_copy', 'DELETE FROM near');
    await postgresEngine.restore(
      content,
      bench.request('far', { toDatabase: 'far_copy', only: ['near'], overwrite: true }),
    );
    expect(await bench.sql('far_copy', 'SELECT n FROM near ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }]);
    await bench.sql('postgres', 'DROP DATABASE far_copy');
  });

  it.each([{ parallelJobs: 1 }, { parallelJobs: 2 }, { format: 'jsonl' }] as const)(
    'a materialised view that cannot be filled stays empty, and all else is restored: %o',
    async (how) => {
      await bench.database(
        'seen',
        `CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2);
         CREATE FUNCTION away() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('dguard.there', true) = 'yes' THEN RETURN QUERY SELECT 3; ELSE RAISE 'nobody is there'; END IF;
         END $$;
         CREATE MATERIALIZED VIEW "a view" AS SELECT n FROM t UNION ALL SELECT * FROM away() WITH NO DATA;
         CREATE MATERIALIZED VIEW "a" AS SELECT n FROM "a view" WITH NO DATA;
         CREATE MATERIALIZED VIEW beside AS SELECT n FROM t; CREATE MATERIALIZED VIEW never AS SELECT n FROM t WITH NO DATA;
         CREATE UNIQUE INDEX ON beside (n);
         SET dguard.there = 'yes'; REFRESH MATERIALIZED VIEW "a view"; REFRESH MATERIALIZED VIEW a`,
      );
      const content = await backUp(bench.source('seen'), how);
      await postgresEngine.restore(content, bench.request('seen', { scratch: true }));
      await postgresEngine.restore(content, bench.request('seen', { toDatabase: 'seen_copy' }));
      expect(bench.warnings.filter(({ partial }) => partial)).toMatchObject([
        {
          message: expect.stringMatching(/could not be filled: .*"public"."a view".* \(nobody is there\)/),
        },
        {
          message: expect.stringMatching(/could not be filled: .*"public"."a view".* \(nobody is there\)/),
        },
      ]);
      expect(
        await bench.sql(
          'seen_copy',
          'SELECT matviewname AS name, ispopulated AS filled FROM pg_matviews ORDER BY 1',
        ),
      ).toEqual([
        { name: 'a', filled: false },
        { name: 'a view', filled: false },
        { name: 'beside', filled: true },
        { name: 'never', filled: false },
      ]);
      expect(await bench.sql('seen_copy', 'SELECT n FROM t ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }]);
      await bench.sql('postgres', 'DROP DATABASE seen_copy');
      await bench.sql('postgres', 'DROP DATABASE seen');
    },
  );

  it.each(['native', 'jsonl'] as const)(
    'a materialised view may take as long as it takes, also after one that could not be filled: %s',
    async (format) => {
      await bench.database(
        'timed',
        `CREATE FUNCTION away() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           IF current_database() <> 'timed' THEN RAISE 'nobody is there'; END IF; RETURN 1; END $$;
         CREATE FUNCTION unhurried() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('statement_timeout') <> '0' THEN RAISE 'it may take too long'; END IF; RETURN 1; END $$;
         CREATE MATERIALIZED VIEW a AS SELECT away(); CREATE MATERIALIZED VIEW b AS SELECT unhurried()`,
      );
      const content = await backUp(bench.source('timed'), { format });
      const { source, ...request } = bench.request('timed', { toDatabase: 'timed_copy', parallelJobs: 1 });
      const options = { ...source!.options, statement_timeout_ms: 600_000 };
      await postgresEngine.restore(content, { ...request, source: { ...source!, options } });
      expect(warned()).toMatch(/could not be filled: "public"\."a" \(nobody is there\)/);
      expect(await bench.sql('timed_copy', 'SELECT * FROM b')).toEqual([{ unhurried: 1 }]);
      await bench.sql('postgres', 'DROP DATABASE timed_copy');
    },
  );

  it.each(['native', 'jsonl'] as const)(
    'a view that meets broken storage is no empty view: %s',
    async (format) => {
      await bench.database(
        'torn',
        `CREATE FUNCTION torn() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
         IF current_setting('dguard.there', true) = 'yes' THEN RETURN 1; END IF;
         RAISE EXCEPTION 'invalid page in block 1' USING ERRCODE = 'data_corrupted'; END $$;
       SET dguard.there = 'yes'; CREATE MATERIALIZED VIEW v AS SELECT torn()`,
      );
      const content = await backUp(bench.source('torn'), { format });
      const restore = postgresEngine.restore(content, bench.request('torn', { toDatabase: 'torn_copy' }));
      expect(await errorOf(restore)).toMatchObject({ message: expect.stringContaining('invalid page') });
      expect(await bench.names()).not.toContain('torn_copy');
    },
  );

  it('a restore that fails in the end says nothing of views in a database that nobody gets', async () => {
    await bench.database(
      'bare',
      `CREATE FUNCTION only_here() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
         IF current_database() = 'bare' THEN RETURN 1; END IF; RAISE 'not there'; END $$;
       CREATE MATERIALIZED VIEW v AS SELECT only_here() AS n`,
    );
    const content = await backUp(bench.source('bare'));
    bench.warnings.length = 0;
    const prove = async () => {
      throw new Error('it is not the same');
    };
    const request = bench.request('bare', { toDatabase: 'bare_copy', prove });
    expect((await errorOf(postgresEngine.restore(content, request))).message).toContain('not the same');
    expect(warned()).toBe('');
    await postgresEngine.restore(content, bench.request('bare', { toDatabase: 'bare_copy' }));
    expect(warned()).toContain('materialized views are empty, as they could not be filled: "public"."v"');
    await bench.sql('postgres', 'DROP DATABASE bare_copy');

    // Inside a database all is one transaction: what keeps such a view empty is said.
    await bench.sql('postgres', "CREATE ROLE filler LOGIN PASSWORD 'pw of filler'");
    await bench.database('bare_copy');
    await bench.sql('postgres', 'ALTER DATABASE bare_copy OWNER TO filler');
    const source = bench.source('bare', { username: 'filler', password: new Secret('pw of filler') });
    const inside = bench.request('bare', { source, toDatabase: 'bare_copy' });
    expect(await errorOf(postgresEngine.restore(content, inside))).toMatchObject({
      code: 'target_failed',
      message: expect.stringContaining('REFRESH MATERIALIZED VIEW'),
      hint: expect.stringMatching(/was not touched; .* ALTER ROLE "filler" CREATEDB/),
    });
    const there = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    expect(await bench.sql('bare_copy', there)).toEqual([]);
    await bench.sql('postgres', 'DROP DATABASE bare_copy');
    await bench.sql('postgres', 'DROP ROLE filler');
  });

  it('a subscription keeps nothing that was loaded from being removed', async () => {
    await bench.database(
      'fed',
      `CREATE TABLE t (n int);
       CREATE SUBSCRIPTION "s 1" CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false, slot_name = 's');
       CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
       CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION refuse()`,
    );
    const content = await backUp(bench.source('fed'));
    const prove = async () => {
      throw new Error('it is not the same');
    };
    const request = bench.request('fed', { toDatabase: 'fed_copy', prove });
    expect((await errorOf(postgresEngine.restore(content, request))).message).toContain('not the same');
    expect(warned()).not.toContain('could not be removed');
    expect(await left()).toEqual([]);

    // And what a restore that was killed has left.
    const mark = { role: 'new', target: 'fed_copy', backupId: 'full-x', createdAt: '2026-01-01T00:00:00Z' };
    await postgresEngine.restore(content, bench.request('fed', { toDatabase: 'fed_copy' }));
    await bench.sql('postgres', 'ALTER DATABASE fed_copy RENAME TO fed_copy__dg_new_1');
    await bench.sql(
      'postgres',
      `COMMENT ON DATABASE fed_copy__dg_new_1 IS '${JSON.stringify({ dguard: mark })}'`,
    );
    expect(await postgresEngine.swaps!.recover({ ...bench.target('fed'), toDatabase: 'fed_copy' })).toEqual([
      'removed fed_copy__dg_new_1, left by an interrupted restore of full-x',
    ]);
    await bench.sql('fed', 'DROP EVENT TRIGGER no_ddl');
    // A dump by who is no superuser has none: that is said, and not that they came back.
    await bench.sql('postgres', "CREATE ROLE reader LOGIN PASSWORD 'pw of reader' IN ROLE pg_read_all_data");
    const asReader = { username: 'reader', password: new Secret('pw of reader') };
    const without = await backUp(bench.source('fed', asReader));
    bench.warnings.length = 0;
    await postgresEngine.restore(without, bench.request('fed', { toDatabase: 'fed_copy' }));
    expect(warned()).toContain('subscriptions are not in the backup, as its role was no superuser: s 1');
    expect(warned()).not.toContain('restored disabled');
    await bench.sql('postgres', 'DROP DATABASE fed_copy');
    for (const statement of ['DISABLE', 'SET (slot_name = NONE)'])
      await bench.sql('fed', `ALTER SUBSCRIPTION "s 1" ${statement}`);
    await bench.sql('fed', 'DROP SUBSCRIPTION "s 1"');
  });
});
