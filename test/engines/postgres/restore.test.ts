import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { BEGUN_LIMIT, besideName } from '../../../src/engines/postgres/restore/marks.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import { postgresPrograms, startPostgres } from '../../services/postgres.mjs';
import { type Bench, backUp, makeBench } from './support.ts';

const swaps = postgresEngine.swaps!;

describeWithEachPostgres('postgres: restore', (server) => {
  let bench: Bench;
  let content: BackupContent;
  const clients: pg.Client[] = [];

  const connect = async (database: string) => {
    const { host, port, user, password } = server();
    const client = new pg.Client({ host, port, user, password, database, application_name: 'shop' });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  const rows = async (database: string) =>
    (await bench.sql(database, 'SELECT n FROM t ORDER BY n')).map((row) => row['n']);
  const restore = (more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(content, bench.request('app', more));

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql(
      'postgres',
      "CREATE ROLE app_owner; CREATE ROLE app_user LOGIN PASSWORD 'pw of app_user'",
    );
    await bench.database('app');
    await bench.sql('app', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)');
    await bench.sql(
      'postgres',
      `ALTER DATABASE app OWNER TO app_owner;
       REVOKE CONNECT ON DATABASE app FROM PUBLIC;
       GRANT CONNECT ON DATABASE app TO app_user WITH GRANT OPTION;
       ALTER DATABASE app SET search_path TO "$user", public, "odd, name";
       ALTER DATABASE app SET work_mem TO '7MB';
       ALTER ROLE app_user IN DATABASE app SET app.tenant TO 'it''s "me"\\';
       ALTER DATABASE app CONNECTION LIMIT 77;
       COMMENT ON DATABASE app IS 'the shop''s own'`,
    );
    content = await backUp(bench.source('app'));
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    await bench.sql('app', 'TRUNCATE t; INSERT INTO t VALUES (7)');
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end().catch(() => {});
    await swaps.dropUndo(bench.target('app'), 0);
    // Whatever a test does: nothing of dguard's is left, neither here nor on disk.
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
  afterAll(() => bench?.remove());

  /** What hangs on a database itself. */
  const dress = async (database: string) =>
    (
      await bench.sql(
        'postgres',
        `SELECT pg_get_userbyid(datdba) AS owner, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) AS acl, datconnlimit, shobj_description(d.oid, 'pg_database') AS comment,
          (SELECT json_agg(json_build_array(setrole::regrole::text, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
         FROM pg_database d WHERE datname = '${database}'`,
      )
    )[0];

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

  it('closes idle sessions, refuses busy ones, and says who they are', async () => {
    const busy = await connect('app');
    await busy.query('BEGIN');
    const error = await errorOf(restore({ overwrite: true }));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.message).toMatch(/pid \d+ \(\w+, shop, 127\.0\.0\.1, idle in transaction\)/);
    expect(await rows('app')).toEqual([7]);
    await busy.query('COMMIT');
    await restore({ overwrite: true });
    expect(await rows('app')).toEqual([1, 2, 3]);
    await expect(busy.query('SELECT 1')).rejects.toThrow();
  });

  it('somebody who keeps connecting does not get a mixed database', async () => {
    let running = true;
    const nuisance = (async () => {
      while (running) {
        const client = await connect('app').catch(() => undefined);
        await client?.query('SELECT count(*) FROM t').catch(() => {});
      }
    })();
    const outcome = await restore({ overwrite: true }).catch((error: DguardError) => error);
    running = false;
    await nuisance;
    // Either way it is one or the other, whole.
    if (outcome instanceof DguardError) {
      expect(['target_failed', 'target_refused']).toContain(outcome.code);
      expect(await rows('app')).toEqual([7]);
    } else expect(await rows('app')).toEqual([1, 2, 3]);
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
    const request = bench.request('shop', { only: ['orders'], toDatabase: 'shop_orders' });
    const outcome = await postgresEngine.restore(shop, request);
    expect(outcome.tables).toEqual([{ name: 'public.orders', rows: 2 }]);
    expect(await bench.sql('shop_orders', 'SELECT count(*)::int AS n FROM customers')).toEqual([{ n: 0 }]);
    expect(bench.warnings.map(({ message }) => message).join()).toContain('public.orders → public.customers');
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

  it('an interrupt while its database is being made leaves none', async () => {
    const made = `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE "app\\_\\_dg%' AND state = 'active'
      UNION ALL SELECT 1 FROM pg_database WHERE datname LIKE 'app\\_\\_dg%'`;
    for (const waitMs of [0, 5, 20, 50]) {
      const stop = new AbortController();
      const { signal } = stop;
      const source = { ...bench.source('app'), signal };
      const restored = errorOf(
        postgresEngine.restore(content, bench.request('app', { source, signal, scratch: true })),
      );
      await expect.poll(() => bench.sql('postgres', made), { interval: 1, timeout: 20_000 }).not.toEqual([]);
      await sleep(waitMs);
      stop.abort(new DguardError('interrupted', 'interrupted'));
      expect(await restored).toMatchObject({ code: 'interrupted' });
      await sleep(300);
      expect(await bench.sql('postgres', made)).toEqual([]);
    }
  });

  it('an abort leaves the target as it was', async () => {
    const controller = new AbortController();
    const reason = new DguardError('interrupted', 'interrupted');
    const stopping: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk;
          controller.abort(reason);
        }
      },
    };
    const request = bench.request('app', { overwrite: true, signal: controller.signal });
    expect(await errorOf(postgresEngine.restore(stopping, request))).toBe(reason);
    expect(await rows('app')).toEqual([7]);
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
    await bench.sql('app', "SELECT pg_drop_replication_slot('follower')");
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
      await bench.sql(name, 'ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub');
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

  it('what killed restores left is removed, while nobody works on it, and only that', async () => {
    const mark = (role: string, target: string) =>
      JSON.stringify({ dguard: { role, target, backupId: 'full-x', createdAt: '2026-01-01T00:00:00Z' } });
    await bench.database('app__dg_new_1');
    await bench.database('app__dg_new_2');
    await bench.database('app__dg_scratch_1');
    await bench.database('other__dg_new_1');
    await bench.sql(
      'postgres',
      `COMMENT ON DATABASE app__dg_new_1 IS '${mark('new', 'app')}'; COMMENT ON DATABASE app__dg_new_2 IS '${mark('new', 'app')}';
       COMMENT ON DATABASE app__dg_scratch_1 IS '${mark('scratch', 'app')}'; COMMENT ON DATABASE other__dg_new_1 IS '${mark('new', 'other')}'`,
    );
    const working = await connect('app__dg_new_2');
    // One to another database is only named, with what removes it: nothing else would ever do it.
    const toOther = `other__dg_new_1 was left by an interrupted restore of full-x to other, and takes room; to remove it: dguard restore --recover --to ${bench.target('app').source!.name} --to-database other`;
    expect(await swaps.recover(bench.target('app'))).toEqual([
      'removed app__dg_new_1, left by an interrupted restore of full-x',
      toOther,
    ]);
    expect(await swaps.dropScratch!(bench.target('app'))).toHaveLength(1);
    await working.end();
    expect(await swaps.recover(bench.target('app'))).toEqual([
      'removed app__dg_new_2, left by an interrupted restore of full-x',
      toOther,
    ]);
    expect(await bench.names()).toContain('other__dg_new_1');
    expect(await swaps.recover({ ...bench.target('app'), toDatabase: 'other' })).toEqual([
      'removed other__dg_new_1, left by an interrupted restore of full-x',
    ]);
    expect(await swaps.recover(bench.target('app'))).toEqual([]);
    // A datasource of several databases, or of all of a server's, means all of them.
    await bench.database('app__dg_new_3');
    await bench.sql('postgres', `COMMENT ON DATABASE app__dg_new_3 IS '${mark('new', 'app')}'`);
    const other = { ...bench.target('app'), source: bench.source(['other', 'more']) };
    expect(await swaps.recover(other)).toEqual([
      expect.stringMatching(/^app__dg_new_3 was left by .* to app,/),
    ]);
    const all = { ...bench.target('app'), source: bench.source([], { all_databases: true }) };
    expect(await swaps.recover(all)).toHaveLength(1);
    expect(await errorOf(swaps.undo(all))).toMatchObject({ code: 'usage' });
  });

  it('what the server still makes for a client that is gone is waited for', async () => {
    const name = 'app__dg_new_0123abcd';
    const maker = await connect('postgres');
    const making = maker.query(
      `CREATE DATABASE "${name}" TEMPLATE template0 CONNECTION LIMIT ${BEGUN_LIMIT}`,
    );
    await sleep(5);
    const recovered = swaps.recover(bench.target('app'));
    await making;
    await sleep(500);
    await maker.end();
    expect(await recovered).toEqual([`removed ${name}, left by an interrupted restore`]);
    expect(await bench.names()).not.toContain(name);
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

  it("a connection of pg_restore that waits for another one is not closed by the role's idle_session_timeout", async () => {
    await bench.database(
      'waits',
      `CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_catalog.pg_sleep(2); RETURN true; END $$;
      CREATE TABLE quick (n int); INSERT INTO quick VALUES (1);
      CREATE TABLE long (n int CHECK (slow(n))); INSERT INTO long VALUES (1);
      CREATE INDEX ON long (n); CREATE INDEX ON long ((n + 1))`,
    );
    await bench.sql(
      'postgres',
      "CREATE ROLE lazy SUPERUSER LOGIN PASSWORD 'pw'; ALTER ROLE lazy SET idle_session_timeout = 700",
    );
    const source = bench.source('waits', { username: 'lazy', password: new Secret('pw') });
    const backup = await backUp(source, { parallelJobs: 2 });
    const request = bench.request('waits', { source, scratch: true, parallelJobs: 2 });
    expect((await postgresEngine.restore(backup, request)).tables).toHaveLength(2);
  });

  it('a target that is not a database is refused', async () => {
    expect(await errorOf(restore({ toPath: '/tmp/x' }))).toMatchObject({ code: 'unsupported' });
    const { source: _, ...nowhere } = bench.request('app');
    expect(await errorOf(postgresEngine.restore(content, nowhere))).toMatchObject({ code: 'usage' });
  });
});

describeWithPostgres(15, 'postgres: restore to another major', (server) => {
  it.skipIf(postgresPrograms(18) === undefined)('15 to 18 is fine, 18 to 15 is refused', async () => {
    const newer = await startPostgres(18);
    const [old, young] = [await makeBench(server()), await makeBench(newer)];
    try {
      await old.database(
        'app',
        "CREATE TABLE t (v varchar CHECK (v IN ('a', 'b')) NOT NULL); INSERT INTO t VALUES ('a')",
      );
      const content = await backUp(old.source('app'));
      await postgresEngine.restore(content, young.request('app'));
      expect(await young.sql('app', 'SELECT v FROM t')).toEqual([{ v: 'a' }]);
      expect(young.warnings).toEqual([]);
      const back = await backUp(young.source('app'));
      const error = await errorOf(postgresEngine.restore(back, old.request('app', { toDatabase: 'x' })));
      expect(error).toMatchObject({ code: 'target_refused' });
      expect(error.message).toContain('PostgreSQL 18');
      await young.sql('postgres', 'DROP DATABASE app');
      await rolesOnRequest(old, young);
    } finally {
      await old.remove();
      await young.remove();
      await newer.stop();
    }
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

/** Roles that only the old server has: left out, or made, at the young one. */
async function rolesOnRequest(old: Bench, young: Bench): Promise<void> {
  await old.sql(
    'postgres',
    `CREATE ROLE "the; 'group'"; CREATE ROLE boss LOGIN PASSWORD 'pw of boss' IN ROLE "the; 'group'"; ALTER ROLE boss SET work_mem TO '3MB';
     CREATE ROLE stranger; COMMENT ON ROLE boss IS 'it''s; the boss'; ALTER DATABASE app OWNER TO boss`,
  );
  await old.sql('app', `ALTER TABLE t OWNER TO boss; GRANT SELECT ON t TO "the; 'group'"`);
  const content = await backUp(old.source('app'));
  const roles = async () =>
    (await young.sql('postgres', "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"))
      .map(({ rolname }) => rolname as string)
      .filter((name) => name !== young.source('x').options.username);
  const broken: BackupContent = {
    ...content,
    async *read(entry) {
      for await (const chunk of content.read(entry))
        yield entry.path === 'globals.sql' ? chunk : chunk.subarray(0, chunk.length - 700);
    },
  };
  expect(await errorOf(postgresEngine.restore(broken, young.request('app', { roles: true })))).toMatchObject({
    code: 'target_failed',
  });
  expect(await roles()).toEqual([]);
  const stop = new AbortController();
  const { signal } = stop;
  const stopped: BackupContent = {
    ...content,
    async *read(entry) {
      yield* content.read(entry);
      if (entry.path !== 'globals.sql') stop.abort(new DguardError('interrupted', 'interrupted'));
    },
  };
  const source = { ...young.source('app'), signal };
  const request = young.request('app', { roles: true, signal, source });
  expect(await errorOf(postgresEngine.restore(stopped, request))).toMatchObject({ code: 'interrupted' });
  expect(await roles()).toEqual([]);
  await postgresEngine.restore(content, young.request('app'));
  expect(young.warnings.map(({ message }) => message).join()).toContain('restore --roles');
  young.warnings.length = 0;
  await young.sql('postgres', 'DROP DATABASE app');

  await postgresEngine.restore(content, young.request('app', { roles: true }));
  expect(young.warnings).toEqual([]);
  expect(await roles()).toEqual(['boss', "the; 'group'"]);
  const owners = await young.sql(
    'app',
    `SELECT relowner::regrole::text AS "table", (SELECT datdba::regrole::text FROM pg_database WHERE datname = 'app') AS database
     FROM pg_class WHERE relname = 't'`,
  );
  expect(owners).toEqual([{ table: 'boss', database: 'boss' }]);
  const asBoss = young.source('app', { username: 'boss', password: new Secret('pw of boss') });
  expect(await postgresEngine.probe(asBoss)).toMatchObject({ status: 'ok' });
  const facts = await young.sql(
    'postgres',
    `SELECT pg_has_role('boss', 'the; ''group''', 'MEMBER') AS member, shobj_description('boss'::regrole, 'pg_authid') AS says`,
  );
  expect(facts).toEqual([{ member: true, says: "it's; the boss" }]);
}
