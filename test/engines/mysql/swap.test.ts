import mysql from 'mysql2/promise';
import { beforeAll, expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { runInterruptibly } from '../../../src/engines/mysql/restore/interruptible.ts';
import { openServer } from '../../../src/engines/mysql/server/server.ts';
import { withSession } from '../../../src/engines/sessions.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import type { Cut } from '../support-proxy.ts';
import { type Bench, describeWithEachMysql, picture } from './support.ts';
import { openMysqlProxy } from './support-proxy.ts';
import { OLD, useNew } from './support-restore.ts';

const swaps = mysqlEngine.swaps!;

describeWithEachMysql('mysql: the swap of a restore', (server) => {
  const loaded = useNew(server);
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, string>;
  beforeAll(() => {
    ({ bench, content, after } = loaded);
  });

  it('cut off at any statement of the swap, the target answers, and recover makes it all old or all new', async () => {
    const run = async (cut?: Cut) => {
      await bench.database('dgr_target', OLD);
      const before = await picture(bench, 'dgr_target');
      const proxy = await openMysqlProxy(server().port, '__dg_undo_', cut);
      try {
        const source = bench.source('dgr_target', { port: proxy.port, ssl: 'disable' });
        const result = await mysqlEngine
          .restore(content, bench.request('dgr_target', { source, overwrite: true }))
          .then(
            () => 'done',
            (error: unknown) => error as DguardError,
          );
        return { before, result, statements: proxy.statements };
      } finally {
        await proxy.close();
      }
    };
    const whole = await run();
    expect(whole.result).toBe('done');
    expect(await picture(bench, 'dgr_target')).toEqual(after);
    const { statements } = whole;
    const notable = statements.flatMap((text, at) =>
      /RENAME TABLE|DROP TRIGGER|DROP EVENT|plan|DROP DATABASE|CREATE TABLE|"role"/.test(text)
        ? [at + 1]
        : [],
    );
    const renameAt = statements.findIndex((text) => text.includes('RENAME TABLE')) + 1;
    expect(renameAt).toBeGreaterThan(1);
    const every = Math.ceil(statements.length / 8);
    const points = new Set([
      1,
      renameAt,
      ...notable.filter((_, at) => at % 3 === 0),
      ...statements.map((_, at) => at + 1).filter((at) => at % every === 0),
    ]);
    let reverted = 0;
    let finished = 0;
    for (const at of [...points].sort((a, b) => a - b)) {
      for (const when of at === renameAt
        ? (['before', 'after'] as const)
        : ([at % 2 === 0 ? 'before' : 'after'] as const)) {
        await clean();
        const { before, result } = await run({ at, when });
        const told = `${when} ${at} of ${statements.length}: ${statements[at - 1]!.slice(0, 80)}`;
        expect(result, told).toBeInstanceOf(DguardError);
        // Old or new, it answers.
        const [row] = await bench.sql('dgr_target', 'SELECT MIN(f) AS f, COUNT(*) AS n FROM a');
        expect(['old', 'new'], told).toContain(row!['f']);
        await settled();
        const now = await picture(bench, 'dgr_target');
        const isNew = row!['f'] === 'new';
        expect(now, told).toEqual(isNew ? after : before);
        expect(isNew, told).toBe(at > renameAt || (at === renameAt && when === 'after'));
        const left = (await bench.names()).filter((name) => name.includes('__dg_'));
        expect(left.length, `${told}: ${left}`).toBe(isNew ? 1 : 0);
        if (isNew) {
          finished++;
          await swaps.undo(bench.target('dgr_target'));
          expect(await picture(bench, 'dgr_target'), told).toEqual(before);
        } else reverted++;
      }
    }
    expect(reverted).toBeGreaterThan(3);
    expect(finished).toBeGreaterThan(3);
  });

  async function clean(): Promise<void> {
    for (const name of await bench.names())
      if (name.includes('__dg_')) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
  }

  /** The server frees the locks of a broken connection as soon as it notices. */
  async function settled(): Promise<void> {
    for (let attempt = 0; attempt < 50; attempt++) {
      await swaps.recover(bench.target('dgr_target'));
      const rows = await bench.sql(
        undefined,
        "SELECT TABLE_SCHEMA AS name FROM information_schema.TABLES WHERE TABLE_NAME IN ('__dguard_before', '__dguard_after') AND TABLE_SCHEMA LIKE 'dgr%'",
      );
      const loading = (await bench.names()).filter((name) => name.includes('__dg_new_'));
      if (rows.length === 0 && loading.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it('an interrupt at any statement of the swap leaves it all old or all new at once, and nothing of ours', async () => {
    const run = async (trigger: string, at: number, when: 'before' | 'after') => {
      await clean();
      await bench.database('dgr_target', OLD);
      const before = await picture(bench, 'dgr_target');
      const stop = new AbortController();
      const { signal } = stop;
      const proxy = await openMysqlProxy(server().port, trigger, { at, when, act: () => stop.abort() });
      try {
        const source = { ...bench.source('dgr_target', { port: proxy.port, ssl: 'disable' }), signal };
        const result = await mysqlEngine
          .restore(content, bench.request('dgr_target', { source, signal, overwrite: true }))
          .then(
            () => 'done',
            (error: unknown) => (error as DguardError).code,
          );
        const told = `${when} ${at} of ${trigger}: ${proxy.statements[at - 1]?.slice(0, 80)}`;
        const now = await picture(bench, 'dgr_target');
        const left = (await bench.names()).filter((name) => name.includes('__dg_'));
        if (result === 'done') {
          expect(now, told).toEqual(after);
          expect(left, told).toEqual([expect.stringContaining('__dg_undo_')]);
        } else {
          expect(result, told).toBe('interrupted');
          expect(now, told).toEqual(before);
          expect(left, told).toEqual([]);
        }
        return { result, statements: proxy.statements };
      } finally {
        await proxy.close();
      }
    };
    const { statements } = await run('__dg_undo_', Number.POSITIVE_INFINITY, 'before');
    const renameAt = statements.findIndex((text) => text.includes('RENAME TABLE')) + 1;
    expect(renameAt).toBeGreaterThan(1);
    const every = Math.ceil(statements.length / 8);
    const points = statements.map((_, at) => at + 1).filter((at) => at % every === 0);
    const results = new Set<string>();
    for (const at of [1, ...points, renameAt - 1, renameAt])
      results.add((await run('__dg_undo_', at, at % 2 === 0 ? 'before' : 'after')).result);
    results.add((await run('RENAME TABLE', 1, 'before')).result);
    expect(results).toEqual(new Set(['done', 'interrupted']));
    // What makes the database that it loads: the server goes on with it when its client is gone.
    for (const at of [1, 2, 3])
      for (const when of ['before', 'after'] as const)
        expect((await run('CREATE DATABASE', at, when)).result).toBe('interrupted');
  });

  it('an interrupt ends a swap that waits for a transaction of somebody', async () => {
    await clean();
    await bench.database('dgr_target', OLD);
    const before = await picture(bench, 'dgr_target');
    const { host, port, user, password } = server();
    const other = await mysql.createConnection({ host, port, user, password, database: 'dgr_target' });
    await other.query('BEGIN');
    await other.query('SELECT * FROM a');
    const stop = new AbortController();
    const { signal } = stop;
    const source = { ...bench.source('dgr_target'), signal };
    const restored = errorOf(
      mysqlEngine.restore(content, bench.request('dgr_target', { source, signal, overwrite: true })),
    );
    const waiting = () =>
      bench.sql(
        undefined,
        "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DROP TRIGGER%dgr\\_target%'",
      );
    await expect.poll(waiting, { timeout: 60_000 }).toHaveLength(1);
    stop.abort();
    expect(await restored).toMatchObject({ code: 'interrupted' });
    other.destroy();
    expect(await picture(bench, 'dgr_target')).toEqual(before);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it('an interrupt that came before it began ends a statement of the swap as well', async () => {
    const opened = openServer(bench.source('dgr_new'));
    try {
      await withSession(
        () => opened.open(),
        async (session) => {
          const [row] = await session.rows<{ id: string }>('SELECT CONNECTION_ID() AS id');
          let stops = 0;
          const stop = async () => {
            stops++;
            await bench.sql(undefined, `KILL QUERY ${row!.id}`);
          };
          const asleep = () => session.run('DO SLEEP(3)').catch(() => {});
          await runInterruptibly(session, { signal: AbortSignal.abort(), stop }, asleep);
          expect(stops).toBeGreaterThan(0);
          expect(await session.rows("SELECT 'well' AS is_it")).toEqual([{ is_it: 'well' }]);
        },
      );
    } finally {
      await opened.dispose();
    }
  });

  it('an undo that is cut off is finished or taken back by the next command', async () => {
    const run = async (cut?: Cut) => {
      await clean();
      await bench.database('dgr_target', OLD);
      const before = await picture(bench, 'dgr_target');
      await mysqlEngine.restore(content, bench.request('dgr_target', { overwrite: true }));
      const proxy = await openMysqlProxy(server().port, '__dg_undo_', cut);
      try {
        const target = bench.target('dgr_target', { port: proxy.port, ssl: 'disable' });
        const failed = await swaps.undo(target).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (cut === undefined) expect(failed).toBeUndefined();
        return { before, statements: proxy.statements };
      } finally {
        await proxy.close();
      }
    };
    const { statements } = await run();
    const every = Math.ceil(statements.length / 8);
    const dropped = statements.findIndex((text) => text.includes('DROP DATABASE')) + 1;
    expect(dropped).toBeGreaterThan(0);
    const points = statements.map((_, at) => at + 1).filter((at) => at % every === 0);
    for (const at of new Set([...points, dropped - 1, dropped])) {
      const { before } = await run({ at, when: 'before' });
      const told = `before ${at} of ${statements.length}: ${statements[at - 1]!.slice(0, 80)}`;
      await settled();
      const [row] = await bench.sql('dgr_target', 'SELECT MIN(f) AS f FROM a');
      expect(await picture(bench, 'dgr_target'), told).toEqual(row!['f'] === 'new' ? after : before);
      const left = (await bench.names()).filter((name) => name.includes('__dg_'));
      expect(left, told).toEqual([expect.stringContaining('__dg_undo_')]);
    }
  });
});
