import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { conditions, cutPoints } from '../../../src/engines/mysql/dump/chunks.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { collect } from '../../archive/support.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithEachMysql, dumpRequest, makeBench, picture } from './support.ts';
import { valuesDatabase } from './support-values.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');
const CUT = `CREATE TABLE cut (id BIGINT PRIMARY KEY, filler LONGTEXT);
INSERT INTO cut SELECT n * 977 - 1000000, REPEAT(SHA2(n, 256), 40) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
${Array.from({ length: 4 }, (_, n) => `INSERT INTO cut SELECT id + ${977 * 900 * 2 ** n}, filler FROM cut`).join(';\n')};
CREATE TABLE after_cut (n INT);
INSERT INTO after_cut VALUES (1);
ANALYZE TABLE cut`;

describeWithEachMysql('mysql: parallel dump', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgp_');
    await bench.database('dgp_cut', CUT);
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  async function bytesOf(database: string): Promise<Buffer> {
    const dump = await mysqlEngine.dump(bench.source(database), dumpRequest({ parallelJobs: 3 }));
    try {
      const bytes: Buffer[] = [];
      for await (const member of dump.members()) bytes.push(await collect((member as StreamMember).open()));
      await dump.facts();
      return Buffer.concat(bytes);
    } finally {
      await dump.close();
    }
  }

  it('objects of many kinds come back equal, and parse', async () => {
    await bench.database('dgp_objects', OBJECTS);
    const before = await picture(bench, 'dgp_objects');
    const content = await backUp(bench.source('dgp_objects'), { parallelJobs: 3 });
    expect(content.facts).toMatchObject({ consistency: 'snapshot', engine: { counts: 'exact' } });
    const request = { env: {}, tempDir: bench.folder, signal: new AbortController().signal, onProgress() {} };
    expect(await mysqlEngine.inspect(content, request)).toEqual([]);
    await mysqlEngine.restore(content, bench.request('dgp_objects', { toDatabase: 'dgp_new' }));
    expect(await picture(bench, 'dgp_new')).toEqual(before);
    expect(bench.warnings).toEqual([]);
  });

  it('every value comes back exactly', async () => {
    await valuesDatabase(bench, 'dgp_values');
    const before = await picture(bench, 'dgp_values');
    const content = await backUp(bench.source('dgp_values'), { parallelJobs: 2 });
    expect(content.facts.consistency).toBe('none');
    const { tables } = await mysqlEngine.restore(
      content,
      bench.request('dgp_values', { toDatabase: 'dgp_values_2' }),
    );
    expect(await picture(bench, 'dgp_values_2')).toEqual(before);
    expect(tables).toContainEqual({ name: 'old_engine', rows: 1 });
    // CHECKSUM TABLE takes 0 and -0 for one.
    const sign = (database: string) =>
      bench.sql(database, 'SELECT CONCAT(f) AS f, CONCAT(d) AS d FROM floats WHERE id = 2');
    expect(await sign('dgp_values_2')).toEqual(await sign('dgp_values'));
  });

  it('a large table is cut, its rows are there once each, and the same data makes the same bytes', async () => {
    const before = await picture(bench, 'dgp_cut');
    const bytes = await bytesOf('dgp_cut');
    expect(bytes.toString('latin1').match(/INSERT INTO `cut`/g)!.length).toBeGreaterThan(20);
    expect(bytes.equals(await bytesOf('dgp_cut'))).toBe(true);
    const content = await backUp(bench.source('dgp_cut'), { parallelJobs: 3 });
    await mysqlEngine.restore(content, bench.request('dgp_cut', { toDatabase: 'dgp_cut_2' }));
    expect(await picture(bench, 'dgp_cut_2')).toEqual(before);
  });

  it('a table altered, truncated or dropped in the middle, and a connection ended, fail it', async () => {
    const middle = async (act: () => Promise<unknown>) => {
      const dump = await mysqlEngine.dump(bench.source('dgp_cut'), dumpRequest({ parallelJobs: 2 }));
      try {
        for await (const member of dump.members()) {
          let acted = false;
          for await (const _ of (member as StreamMember).open()) {
            if (!acted) await act();
            acted = true;
          }
        }
        await dump.facts();
      } finally {
        await dump.close();
      }
    };
    for (const statement of [
      'ALTER TABLE after_cut ADD COLUMN more INT',
      'TRUNCATE TABLE after_cut',
      'DROP TABLE after_cut',
    ]) {
      const error = await errorOf(middle(() => bench.sql('dgp_cut', statement)));
      expect(error, statement).toMatchObject({ code: 'source_failed', subject: 'app/dgp_cut' });
      expect(error.hint, statement).toMatch(/run (it|the backup) again/);
    }
    await bench.sql('dgp_cut', 'CREATE TABLE after_cut (n INT)');
    const killed = await errorOf(
      middle(async () => {
        const rows = await bench.sql(
          undefined,
          `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = '${server().user}' AND ID <> CONNECTION_ID()`,
        );
        expect(rows.length).toBeGreaterThan(2);
        for (const { id } of rows) await bench.sql(undefined, `KILL CONNECTION ${id}`).catch(() => {});
      }),
    );
    expect(killed.code).toBe('source_failed');
    expect(killed.hint, killed.message).toBeTruthy();
  });

  it('stops when it is told to, while a reader waits', async () => {
    const stop = new AbortController();
    const source = { ...bench.source('dgp_cut'), signal: stop.signal };
    const dump = await mysqlEngine.dump(source, dumpRequest({ parallelJobs: 2 }));
    const error = await errorOf(
      (async () => {
        for await (const member of dump.members())
          for await (const _ of (member as StreamMember).open()) stop.abort();
      })().finally(() => dump.close()),
    );
    expect(error.code).toBe('interrupted');
  });

  it('an account that may not hold up commits dumps by one connection, and is told so', async () => {
    await bench.database('dgp_small', 'CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1)');
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgp_small'@'%'; CREATE USER 'dgp_small'@'%' IDENTIFIED BY 'small-pass-1'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON dgp_small.* TO 'dgp_small'@'%'",
    );
    const options = { username: 'dgp_small', password: new Secret('small-pass-1') };
    const content = await backUp(bench.source('dgp_small', options), { parallelJobs: 4 });
    expect(content.facts.rows).toBe(1);
    expect(bench.warnings.map(({ message }) => message).join()).toMatch(
      /parallel_jobs needs .* GRANT RELOAD/,
    );
  });

  it('leaves out the rows of excluded tables, and excluded views', async () => {
    await bench.database(
      'dgp_sel',
      `CREATE TABLE keep_me (n INT);
CREATE TABLE log_a (n INT);
INSERT INTO keep_me VALUES (1), (2);
INSERT INTO log_a VALUES (1);
CREATE VIEW log_view AS SELECT * FROM log_a`,
    );
    const content = await backUp(bench.source('dgp_sel'), { exclude: ['log_*'], parallelJobs: 2 });
    const { tables } = await mysqlEngine.restore(
      content,
      bench.request('dgp_sel', { toDatabase: 'dgp_sel_2' }),
    );
    expect(tables).toEqual([{ name: 'keep_me', rows: 2 }]);
    expect(await bench.sql('dgp_sel_2', 'SELECT * FROM log_a')).toEqual([]);
    expect(await bench.sql('dgp_sel_2', "SHOW TABLES LIKE 'log_view'")).toEqual([]);
  });
});

it('cuts at multiples of a power of two, and every key meets one condition', () => {
  const size = 40 * 1024 * 1024;
  const points = cutPoints(-1000n, 9_000n, size);
  expect(points.length).toBeGreaterThan(8);
  expect(new Set(points.map((point) => point % 512n))).toEqual(new Set([0n]));
  expect(cutPoints(5n, 5n, size)).toEqual([]);
  expect(cutPoints(-(2n ** 63n), 2n ** 63n - 1n, size).length).toBeLessThan(25);
  expect(cutPoints(0n, 3n, 1e12)).toEqual([1n, 2n, 3n]);
  expect(conditions('`id`', [])).toEqual([undefined]);
  expect(conditions('`id`', [0n, 8n])).toEqual(['`id` < 0', '`id` >= 0 AND `id` < 8', '`id` >= 8']);
});
