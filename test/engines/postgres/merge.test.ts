import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';

const swaps = postgresEngine.swaps!;

/** Tables with all that hangs on a table, and others that hang on them. */
const SHOP = `
  CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
  CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customers, net numeric(10,2),
    gross numeric(10,2) GENERATED ALWAYS AS (net * 1.2) STORED);
  CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY, "order" int NOT NULL, CONSTRAINT of_order
    FOREIGN KEY ("order") REFERENCES orders ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
  COMMENT ON CONSTRAINT of_order ON items IS 'whose it is';
  CREATE TABLE audit (what text);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
  CREATE TRIGGER noted AFTER INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note();
  CREATE TRIGGER emptied AFTER TRUNCATE ON orders EXECUTE FUNCTION note();
  ALTER TABLE orders ENABLE ALWAYS TRIGGER noted;
  CREATE TRIGGER off BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note();
  ALTER TABLE orders DISABLE TRIGGER off;
  CREATE RULE told AS ON INSERT TO items DO ALSO INSERT INTO audit VALUES ('rule');
  CREATE VIEW order_totals AS SELECT customer, sum(net) AS net FROM orders GROUP BY customer;
  CREATE MATERIALIZED VIEW best AS SELECT * FROM order_totals ORDER BY net DESC LIMIT 1;
  CREATE TABLE "Odd ""one""" (a int, "b c" text);
  CREATE TABLE events (at date, kind text) PARTITION BY RANGE (at);
  CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
  CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
  CREATE TABLE nothing_in_it ();
  INSERT INTO customers (name) SELECT 'c' || g FROM generate_series(1, 3) g;
  INSERT INTO orders (customer, net) SELECT 1 + g % 3, g FROM generate_series(1, 10) g;
  INSERT INTO items ("order") SELECT g FROM generate_series(1, 10) g;
  INSERT INTO "Odd ""one""" VALUES (1, E'tab\\t\\\\. \\\\N'), (NULL, '');
  INSERT INTO events VALUES ('2026-01-10', 'a'), ('2026-02-10', 'b');
  INSERT INTO nothing_in_it DEFAULT VALUES;
  REFRESH MATERIALIZED VIEW best;
  TRUNCATE audit;`;

