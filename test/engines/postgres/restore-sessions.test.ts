import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { BEGUN_LIMIT } from '../../../src/engines/postgres/restore/marks.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp } from './support.ts';
import { useShop } from './support-restore.ts';

const swaps = postgresEngine.swaps!;

describeWithEachPostgres('postgres: a restore among other sessions, and one that is stopped', (server) => {
  const shop = useShop(server);
  const { connect, rows, restore } = shop;
  let bench: Bench;
  let content: BackupContent;
  beforeAll(() => {
    ({ bench, content } = shop);
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
      await expect.poll(() => bench.sql('postgres', made), { interval: 1, timeout: 60_000 }).not.toEqual([]);
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

  it('what a living restore has loaded and not yet renamed is its own', async () => {
    await bench.database('slow', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1)');
    const content = await backUp(bench.source('slow'));
    // The renames wait for this one; nobody is connected to what was loaded.
    const blocker = await connect('postgres');
    await blocker.query("BEGIN; COMMENT ON DATABASE slow IS 'soon'");
    const restoring = postgresEngine.restore(content, bench.request('slow', { overwrite: true }));
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER DATABASE "slow" RENAME%'`;
    while ((await bench.sql('postgres', waiting)).length === 0) await sleep(20);
    expect(await swaps.recover(bench.target('slow'))).toEqual([]);
    expect(await swaps.recover(bench.target('app'))).toEqual([]);
    // Of another database: the server lets nobody into the one that is about to be renamed.
    const findings = await postgresEngine.diagnose!(bench.source('app'), { job: 'j' });
    expect(findings.filter(({ topic }) => topic === 'leftovers')).toEqual([]);
    await blocker.query('ROLLBACK');
    await blocker.end();
    expect((await restoring).target).toBe('slow');
    await swaps.dropUndo(bench.target('slow'), 0);
    await bench.sql('postgres', 'DROP DATABASE slow');
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
});
