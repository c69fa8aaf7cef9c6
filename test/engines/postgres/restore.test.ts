import { beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { besideName } from '../../../src/engines/postgres/restore/marks.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp } from './support.ts';
import { useShop } from './support-restore.ts';

const swaps = postgresEngine.swaps!;

describeWithEachPostgres('postgres: restore', (server) => {
  const shop = useShop(server);
  const { connect, rows, restore, dress } = shop;
  let bench: Bench;
  let content: BackupContent;
  beforeAll(() => {
    ({ bench, content } = shop);
  });

  it('to a new name: rows, owner, privileges, settings, limit and comment are what they were', async () => {
    const outcome = await restore({ toDatabase: 'app_new' });
    expect(outcome).toMatchObject({ target: 'app_new', tables: [{ name: 'public.t', rows: 3 }] });
    expect(outcome.undo).toBeUndefined();
    expect(await rows('app_new')).toEqual([1, 2, 3]);
    expect(await dress('app_new')).toEqual(await dress('app'));
    expect(await dress('app')).toMatchObject({
      owner: 'app_owner',
      comment: "the shop's own",
      datconnlimit: 77,
    });
    expect(await rows('app')).toEqual([7]);
    // pg_dump before 18 holds none: without ANALYZE the planner would know nothing of it.
    expect(await bench.sql('app_new', "SELECT attname FROM pg_stats WHERE tablename = 't'")).toEqual([
      { attname: 'n' },
    ]);
    await bench.sql('postgres', 'DROP DATABASE app_new');
  });

  it('a name that the server would cut, or none, is refused, and what has the rest of it is left alone', async () => {
    const cut = 'n'.repeat(63);
    await bench.database(cut, 'CREATE TABLE mine (n int)');
    for (const toDatabase of [`${cut}n`, '']) {
      const request = { ...bench.request('app', { overwrite: true }), toDatabase };
      expect(await errorOf(postgresEngine.restore(content, request))).toMatchObject({ code: 'usage' });
    }
    expect(await bench.sql(cut, 'SELECT * FROM mine')).toEqual([]);
  });

  it('a database that is not empty is refused without --overwrite', async () => {
    const error = await errorOf(restore());
    expect(error).toMatchObject({ code: 'target_refused', subject: 'app' });
    expect(error.hint).toContain('--overwrite');
    expect(await rows('app')).toEqual([7]);
  });

  it('overwrites, keeps the old one, takes it back, and back again', async () => {
    const before = await dress('app');
    const outcome = await restore({ overwrite: true });
    expect(await rows('app')).toEqual([1, 2, 3]);
    expect(await dress('app')).toEqual(before);
    expect(outcome.undo).toMatch(/^app__dg_undo_/);
    const [copy] = await swaps.undoCopies(bench.target('app'));
    expect(copy).toMatchObject({ name: outcome.undo, backupId: 'full-2026-01-02T03-04-05Z-abcdefgh' });
    expect(copy!.sizeBytes).toBeGreaterThan(1_000_000);
    // Nobody writes into an undo copy by mistake.
    await expect(connect(outcome.undo!)).rejects.toThrow('not currently accepting connections');

    const undone = await swaps.undo(bench.target('app'));
    expect(undone).toMatchObject({ target: 'app', restored: { name: outcome.undo } });
    expect(await rows('app')).toEqual([7]);
    expect(await dress('app')).toEqual(before);
    expect(await swaps.undoCopies(bench.target('app'))).toHaveLength(1);

    await swaps.undo(bench.target('app'));
    expect(await rows('app')).toEqual([1, 2, 3]);
    expect(await dress('app')).toEqual(before);
  });

  it('drops undo copies beyond the newest, and nothing that carries no mark', async () => {
    await bench.database('app__dg_undo_mine');
    await restore({ overwrite: true });
    await restore({ overwrite: true });
    const copies = await swaps.undoCopies(bench.target('app'));
    expect(copies).toHaveLength(2);
    expect(await swaps.dropUndo(bench.target('app'), 1)).toEqual([copies[1]]);
    expect(await swaps.dropUndo(bench.target('app'), 0)).toHaveLength(1);
    expect(await swaps.dropUndo(bench.target('app'), 0)).toEqual([]);
    expect(await bench.names()).toContain('app__dg_undo_mine');
    await bench.sql('postgres', 'DROP DATABASE app__dg_undo_mine');
    expect(await errorOf(swaps.undo(bench.target('app')))).toMatchObject({ code: 'nothing_there' });
  });

  it('a dry run changes nothing and says what it would do', async () => {
    const before = await bench.names();
    const outcome = await restore({ overwrite: true, dryRun: true });
    expect(outcome.plan!.join('\n')).toMatch(/pg_restore [\s\S]*compare 1 table[\s\S]*app__dg_undo_/);
    expect(await bench.names()).toEqual(before);
    expect(await rows('app')).toEqual([7]);
  });

  it('chosen tables go to a new database', async () => {
    await bench.database(
      'shop',
      `CREATE TABLE customers (id int PRIMARY KEY); CREATE TABLE orders (id int, c int REFERENCES customers);
       INSERT INTO customers VALUES (1); INSERT INTO orders VALUES (1, 1), (2, 1)`,
    );
    const shop = await backUp(bench.source('shop'));
    const request = bench.request('shop', { only: ['orders', 'typo'], toDatabase: 'shop_orders' });
    const outcome = await postgresEngine.restore(shop, request);
    expect(outcome.tables).toEqual([{ name: 'public.orders', rows: 2 }]);
    expect(await bench.sql('shop_orders', 'SELECT count(*)::int AS n FROM customers')).toEqual([{ n: 0 }]);
    expect(bench.warnings.map(({ message }) => message).join()).toContain('public.orders → public.customers');
    expect(bench.warnings.map(({ message }) => message)).toContain("no table matches the pattern 'typo'");
    const none = await errorOf(
      postgresEngine.restore(shop, bench.request('shop', { only: ['nope'], toDatabase: 'x' })),
    );
    expect(none).toMatchObject({ code: 'nothing_there' });
    await bench.sql('postgres', 'DROP DATABASE shop_orders');
  });

  it('a backup that breaks in the middle leaves the target as it was', async () => {
    const cause = new DguardError('corrupt', 'a block does not hold');
    const broken: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk.subarray(0, chunk.length >> 1);
          throw cause;
        }
      },
    };
    const error = await errorOf(postgresEngine.restore(broken, bench.request('app', { overwrite: true })));
    expect(error).toBe(cause);
    expect(await rows('app')).toEqual([7]);
  });

  it('a dump that is cut short is an error of pg_restore', async () => {
    const short: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk.subarray(0, chunk.length - 700);
          return;
        }
      },
    };
    expect(
      await errorOf(postgresEngine.restore(short, bench.request('app', { overwrite: true }))),
    ).toMatchObject({
      code: 'target_failed',
    });
    expect(await rows('app')).toEqual([7]);
  });

  it('rows that are not those that were recorded are corrupt, before anything is swapped', async () => {
    const lying: BackupContent = {
      ...content,
      async *entries() {
        for await (const entry of content.entries())
          yield entry.type === 'table' ? { ...entry, rows: 4 } : entry;
      },
    };
    const error = await errorOf(postgresEngine.restore(lying, bench.request('app', { overwrite: true })));
    expect(error).toMatchObject({ code: 'corrupt' });
    expect(error.message).toContain('public.t has 3 rows, 4 were recorded');
    expect(await rows('app')).toEqual([7]);
    const other = { ...content, facts: { ...content.facts, schema_sha256: '0'.repeat(64) } };
    expect(
      await errorOf(postgresEngine.restore(other, bench.request('app', { scratch: true }))),
    ).toMatchObject({
      code: 'corrupt',
    });
  });

  it('missing extensions and roles are found before anything is loaded', async () => {
    const engine = content.facts.engine as Record<string, unknown>;
    const needing = (more: object) => ({
      ...content,
      facts: { ...content.facts, engine: { ...engine, ...more } },
    });
    const extension = needing({ extensions: [{ name: 'no_such_extension', version: '1.2' }] });
    const error = await errorOf(postgresEngine.restore(extension, bench.request('app', { toDatabase: 'x' })));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.message).toContain('no_such_extension 1.2');
    const role = needing({ roles: ['nobody_here'] });
    await postgresEngine.restore(role, bench.request('app', { toDatabase: 'app_roles' }));
    expect(bench.warnings.map(({ message }) => message).join()).toContain('nobody_here');
    expect(await rows('app_roles')).toEqual([1, 2, 3]);
    await bench.sql('postgres', 'DROP DATABASE app_roles');
    const locale = needing({
      database: { ...(engine['database'] as object), collate: 'xx_YY.UTF-8', ctype: 'xx_YY.UTF-8' },
    });
    expect(
      (await errorOf(postgresEngine.restore(locale, bench.request('app', { toDatabase: 'x' })))).message,
    ).toContain('xx_YY');
  });

  it('replication that hangs on the target is listed, and refused', async () => {
    await bench.sql('app', "SELECT pg_create_logical_replication_slot('follower', 'pgoutput')");
    const error = await errorOf(restore({ overwrite: true }));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.message).toContain('replication slot follower');
    await bench.sql('app', error.hint!.split('remove these first, in "app": ')[1]!);
    await restore({ overwrite: true });
  });

  it('a subscription comes back disabled, and never in a test restore', async () => {
    await bench.database('listener', 'CREATE TABLE t (n int)');
    await bench.sql(
      'listener',
      `CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'sub_slot')`,
    );
    // A test restore has no subscription to comment on.
    await bench.sql('listener', "COMMENT ON SUBSCRIPTION sub IS 'of the shop'");
    const listener = await backUp(bench.source('listener'));
    await postgresEngine.restore(listener, bench.request('listener', { scratch: true }));
    await postgresEngine.restore(listener, bench.request('listener', { toDatabase: 'listener_copy' }));
    expect(
      await bench.sql(
        'postgres',
        "SELECT subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = 'listener_copy'",
      ),
    ).toEqual([{ subenabled: false }]);
    expect(bench.warnings.map(({ message }) => message).join()).toContain(
      'subscriptions were restored disabled: sub',
    );
    for (const name of ['listener', 'listener_copy']) {
      const request = bench.request(name, { overwrite: true });
      const error = await errorOf(postgresEngine.restore(listener, request));
      expect(error.message).toMatch(/replaced: subscription sub$/);
      // There is no publisher: a statement that asked it for its slot would fail.
      await bench.sql(name, error.hint!.split(`remove these first, in "${name}": `)[1]!);
      await bench.sql('postgres', `DROP DATABASE ${name}`);
    }
  });

  it('no event trigger runs before the swap, and none in a test restore, not even for a refreshed view', async () => {
    const [{ num }] = (await bench.sql(
      'postgres',
      "SELECT current_setting('server_version_num')::int AS num",
    )) as [{ num: number }];
    await bench.database(
      'watched',
      `CREATE TABLE seen (what text); CREATE TABLE t (n int); INSERT INTO t VALUES (1);
       CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
       CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (tg_tag); END $$;
       CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION note();
       COMMENT ON EVENT TRIGGER watch IS 'notes it';
       ALTER EVENT TRIGGER watch ENABLE ALWAYS;
       ${num >= 170000 ? 'CREATE EVENT TRIGGER entered ON login EXECUTE FUNCTION note();' : ''}
       REFRESH MATERIALIZED VIEW m`,
    );
    for (const request of [{}, { parallelJobs: 2 }, { format: 'jsonl' }] as const) {
      const watched = await backUp(bench.source('watched'), request);
      await postgresEngine.restore(watched, bench.request('watched', { scratch: true }));
      // Each of them compares the rows of what the triggers write with what was recorded.
      await postgresEngine.restore(watched, bench.request('watched', { toDatabase: 'watched_copy' }));
      expect(bench.warnings).toEqual([]);
      const count = 'SELECT count(*)::int AS n FROM seen';
      const [was] = await bench.sql('watched_copy', count);
      await bench.sql('watched_copy', 'CREATE TABLE more (n int)');
      const [is] = await bench.sql('watched_copy', count);
      // It is there, and works from now on: for the table, and for each time that somebody came in.
      expect((is!['n'] as number) - (was!['n'] as number)).toBe(num >= 170000 ? 3 : 1);
      await bench.sql('postgres', 'DROP DATABASE watched_copy');
    }
  });

  it('where no database can be created, an empty one is filled in one transaction', async () => {
    await bench.sql('postgres', "DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN PASSWORD 'modest one'");
    await bench.database('modest_db');
    await bench.sql('postgres', 'ALTER DATABASE modest_db OWNER TO modest');
    const source = bench.source('modest_db', { username: 'modest', password: new Secret('modest one') });
    const request = { ...bench.request('modest_db', { source }), toDatabase: 'modest_db' };
    const broken: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) yield chunk.subarray(0, chunk.length - 700);
      },
    };
    expect(await errorOf(postgresEngine.restore(broken, request))).toMatchObject({ code: 'target_failed' });
    await postgresEngine.restore(content, request);
    expect(await rows('modest_db')).toEqual([1, 2, 3]);
    // Nothing can be kept beside it: all of it is replaced inside (postgres-safety), a part is not.
    const refused = { code: 'target_refused' };
    expect(await errorOf(postgresEngine.restore(content, request))).toMatchObject(refused);
    const part = { ...request, overwrite: true, only: ['t'] };
    expect(await errorOf(postgresEngine.restore(content, part))).toMatchObject(refused);
    expect(
      await errorOf(postgresEngine.restore(content, { ...request, toDatabase: 'modest_new' })),
    ).toMatchObject({
      code: 'target_refused',
    });
    await bench.sql('postgres', 'DROP DATABASE modest_db; ');
    await bench.sql('postgres', 'DROP ROLE modest');
  });

  it('a target that is not a database is refused', async () => {
    expect(await errorOf(restore({ toPath: '/tmp/x' }))).toMatchObject({ code: 'unsupported' });
    const { source: _, ...nowhere } = bench.request('app');
    expect(await errorOf(postgresEngine.restore(content, nowhere))).toMatchObject({ code: 'usage' });
  });
});

it('names beside a target fit into 63 bytes and stay apart', () => {
  expect(besideName('app', 'new', '12345678')).toBe('app__dg_new_12345678');
  const long = 'ü'.repeat(31);
  const names = [besideName(long, 'undo', '12345678'), besideName(`${long}x`, 'undo', '12345678')];
  for (const name of names) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
  expect(names[0]).not.toBe(names[1]);
  expect(names[0]).not.toContain('\ufffd');
});