describeWithEachPostgres('postgres: chosen tables into a database that has others', (server) => {
  let bench: Bench;
  let content: BackupContent;
  const clients: pg.Client[] = [];
  const restore = (only: string[], more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(content, bench.request('shop', { only, overwrite: true, ...more }));
  const count = async (table: string) =>
    (await bench.sql('shop', `SELECT count(*)::int AS n FROM ${table}`))[0]!['n'];
  const warned = () => bench.warnings.map(({ message }) => message).join('\n');
  /** All of the database but what dguard keeps. */
  const picture = async () => ({
    schema: schemaText(server(), bench, 'shop', ['--exclude-schema=dg_undo_*']),
    sums: Object.fromEntries(
      Object.entries(await contentSums(bench, 'shop')).filter(([name]) => !name.startsWith('dg_undo_')),
    ),
  });

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('original', SHOP);
    await bench.sql('postgres', "CREATE ROLE clerk LOGIN PASSWORD 'pw of clerk'");
    await bench.sql('original', 'GRANT SELECT ON orders TO clerk');
    content = { ...(await backUp(bench.source('original'))), database: 'shop' };
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    await bench.sql('postgres', 'DROP DATABASE IF EXISTS shop');
    await bench.sql('postgres', 'CREATE DATABASE shop TEMPLATE original');
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end().catch(() => {});
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
  afterAll(() => bench?.remove());

  it('puts their rows in place: what hangs on them stays, no trigger fires, no sequence goes back', async () => {
    const before = await picture();
    await bench.sql(
      'shop',
      "DELETE FROM orders WHERE id < 6; UPDATE orders SET net = 0; UPDATE customers SET name = 'new'",
    );
    await bench.sql('shop', "SELECT setval('orders_id_seq', 500); TRUNCATE audit");
    const damaged = await picture();
    const outcome = await restore(['orders', 'items']);
    expect(outcome.tables).toEqual([
      { name: 'public.items', rows: 10 },
      { name: 'public.orders', rows: 10 },
    ]);
    const after = await picture();
    expect(after.schema).toBe(before.schema);
    const { 'public.customers': customers, 'public.orders_id_seq': sequence, ...same } = before.sums;
    expect(after.sums).toMatchObject({ ...same, 'public.audit': before.sums['public.audit'] });
    expect(after.sums['public.customers']).toBe(damaged.sums['public.customers']);
    expect(after.sums['public.orders_id_seq']).toBe(damaged.sums['public.orders_id_seq']);
    expect([customers, sequence]).not.toContain(undefined);
    expect(await bench.sql('shop', 'SELECT sum(net)::int AS n FROM order_totals')).toEqual([{ n: 55 }]);
    expect(warned()).toBe(
      'materialized views that read from them have what they had: REFRESH MATERIALIZED VIEW public.best',
    );
    // Its foreign key is one again, and deleting still cascades.
    await bench.sql('shop', 'DELETE FROM orders WHERE id = 1; TRUNCATE audit');
    expect(await count('items')).toBe(9);

    const [copy] = await swaps.undoCopies(bench.target('shop'));
    expect(copy).toMatchObject({ name: outcome.undo, backupId: 'full-2026-01-02T03-04-05Z-abcdefgh' });
    const undone = await swaps.undo(bench.target('shop'));
    expect(undone).toMatchObject({ target: 'shop', restored: { name: outcome.undo } });
    expect(await picture()).toEqual(damaged);
    // What undo replaced is kept in its turn, and comes back.
    expect(await swaps.undoCopies(bench.target('shop'))).toHaveLength(1);
    await swaps.undo(bench.target('shop'));
    expect(await count('orders')).toBe(9);
    expect(await swaps.dropUndo(bench.target('shop'), 0)).toHaveLength(1);
    expect(await swaps.undoCopies(bench.target('shop'))).toEqual([]);
    expect(await bench.sql('shop', "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dg%'")).toEqual([]);
  });

  it('sequences go on after the restored rows: set and not used, of several tables, or of none', async () => {
    await bench.database(
      'shop',
      `CREATE SEQUENCE ids; CREATE SEQUENCE down INCREMENT -1; CREATE SEQUENCE ahead;
      CREATE TABLE a (id int PRIMARY KEY DEFAULT nextval('ids'), own serial, gen int GENERATED ALWAYS AS IDENTITY,
        less int DEFAULT nextval('down'), far int DEFAULT nextval('ahead'));
      CREATE TABLE gone (id int PRIMARY KEY DEFAULT nextval('ids'), own serial);
      INSERT INTO a DEFAULT VALUES; INSERT INTO gone DEFAULT VALUES;
      SELECT setval('ids', 100, false), setval('a_own_seq', 200, false), setval('a_gen_seq', 300), setval('down', -400, false),
        setval('ahead', 5, false), setval('gone_own_seq', 600, false)`,
    );
    const backup = await backUp(bench.source('shop'));
    const take = (table: string) =>
      postgresEngine.restore(backup, bench.request('shop', { only: [table], overwrite: true }));
    await bench.sql(
      'shop',
      `SELECT setval('ids', 1), setval('a_own_seq', 1), setval('a_gen_seq', 1, false), setval('down', -1), setval('ahead', 700, false);
      ALTER SEQUENCE a_own_seq RENAME TO renamed; DROP TABLE gone`,
    );
    await take('a');
    const next = (sequences: string[]) =>
      bench.sql('shop', `SELECT ${sequences.map((name) => `nextval('${name}')::int AS ${name}`).join(', ')}`);
    expect(await next(['ids', 'renamed', 'a_gen_seq', 'down', 'ahead'])).toEqual([
      { ids: 100, renamed: 200, a_gen_seq: 301, down: -400, ahead: 700 },
    ]);
    await bench.sql('shop', "SELECT setval('ids', 1)");
    await take('gone');
    expect(await next(['ids', 'gone_own_seq'])).toEqual([{ ids: 100, gone_own_seq: 600 }]);
    expect(warned()).toBe('');
  });

  it('neither ~/.psqlrc nor PG… variables of whoever runs it reach the client tools', async () => {
    writeFileSync(join(bench.folder, '.psqlrc'), '\\echo hello\n\\q\n');
    const env = {
      ...process.env,
      HOME: bench.folder,
      PSQLRC: join(bench.folder, '.psqlrc'),
      PGOPTIONS: '-c statement_timeout=1 -c default_transaction_read_only=on',
      PGHOST: 'nowhere.invalid',
      PGSERVICE: 'none',
      PGSSLMODE: 'verify-full',
      PGCLIENTENCODING: 'LATIN1',
    };
    const source = { ...bench.source('shop'), env };
    const backup = await backUp(source);
    await bench.sql('shop', 'DELETE FROM items; DROP TABLE events');
    const only = ['items', 'events'];
    await postgresEngine.restore(backup, bench.request('shop', { source, only, overwrite: true }));
    expect([await count('items'), await count('events')]).toEqual([10, 2]);
  });

  it('rows that would refer to nothing are refused, and nothing is changed', async () => {
    await bench.sql('shop', 'DELETE FROM orders; DELETE FROM customers WHERE id = 2; TRUNCATE audit');
    const before = await picture();
    const error = await errorOf(restore(['orders']));
    expect(error).toMatchObject({ code: 'target_refused', exitStatus: 1 });
    expect(error.message).toContain('foreign key constraint "orders_customer_fkey"');
    expect(error.hint).toContain('--only');
    expect(await picture()).toEqual(before);
    await restore(['orders', 'customers']);
    expect([await count('orders'), await count('customers')]).toEqual([10, 3]);
  });

  it('tables that have changed, and those of others, are refused before anything is locked', async () => {
    await bench.sql(
      'shop',
      'ALTER TABLE orders ADD note text; ALTER TABLE orders ALTER gross DROP EXPRESSION; ALTER TABLE items RENAME TO items_old; CREATE VIEW items AS SELECT 1 AS id',
    );
    const error = await errorOf(restore(['orders', 'items']));
    expect(error).toMatchObject({ code: 'target_refused' });
    for (const part of [
      'column note of public.orders is only in the database',
      'column gross of public.orders was numeric(10,2) generated and is numeric(10,2)',
      'public.items is no longer a table but a view',
    ])
      expect(error.message).toContain(part);
    expect(error.hint).toContain('--to-database');
    await bench.sql('postgres', 'ALTER ROLE clerk CREATEDB');
    const source = bench.source('shop', { username: 'clerk', password: new Secret('pw of clerk') });
    const strange = await errorOf(restore(['customers'], { source }));
    expect(strange.message).toContain(
      'does not own these tables, or tables that refer to them: public.customers, public.orders',
    );
  });

  it('what cannot be done is refused: --delete-extra, no --overwrite, a role that may not create databases', async () => {
    expect(await errorOf(restore(['orders'], { deleteExtra: true }))).toMatchObject({
      code: 'target_refused',
    });
    expect(await errorOf(restore(['orders'], { overwrite: false }))).toMatchObject({
      code: 'target_refused',
    });
    await bench.sql('postgres', 'ALTER ROLE clerk NOCREATEDB');
    const source = bench.source('shop', { username: 'clerk', password: new Secret('pw of clerk') });
    expect((await errorOf(restore(['orders'], { source }))).hint).toContain('CREATEDB');
    const { plan } = await restore(['orders'], { dryRun: true });
    expect(plan!.join('\n')).toContain('put the rows of public.orders into the place of those in shop');
    expect(await swaps.undoCopies(bench.target('shop'))).toEqual([]);
  });

  it('tables that are gone come back with all that was theirs; undo takes them away, and brings them again', async () => {
    const before = await picture();
    await bench.sql('shop', 'DROP TABLE items, events; TRUNCATE orders; TRUNCATE audit');
    const damaged = await picture();
    await restore(['items', 'orders', 'events', 'Odd*', 'nothing_in_it']);
    expect(await picture()).toEqual(before);
    await swaps.undo(bench.target('shop'));
    expect(await picture()).toEqual(damaged);
    await swaps.undo(bench.target('shop'));
    expect(await picture()).toEqual(before);
    await swaps.undo(bench.target('shop'));
    expect(await swaps.dropUndo(bench.target('shop'), 0)).toHaveLength(1);
    expect(await picture()).toEqual(damaged);
  });

  it('what CASCADE took with a table is named: foreign keys of others as statements that work, and views', async () => {
    const before = await picture();
    await bench.sql('shop', 'DROP TABLE customers CASCADE');
    await restore(['customers']);
    const lost = warned().match(/when they were dropped is not back: (ALTER TABLE public\.orders ADD .*)$/);
    expect(lost, warned()).not.toBeNull();
    await bench.sql('shop', lost![1]!);
    expect((await picture()).schema).toBe(before.schema);
    await bench.sql('shop', 'DROP TABLE items; DROP TABLE orders CASCADE');
    bench.warnings.length = 0;
    await restore(['orders']);
    // items is gone too: there is nothing to say of its key.
    expect(warned()).toBe(
      'what hung on the tables when they were dropped is not back: view public.best; view public.order_totals',
    );
  });

  it('a partitioned table names its partitions', async () => {
    await bench.sql('shop', "DELETE FROM events; INSERT INTO events VALUES ('2026-01-11', 'later')");
    bench.warnings.length = 0;
    const { tables } = await restore(['events']);
    expect(tables).toEqual([
      { name: 'public.events_1', rows: 1 },
      { name: 'public.events_2', rows: 1 },
    ]);
    expect(bench.warnings.map(({ message }) => message).join()).not.toContain('matches');
    expect(await bench.sql('shop', 'SELECT string_agg(kind, $$ $$ ORDER BY at) AS k FROM events')).toEqual([
      { k: 'a b' },
    ]);
  });

  it('a backup of a part merges what it holds; what is kept is in no backup', async () => {
    const part = {
      ...(await backUp(bench.source('original'), { exclude: ['items', 'audit'] })),
      database: 'shop',
    };
    await bench.sql('shop', "TRUNCATE orders CASCADE; INSERT INTO audit VALUES ('mine')");
    await postgresEngine.restore(part, bench.request('shop', { overwrite: true }));
    expect([await count('orders'), await count('items')]).toEqual([10, 0]);
    expect(await bench.sql('shop', 'SELECT what FROM audit')).toContainEqual({ what: 'mine' });
    for (const format of ['native', 'jsonl'] as const) {
      const again = await backUp(bench.source('shop'), { format });
      expect(again.facts).toMatchObject({ tables_count: 8, schema_sha256: content.facts.schema_sha256 });
      const target = `again_${format}`;
      await postgresEngine.restore(again, bench.request('shop', { toDatabase: target }));
      expect(await bench.sql(target, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dg%'")).toEqual(
        [],
      );
      await bench.sql('postgres', `DROP DATABASE ${target}`);
    }
  });

  it('a table that somebody works on is not taken from them; a session that breaks leaves all as it was', async () => {
    const { host, port, user, password } = server();
    const client = new pg.Client({ host, port, user, password, database: 'shop' });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    await bench.sql('shop', 'DELETE FROM items');
    await client.query('BEGIN; SELECT * FROM orders LIMIT 1');
    const source = bench.source('shop', { lock_timeout_ms: 300 });
    const error = await errorOf(restore(['items', 'orders'], { source }));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.hint).toContain('stop the application');
    const waiting = restore(['items', 'orders']);
    waiting.catch(() => {});
    await expect
      .poll(
        () =>
          bench.sql(
            'postgres',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'",
          ),
        { timeout: 60_000 },
      )
      .toHaveLength(1);
    expect(await errorOf(waiting)).toMatchObject({ code: 'target_failed' });
    await client.query('COMMIT');
    expect(await count('items')).toBe(0);
    expect(await swaps.undoCopies(bench.target('shop'))).toEqual([]);
  });

  it('a foreign key that is left out takes its comment with it', async () => {
    const part = { ...(await backUp(bench.source('original'), { exclude: ['orders'] })), database: 'part' };
    await postgresEngine.restore(part, bench.request('part'));
    expect(await bench.sql('part', 'SELECT count(*)::int AS n FROM items')).toEqual([{ n: 10 }]);
    expect(warned()).toContain('public.items → public.orders');
    await bench.sql('postgres', 'DROP DATABASE part');
  });

  it('a table that comes back does not wait for ever for one that it refers to or is a part of', async () => {
    const { host, port, user, password } = server();
    const client = new pg.Client({ host, port, user, password, database: 'shop' });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    await bench.sql('shop', 'DROP TABLE items, events_2');
    const source = bench.source('shop', { lock_timeout_ms: 300 });
    for (const [lock, table] of [
      ['UPDATE orders SET net = net', 'items'],
      ['LOCK TABLE events IN SHARE MODE', 'events_2'],
    ] as const) {
      await client.query(`BEGIN; ${lock}`);
      const error = await errorOf(restore([table], { source, signal: AbortSignal.timeout(15_000) }));
      expect(error).toMatchObject({ code: 'target_refused' });
      expect(error.hint).toContain('stop the application');
      await client.query('ROLLBACK');
      expect(await bench.sql('shop', `SELECT to_regclass('${table}') AS there`)).toEqual([{ there: null }]);
      await restore([table], { source });
    }
    expect([await count('items'), await count('events')]).toEqual([10, 2]);
  });
});
