import { hash } from 'node:crypto';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { runInterruptibly } from '../../../src/engines/mysql/restore/interruptible.ts';
import { openServer } from '../../../src/engines/mysql/server/server.ts';
import { withSession } from '../../../src/engines/sessions.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithEachMysql, makeBench, picture } from './support.ts';
import { type Cut, openProxy } from './support-proxy.ts';

const swaps = mysqlEngine.swaps!;

const OLD = `CREATE TABLE a (id INT PRIMARY KEY, f TEXT);
CREATE TABLE b (id INT PRIMARY KEY, a_id INT, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id));
CREATE TABLE only_old (id INT PRIMARY KEY);
INSERT INTO a VALUES (1, 'old');
INSERT INTO b VALUES (1, 1);
CREATE PROCEDURE p () SELECT 'old';
CREATE VIEW v AS SELECT id, f FROM a;
CREATE TRIGGER a_bi BEFORE INSERT ON a FOR EACH ROW SET NEW.f = CONCAT('old ', NEW.f);
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM only_old`;
const NEW = `CREATE TABLE a (id INT PRIMARY KEY, f TEXT, g INT);
CREATE TABLE b (id INT PRIMARY KEY, a_id INT, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id));
CREATE TABLE only_new (id INT PRIMARY KEY);
INSERT INTO a VALUES (1, 'new', 1), (2, 'new', 2);
INSERT INTO b VALUES (1, 2);
CREATE FUNCTION q () RETURNS INT DETERMINISTIC RETURN 7;
CREATE VIEW v AS SELECT id, q() AS q FROM a;
CREATE VIEW only_old AS SELECT 1 AS one;
CREATE TRIGGER a_bi BEFORE INSERT ON a FOR EACH ROW SET NEW.g = q();
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM only_new;
CREATE EVENT e2 ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM only_new`;

