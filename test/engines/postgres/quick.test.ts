import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

/** Words of three letters: repeats that pglz still finds, and lz4 does not. With pglz alone they fit into an index. */
const TIGHT = `SELECT string_agg(left(md5((('x' || left(md5(k::text), 6))::bit(24)::int % 60)::text || 'x'), 3), '')
  FROM generate_series(1, 1200) k`;

const ON = { settings: { synchronous_commit: 'on' } };

describeWithPostgres(18, 'postgres: a new database is loaded quickly', quickly, ON);

function quickly(server: Parameters<Parameters<typeof describeWithPostgres>[2]>[0]) {
  let bench: Bench;
  let content: BackupContent;
  const restore = (of: BackupContent, more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(of, bench.request('app', more));
  const compression = async (database: string) =>
    (await bench.sql(database, 'SELECT DISTINCT pg_column_compression(t) AS c FROM long'))[0]!['c'];

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database(
      'app',
      `CREATE TABLE long (n int PRIMARY KEY, t text); INSERT INTO long SELECT 1, repeat('long text ', 1000);
       CREATE MATERIALIZED VIEW loading AS SELECT current_setting('synchronous_commit') AS commits`,
    );
    content = await backUp(bench.source('app'));
  });
  afterAll(() => bench?.remove());

  it('values by lz4, where nobody chose another compression for server, role or database', async () => {
    expect(await compression('app')).toBe('pglz');
    await restore(content, { toDatabase: 'new' });
    expect(await compression('new')).toBe('lz4');

    await bench.sql('postgres', "ALTER DATABASE new SET default_toast_compression = 'pglz'");
    await restore(content, { toDatabase: 'new', overwrite: true });
    expect(await compression('new')).toBe('pglz');
    await postgresEngine.swaps!.dropUndo(bench.target('new'), 0);

    const { user } = server();
    await bench.sql('postgres', `ALTER ROLE "${user}" SET default_toast_compression = 'pglz'`);
    await restore(content, { toDatabase: 'newer' });
    expect(await compression('newer')).toBe('pglz');
    await bench.sql('postgres', `ALTER ROLE "${user}" RESET default_toast_compression`);
  });

  it('without waiting for the disk at each commit, in the sessions that load and in no others', async () => {
    await restore(content, { toDatabase: 'unhurried' });
    expect(await bench.sql('unhurried', 'SELECT commits FROM loading')).toEqual([{ commits: 'off' }]);
    expect(await bench.sql('unhurried', 'SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }]);
  });

  it.each(['native', 'jsonl'] as const)(
    'what only pglz makes small enough for its index: %s',
    async (format) => {
      await bench.database(
        'tight',
        `CREATE TABLE long (t text, n int); CREATE INDEX long_t ON long (t); INSERT INTO long (t) ${TIGHT};
       CREATE MATERIALIZED VIEW view AS SELECT t FROM long; CREATE INDEX view_t ON view (t)`,
      );
      const tight = await backUp(bench.source('tight'), { format });
      for (const more of [
        { toDatabase: 'tight_new' },
        { toDatabase: 'tight', overwrite: true },
        { scratch: true },
      ])
        expect((await restore(tight, more)).tables).toEqual([{ name: 'public.long', rows: 1 }]);
      for (const database of ['tight', 'tight_new']) {
        expect(await compression(database)).toBe('pglz');
        const [index] = await bench.sql(
          database,
          "SELECT indisvalid FROM pg_index WHERE indexrelid = 'long_t'::regclass",
        );
        expect(index).toEqual({ indisvalid: true });
      }
      await postgresEngine.swaps!.dropUndo(bench.target('tight'), 0);
      expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
      for (const name of ['tight', 'tight_new']) await bench.sql('postgres', `DROP DATABASE ${name}`);
    },
  );

  it.each([
    ['which fails first', ''],
    ['after another that fails for good', 'CREATE MATERIALIZED VIEW a AS SELECT there()'],
  ])('what only pglz makes small enough for the index of a materialised view: %s', async (_, another) => {
    await bench.database(
      'tight',
      `CREATE TABLE long (t text, n int); INSERT INTO long (t) ${TIGHT};
       CREATE FUNCTION there() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
         IF current_database() <> 'tight' THEN RAISE 'nobody is there'; END IF; RETURN 1; END $$;
       CREATE MATERIALIZED VIEW view AS SELECT t FROM long; CREATE INDEX view_t ON view (t); ${another}`,
    );
    const tight = await backUp(bench.source('tight'));
    bench.warnings.length = 0;
    await restore(tight, { toDatabase: 'tight_new' });
    expect(await bench.sql('tight_new', 'SELECT count(*)::int AS rows FROM view')).toEqual([{ rows: 1 }]);
    expect(bench.warnings.filter(({ partial }) => partial)).toMatchObject(
      another === ''
        ? []
        : [{ message: expect.stringMatching(/not be filled: "public"\."a" \(nobody is there\)/) }],
    );
    expect(await compression('tight_new')).toBe('pglz');
    for (const name of ['tight', 'tight_new']) await bench.sql('postgres', `DROP DATABASE ${name}`);
  });

  it.each(['native', 'jsonl'] as const)(
    'rows of many columns that only pglz makes small enough for a page: %s',
    async (format) => {
      const columns = (of: (n: number) => string) => Array.from({ length: 500 }, (_, n) => of(n)).join(', ');
      await bench.database(
        'wide',
        `CREATE TABLE long (${columns((n) => `c${n} text`)});
         INSERT INTO long SELECT ${columns(() => "repeat('a', 60)")}`,
      );
      const wide = await backUp(bench.source('wide'), { format });
      for (const more of [{ toDatabase: 'wide_new' }, { scratch: true }])
        expect((await restore(wide, more)).tables).toEqual([{ name: 'public.long', rows: 1 }]);
      await bench.sql('postgres', 'DROP DATABASE wide_new');
    },
  );

  it('an index that cannot be made for another reason fails the restore, and leaves nothing', async () => {
    await bench.database(
      'broken',
      `CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
         $$BEGIN IF current_database() LIKE '%dg_new%' THEN RAISE 'no index here'; END IF; RETURN $1; END$$;
       CREATE TABLE long (n int); CREATE INDEX long_n ON long (f(n)); INSERT INTO long VALUES (1)`,
    );
    const broken = await backUp(bench.source('broken'));
    const begun: Date[] = [];
    const now = () => begun[begun.push(new Date()) - 1]!;
    const failure = restore(broken, { toDatabase: 'broken_new', now });
    await expect(failure).rejects.toMatchObject({ code: 'target_failed', operation: 'load' });
    await expect(failure).rejects.toThrow('no index here');
    // A second time would change nothing.
    expect(begun).toHaveLength(1);
    expect((await bench.names()).filter((name) => name.startsWith('broken'))).toEqual(['broken']);
  });
}
