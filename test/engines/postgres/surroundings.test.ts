import { afterAll, beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';

const swaps = postgresEngine.swaps!;
const T = 'CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)';

describeWithEachPostgres('postgres: empty, template, and not its own', (server) => {
  let bench: Bench;
  const warned = () => bench.warnings.map(({ message }) => message).join('\n');
  const rows = async (database: string) =>
    (await bench.sql(database, 'SELECT n FROM t ORDER BY n')).map((row) => row['n']);
  const templates = async (name: string) =>
    await bench.sql(
      'postgres',
      `SELECT datname AS name, datistemplate AS template FROM pg_database WHERE starts_with(datname, '${name}') ORDER BY 1`,
    );
  /** As a role that may create roles and databases, and nothing more. */
  const asMaker = { username: 'maker', password: new Secret('pw of maker') };
  const requestOfMaker = (database: string, more: Parameters<Bench['request']>[1] = {}) =>
    bench.request(database, { source: bench.source(database, asMaker), ...more });

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql('postgres', "CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'pw of maker'");
    // From 16 on that makes it a member, who may neither set it nor inherits from it.
    await bench.sql('postgres', 'SET ROLE maker; CREATE ROLE made');
  });
  afterAll(() => bench?.remove());

  it.each([
    { format: 'native', parallelJobs: 1 },
    { format: 'native', parallelJobs: 2 },
    { format: 'jsonl', parallelJobs: 1 },
  ] as const)('a database without any object is a good backup: $format, $parallelJobs jobs', async (how) => {
    await bench.database('empty');
    const content = await backUp(bench.source('empty'), how);
    const request = { ...inspectIn(bench.folder), options: bench.source('empty').options };
    expect(await postgresEngine.inspect(content, request)).toEqual([]);
    const untold = {
      ...content,
      async *entries() {
        yield* content.entries();
        yield { type: 'table', kind: 'table', path: 't', member: 'd', table: 'public.t', rows: 0 } as const;
      },
    };
    expect(await postgresEngine.inspect(untold, request)).toContain('the dump has no contents');
    await postgresEngine.restore(content, bench.request('empty', { scratch: true }));
    await postgresEngine.restore(content, bench.request('empty', { toDatabase: 'empty_copy' }));
    await bench.sql('postgres', 'DROP DATABASE empty_copy');
  });

  it('a template stays one, and what is kept of it can be taken back and dropped', async () => {
    await bench.database('mould', T);
    await bench.sql('postgres', 'ALTER DATABASE mould IS_TEMPLATE true');
    const content = await backUp(bench.source('mould'));
    await bench.sql('mould', 'DELETE FROM t WHERE n > 1');
    await postgresEngine.restore(content, bench.request('mould', { overwrite: true }));
    expect(await rows('mould')).toEqual([1, 2, 3]);
    expect(await templates('mould')).toEqual([
      { name: 'mould', template: true },
      { name: expect.stringContaining('mould__dg_undo_'), template: false },
    ]);
    await swaps.undo(bench.target('mould'));
    expect(await rows('mould')).toEqual([1]);
    expect((await templates('mould'))[0]).toEqual({ name: 'mould', template: true });

    await postgresEngine.restore(content, bench.request('mould', { overwrite: true, only: ['t'] }));
    expect(await rows('mould')).toEqual([1, 2, 3]);
    await swaps.undo(bench.target('mould'));
    expect(await rows('mould')).toEqual([1]);
    expect(await swaps.dropUndo(bench.target('mould'), 0)).toHaveLength(2);
    expect(await swaps.undoCopies(bench.target('mould'))).toEqual([]);
    await bench.sql('postgres', 'ALTER DATABASE mould IS_TEMPLATE false');
  });

  it('a database that lets nobody in: says how to let them in', async () => {
    await bench.database('closed');
    await bench.sql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
    const error = await errorOf(postgresEngine.dump(bench.source('closed'), dumpRequest()));
    expect(error).toMatchObject({
      code: 'source_failed',
      hint: expect.stringContaining('ALLOW_CONNECTIONS true'),
    });
    await bench.sql('postgres', 'DROP DATABASE closed');
  });

  it('a role that made another one, and may not give to it: all becomes its own, with a warning', async () => {
    await bench.database('theirs', `${T}; ALTER TABLE t OWNER TO made; CREATE SCHEMA s AUTHORIZATION made`);
    const content = await backUp(bench.source('theirs'));
    bench.warnings.length = 0;
    await postgresEngine.restore(content, requestOfMaker('theirs', { toDatabase: 'theirs_copy' }));
    expect(warned()).toContain('maker may not give objects to made');
    expect(
      await bench.sql('theirs_copy', 'SELECT tableowner FROM pg_tables WHERE tablename = $$t$$'),
    ).toEqual([{ tableowner: 'maker' }]);
    await bench.sql('postgres', 'DROP DATABASE theirs_copy');
  });

  it("another role's database is not loaded anew to find that it cannot be replaced", async () => {
    await bench.database('theirs', T);
    await bench.sql(
      'postgres',
      'ALTER DATABASE theirs OWNER TO made; GRANT CONNECT ON DATABASE theirs TO maker',
    );
    const content = await backUp(bench.source('theirs'));
    await bench.sql('theirs', 'DELETE FROM t');
    const error = await errorOf(
      postgresEngine.restore(content, requestOfMaker('theirs', { overwrite: true })),
    );
    expect(error).toMatchObject({
      code: 'target_refused',
      message: 'role maker is not made, who owns the database, and may not put another in its place',
      hint: expect.stringContaining('GRANT "made" TO "maker"'),
    });
    const findings = await postgresEngine.diagnose!(bench.source('theirs', asMaker), {});
    const grant = findings
      .flatMap(({ fix }) => fix?.lines ?? [])
      .find((line) => line.startsWith('GRANT "made"'))!;
    await bench.sql('postgres', grant);
    await postgresEngine.restore(content, requestOfMaker('theirs', { overwrite: true }));
    expect(await rows('theirs')).toEqual([1, 2, 3]);
    await swaps.dropUndo(bench.target('theirs'), 0);
    await bench.sql('postgres', 'REVOKE made FROM maker');
  });

  it('privileges in the name of others: a test restore does without them, a restore says what to do', async () => {
    await bench.database('granted', `${T}; ALTER TABLE t OWNER TO made`);
    await bench.sql('granted', 'ALTER DEFAULT PRIVILEGES FOR ROLE made GRANT SELECT ON TABLES TO PUBLIC');
    const content = await backUp(bench.source('granted'));
    await postgresEngine.restore(content, requestOfMaker('granted', { scratch: true }));
    const error = await errorOf(
      postgresEngine.restore(content, requestOfMaker('granted', { toDatabase: 'granted_copy' })),
    );
    expect(error).toMatchObject({
      code: 'target_failed',
      hint: expect.stringContaining('GRANT "made" TO "maker"'),
    });
    expect(await bench.names()).not.toContainEqual(expect.stringContaining('granted_copy'));
  });

  it('no password of a foreign server is in what is said of a statement that failed', async () => {
    await bench.sql('postgres', 'CREATE ROLE mapped');
    await bench.database(
      'far',
      `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w OPTIONS (token 'hush 1');
       CREATE USER MAPPING FOR mapped SERVER far OPTIONS (user 'u', password 'hush ''2');`,
    );
    const content = await backUp(bench.source('far'));
    await bench.sql('far', 'DROP USER MAPPING FOR mapped SERVER far');
    await bench.sql('postgres', 'DROP ROLE mapped');
    // Nor where the tools speak another language, as those of PostgreSQL 15 do that a distribution installed.
    const { source, ...request } = bench.request('far', { toDatabase: 'far_copy' });
    const env = { ...source!.env, LC_ALL: 'C.UTF-8', LANGUAGE: 'de' };
    const missing = await errorOf(
      postgresEngine.restore(content, { ...request, source: { ...source!, env } }),
    );
    expect(missing).toMatchObject({
      code: 'target_failed',
      message: expect.stringContaining('role "mapped" does not exist'),
      hint: expect.stringContaining('restore --roles'),
    });
    await bench.sql('postgres', 'CREATE ROLE mapped');
    const refused = await errorOf(
      postgresEngine.restore(content, requestOfMaker('far', { toDatabase: 'far_copy' })),
    );
    expect(refused).toMatchObject({
      code: 'target_failed',
      message: expect.stringContaining('CREATE FOREIGN DATA WRAPPER w'),
      hint: expect.stringContaining('restore as a superuser'),
    });
    for (let error: unknown = missing; error instanceof Error; error = error.cause) {
      expect(String(error)).not.toContain('hush');
    }
  });
});