describeWithEachMysql('mysql: restore', (server) => {
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, string>;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgr_');
    await bench.database('dgr_new', NEW);
    content = await backUp(bench.source('dgr_new'));
    after = await picture(bench, 'dgr_new');
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    for (const name of await bench.names())
      if (name.includes('__dg_')) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
  });
  afterAll(() => bench?.remove());

  it('cut off at any statement of the swap, the target answers, and recover makes it all old or all new', async () => {
    const run = async (cut?: Cut) => {
      await bench.database('dgr_target', OLD);
      const before = await picture(bench, 'dgr_target');
      const proxy = await openProxy(server().port, '__dg_undo_', cut);
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
  }, 280_000);

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
      const proxy = await openProxy(server().port, trigger, { at, when, act: () => stop.abort() });
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
  }, 200_000);

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
    await expect.poll(waiting, { timeout: 20_000 }).toHaveLength(1);
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

  it('a database that another restore makes is left to it', async () => {
    await bench.sql(undefined, 'DROP DATABASE IF EXISTS dgr_target');
    const { host, port, user, password } = server();
    const other = await mysql.createConnection({ host, port, user, password });
    const lock = `dguard:${hash('sha256', 'dgr_target', 'hex').slice(0, 40)}`;
    await other.query('SELECT GET_LOCK(?, 0)', [lock]);
    const restore = () => mysqlEngine.restore(content, bench.request('dgr_target'));
    expect(await errorOf(restore())).toMatchObject({ code: 'locked', subject: 'dgr_target' });
    expect(await bench.names()).not.toContain('dgr_target');
    const [rows] = await other.query('SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS held', [lock]);
    expect(rows).toEqual([{ held: 1 }]);
    await other.end();
    await restore();
    expect(await picture(bench, 'dgr_target')).toEqual(after);
  });

  it('an undo that is cut off is finished or taken back by the next command', async () => {
    const run = async (cut?: Cut) => {
      await clean();
      await bench.database('dgr_target', OLD);
      const before = await picture(bench, 'dgr_target');
      await mysqlEngine.restore(content, bench.request('dgr_target', { overwrite: true }));
      const proxy = await openProxy(server().port, '__dg_undo_', cut);
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
  }, 200_000);

  it('refuses what is there and not empty, and tables that others refer to', async () => {
    await bench.database('dgr_target', OLD);
    expect(await errorOf(mysqlEngine.restore(content, bench.request('dgr_target')))).toMatchObject({
      code: 'target_refused',
    });
    await bench.database(
      'dgr_other',
      'CREATE TABLE x (a_id INT, FOREIGN KEY (a_id) REFERENCES dgr_target.a (id))',
    );
    const error = await errorOf(
      mysqlEngine.restore(content, bench.request('dgr_target', { overwrite: true })),
    );
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.message).toContain('dgr_other.x');
    await bench.sql(undefined, 'DROP DATABASE dgr_other');
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it('puts chosen tables in the place of their counterparts, and takes them back', async () => {
    await bench.database('dgr_target', OLD.replace(/, CONSTRAINT b_a [^)]*\) REFERENCES a \(id\)/, ''));
    const before = await picture(bench, 'dgr_target');
    const request = bench.request('dgr_target', { only: ['a', 'only_n*'], overwrite: true });
    const { undo, tables } = await mysqlEngine.restore(content, request);
    expect(tables!.map(({ name }) => name)).toEqual(['a', 'only_new']);
    const merged = await picture(bench, 'dgr_target');
    expect(merged['TABLE a']).toBe(after['TABLE a']);
    expect(merged['TRIGGER a_bi']).toBe(after['TRIGGER a_bi']);
    for (const same of ['TABLE b', 'TABLE only_old', 'PROCEDURE p', 'EVENT e', 'rows of b'])
      expect(merged[same], same).toBe(before[same]);
    expect(undo).toMatch(/__dg_undo_/);
    await swaps.undo(bench.target('dgr_target'));
    expect(await picture(bench, 'dgr_target')).toEqual(before);
    const fresh = await mysqlEngine.restore(
      content,
      bench.request('dgr_target', { only: ['b'], toDatabase: 'dgr_part' }),
    );
    expect(fresh.tables).toEqual([{ name: 'b', rows: 1 }]);
    expect(
      await errorOf(mysqlEngine.restore(content, bench.request('dgr_target', { only: ['none'] }))),
    ).toMatchObject({ code: 'nothing_there' });
  });

  it('a test restore leaves nothing, runs no event, and tells a row that is missing', async () => {
    const { target, tables } = await mysqlEngine.restore(
      content,
      bench.request('dgr_new', { scratch: true }),
    );
    expect(target).toContain('__dg_scratch_');
    expect(tables!.map(({ rows }) => rows)).toEqual([2, 1, 0]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    const lying: BackupContent = {
      ...content,
      async *entries(options) {
        for await (const entry of content.entries(options))
          yield entry.type === 'table' ? { ...entry, rows: 5 } : entry;
      },
    };
    expect(
      await errorOf(mysqlEngine.restore(lying, bench.request('dgr_new', { scratch: true }))),
    ).toMatchObject({ code: 'corrupt' });
    await bench.sql(undefined, 'CREATE DATABASE dgr_new__dg_scratch_dead');
    await bench.sql(
      'dgr_new__dg_scratch_dead',
      `CREATE TABLE __dguard_mark (id VARCHAR(64) PRIMARY KEY, doc LONGTEXT);
INSERT INTO __dguard_mark VALUES ('mark', '{"dguard":{"role":"scratch","target":"dgr_new","backupId":"x","createdAt":""}}')`,
    );
    await bench.sql(undefined, 'CREATE DATABASE dgr_new__dg_scratch_unmarked');
    // Of a datasource that names no single database it is about all of them.
    const all = bench.source([], { all_databases: true });
    expect(await swaps.dropScratch!({ ...bench.target('dgr_new'), source: all })).toHaveLength(1);
    expect(await swaps.recover({ ...bench.target('dgr_new'), source: all })).toEqual([]);
    // A killed restore to another database is named, with what removes it: nothing else would ever do it.
    await bench.sql(undefined, 'CREATE DATABASE dgr_copy__dg_new_dead');
    await bench.sql(
      'dgr_copy__dg_new_dead',
      `CREATE TABLE __dguard_mark (id VARCHAR(64) PRIMARY KEY, doc LONGTEXT);
INSERT INTO __dguard_mark VALUES ('mark', '{"dguard":{"role":"new","target":"dgr_copy","backupId":"x","createdAt":""}}')`,
    );
    const one = bench.target('dgr_target');
    expect(await swaps.recover(one)).toEqual([
      `dgr_copy__dg_new_dead was left by an interrupted restore of x to dgr_copy, and takes room; to remove it: dguard restore --recover --to ${one.source!.name} --to-database dgr_copy`,
    ]);
    expect(await swaps.recover({ ...one, toDatabase: 'dgr_copy' })).toHaveLength(1);
    expect(await swaps.recover(one)).toEqual([]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([
      'dgr_new__dg_scratch_unmarked',
    ]);
  });

  it('code of another collation does not change the database that the dump was of', async () => {
    await bench.database(
      'dgr_coll',
      'CREATE TABLE t (n INT);\nCREATE TRIGGER t_bi BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1;\nCREATE PROCEDURE pr () SELECT 1',
    );
    await bench.sql(undefined, 'ALTER DATABASE dgr_coll CHARACTER SET latin1 COLLATE latin1_swedish_ci');
    const backup = await backUp(bench.source('dgr_coll'));
    await bench.sql(undefined, 'ALTER DATABASE dgr_coll CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    const before = await picture(bench, 'dgr_coll');
    await mysqlEngine.restore(backup, bench.request('dgr_coll', { toDatabase: 'dgr_coll_2' }));
    expect(await picture(bench, 'dgr_coll')).toEqual(before);
    expect((await picture(bench, 'dgr_coll_2'))['defaults']).toContain('latin1');
  });

  it('an account that may not keep definers becomes them, with a warning; one that may create nothing is refused', async () => {
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgr_mid'@'%'; CREATE USER 'dgr_mid'@'%' IDENTIFIED BY 'mid-pass-1'; GRANT ALL PRIVILEGES ON `dgr\\_mid%`.* TO 'dgr_mid'@'%'",
    );
    await bench.sql(undefined, 'SET GLOBAL log_bin_trust_function_creators = 1');
    const options = { username: 'dgr_mid', password: new Secret('mid-pass-1') };
    const request = (name: string) =>
      bench.request(name, { source: bench.source(name, options), toDatabase: name });
    await mysqlEngine.restore(content, request('dgr_mid_1'));
    expect(bench.warnings.map(({ message }) => message).join()).toMatch(/may not keep their definers/);
    const [row] = await bench.sql(
      'dgr_mid_1',
      "SELECT DEFINER AS definer FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'dgr_mid_1'",
    );
    expect(row!['definer']).toBe('dgr_mid@%');
    // Of somebody else: what is replaced comes back all the same.
    const readable = OLD.replace("CREATE PROCEDURE p () SELECT 'old';\n", '');
    await bench.database('dgr_mid_2', readable);
    const before = Object.keys(await picture(bench, 'dgr_mid_2')).sort();
    const overwrite = { ...request('dgr_mid_2'), overwrite: true };
    bench.warnings.length = 0;
    if (server().flavour === 'mysql') {
      // It may not even drop what a SYSTEM_USER has defined.
      expect(await errorOf(mysqlEngine.restore(content, overwrite))).toMatchObject({ code: 'target_failed' });
    } else {
      await mysqlEngine.restore(content, overwrite);
      expect(bench.warnings.filter(({ partial }) => partial)).toEqual([]);
      await swaps.undo({ ...bench.target('dgr_mid_2'), source: bench.source('dgr_mid_2', options) });
    }
    expect(Object.keys(await picture(bench, 'dgr_mid_2')).sort()).toEqual(before);
    const error = await errorOf(mysqlEngine.restore(content, request('dgr_forbidden')));
    expect(error).toMatchObject({ code: 'target_refused' });
    expect(error.hint).toMatch(/^as an administrator: GRANT/);
  });

  it('a load that fails, and one that is stopped, leave nothing and touch nothing', async () => {
    await bench.database('dgr_target', OLD);
    const before = await picture(bench, 'dgr_target');
    const broken: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry))
          yield Buffer.from(
            Buffer.from(chunk)
              .toString('latin1')
              .replace('CREATE TABLE `b` (', 'CREATE TABLE `b` (nonsense '),
            'latin1',
          );
      },
    };
    const error = await errorOf(
      mysqlEngine.restore(broken, bench.request('dgr_target', { overwrite: true })),
    );
    expect(error).toMatchObject({ code: 'target_failed' });
    expect(error.message).toMatch(/ERROR \d+/);
    const stop = new AbortController();
    const stopping: BackupContent = {
      ...content,
      async *read(entry) {
        for await (const chunk of content.read(entry)) {
          yield chunk.subarray(0, chunk.length / 2);
          stop.abort();
          yield chunk.subarray(chunk.length / 2);
        }
      },
    };
    expect(
      await errorOf(
        mysqlEngine.restore(stopping, bench.request('dgr_target', { overwrite: true, signal: stop.signal })),
      ),
    ).toMatchObject({ code: 'interrupted' });
    expect(await picture(bench, 'dgr_target')).toEqual(before);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
});
