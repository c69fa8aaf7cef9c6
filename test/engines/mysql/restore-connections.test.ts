import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bench, describeWithEachMysql, makeBench } from './support.ts';
import { programFor } from './support-program.ts';

const WIDE = `CREATE TABLE wide (id INT PRIMARY KEY, filler LONGTEXT);
INSERT INTO wide SELECT n, REPEAT(SHA2(n, 256), 400) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n FROM s) x`;

describeWithEachMysql('mysql: the connections of a restore', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgm_');
  });
  afterAll(() => bench?.remove());

  const { configure, source, run, good } = programFor(server, () => bench);
  const sum = async (name: string) =>
    await bench.sql(name, 'SELECT COUNT(*) AS n, SUM(CRC32(filler)) AS s FROM wide');

  /** The most connections that a restore has at once. Its table is held, if it can be, until `wanted` are seen. */
  async function connections(wanted: number, database: string, ...args: string[]): Promise<number> {
    await bench.sql(undefined, `DROP DATABASE IF EXISTS ${database}`);
    const { host, port, user, password } = server();
    const holder = await mysql.createConnection({ host, port, user, password });
    try {
      let [most, running, isHeld] = [0, true, false];
      const restore = good('restore', 'job', '--yes', '--to-database', database, ...args).finally(() => {
        running = false;
      });
      restore.catch(() => {});
      const isLate = AbortSignal.timeout(20_000);
      while (running) {
        if (!isHeld && most < wanted)
          isHeld = await holder.query(`LOCK TABLES ${database}.wide READ`).then(
            () => true,
            () => false, // it is not there yet
          );
        const [row] = await bench.sql(
          undefined,
          `SELECT COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE DB = '${database}'`,
        );
        most = Math.max(most, Number((row as { count: number | string }).count));
        if (isHeld && (most >= wanted || isLate.aborted)) {
          await holder.query('UNLOCK TABLES');
          isHeld = false;
          if (isLate.aborted) break;
        }
        await sleep(5);
      }
      await restore;
      return most;
    } finally {
      await holder.end();
    }
  }

  it('a restore loads over as many connections as the job, or the command, says', async () => {
    await bench.database('dgm_wide', WIDE);
    configure({ db: source({ database: 'dgm_wide' }) }, { parallel_jobs: 3 });
    await good('backup', 'job');
    const most = async (wanted: number, ...args: string[]) => {
      // A machine may have loaded all before the table can be held.
      for (let attempt = 1; ; attempt++) {
        const seen = await connections(wanted, `dgm_wide_${wanted}`, ...args);
        if (seen >= wanted || attempt === 3) return seen;
      }
    };
    // The client is one more.
    expect(await most(4)).toBe(4);
    expect(await most(1, '--parallel-jobs', '1')).toBe(1);
    for (const name of ['dgm_wide_1', 'dgm_wide_4']) expect(await sum(name)).toEqual(await sum('dgm_wide'));
  });

  it('a restore outlasts how long the server lets a client wait, and a statement take', async ({ skip }) => {
    skip(server().pid === undefined, 'it changes settings of the whole server');
    await bench.database('dgm_idle', WIDE);
    configure({ db: source({ database: 'dgm_idle' }) }, { parallel_jobs: 2 });
    await good('backup', 'job');
    await bench.sql(undefined, 'DROP DATABASE IF EXISTS dgm_idle_2');
    const limit = server().flavour === 'mysql' ? 'max_execution_time' : 'max_statement_time';
    const unlimited = `SET SESSION ${limit} = 0`;
    const set = (waitS: number, statement: number) =>
      bench.sql(
        undefined,
        `${unlimited}; SET GLOBAL wait_timeout = ${waitS}, GLOBAL net_read_timeout = ${waitS}, GLOBAL ${limit} = ${statement}`,
      );
    await set(2, server().flavour === 'mysql' ? 1000 : 1);
    try {
      let ended = false;
      const restore = run('restore', 'job', '--to-database', 'dgm_idle_2', '--yes').finally(() => {
        ended = true;
      });
      const isThere = async () =>
        (
          await bench.sql(
            undefined,
            `${unlimited}; SELECT 1 AS one FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'dgm_idle_2' AND TABLE_NAME = 'wide'`,
          )
        ).length > 0;
      while (!ended && !(await isThere())) await sleep(5);
      // The rows wait for the table, and the client for the rows.
      if (!ended)
        await bench.sql(
          undefined,
          `${unlimited}; LOCK TABLES dgm_idle_2.wide READ; DO SLEEP(5); UNLOCK TABLES`,
        );
      const { code, stderr } = await restore;
      expect(code, stderr).toBe(0);
    } finally {
      await set(28800, 0);
    }
    expect(await sum('dgm_idle_2')).toEqual(await sum('dgm_idle'));
  });
});
