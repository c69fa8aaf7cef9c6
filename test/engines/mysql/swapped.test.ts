import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { lookUntil } from '../../../src/engines/sessions.ts';
import type { DumpRequest } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { type Bench, describeWithEachMysql, dumpRequest, makeBench } from './support.ts';

const SMALL = { username: 'dgw_small', password: new Secret('small-pass-1') };
const WIDE = 'n INT PRIMARY KEY, f TEXT';
const FILLED = (table: string, engine = 'InnoDB') => `CREATE TABLE ${table} (${WIDE}) ENGINE=${engine};
INSERT INTO ${table} SELECT n, REPEAT(SHA2(n, 256), 20) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x`;

/** A table of the same name and definition that comes from elsewhere has rows that were never in this schema. */
describeWithEachMysql('mysql: a table that another one took the place of', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgw_');
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgw_small'@'%'; CREATE USER 'dgw_small'@'%' IDENTIFIED BY 'small-pass-1'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `dgw\\_x`.* TO 'dgw_small'@'%'",
    );
  });
  beforeEach(async () => {
    await bench.database(
      'dgw_x',
      `${FILLED('a')};\nCREATE TABLE b (${WIDE});\nINSERT INTO b VALUES (1, 'x')`,
    );
    await bench.database('dgw_y', `CREATE TABLE b (${WIDE});\nINSERT INTO b VALUES (2, 'y')`);
  });
  afterAll(async () => {
    for (const name of await bench.names()) await bench.sql(undefined, `DROP DATABASE ${name}`);
    await bench.remove();
  });

  /** Dumps while `act` comes between its snapshot and the rows; what it failed with. */
  async function dumpAround(
    act: () => Promise<unknown>,
    { request = {}, options = {}, when = 'before' as 'before' | 'after' },
  ): Promise<DguardError | undefined> {
    const dump = await mysqlEngine.dump(
      bench.source('dgw_x', options),
      dumpRequest(request as Partial<DumpRequest>),
    );
    try {
      if (when === 'before') await act();
      for await (const member of dump.members()) for await (const _ of (member as StreamMember).open());
      if (when === 'after') await act();
      await dump.facts();
      return undefined;
    } catch (error) {
      expect(error).toBeInstanceOf(DguardError);
      return error as DguardError;
    } finally {
      await dump.close();
    }
  }
  const connect = () => {
    const { host, port, user, password } = server();
    return mysql.createConnection({ host, port, user, password });
  };
  const statements = async (...all: string[]) => {
    for (const statement of all) await bench.sql(undefined, statement);
  };
  const SWAP = 'RENAME TABLE dgw_x.b TO dgw_y.b_gone, dgw_y.b TO dgw_x.b';
  const BACK = 'RENAME TABLE dgw_x.b TO dgw_y.b, dgw_y.b_gone TO dgw_x.b';

  it('fails the dump, over one connection and several, as a script and as JSON lines, whoever dumps', async () => {
    for (const [request, options] of [
      [{ parallelJobs: 1 }, {}],
      [{ parallelJobs: 3 }, {}],
      [{ format: 'jsonl' }, {}],
      [{ parallelJobs: 1 }, SMALL],
    ] as const) {
      // Without PROCESS MySQL tells two tables apart only by the second in which they were made.
      if (options === SMALL && server().flavour === 'mysql') {
        await sleep(1100);
        await bench.database('dgw_y', `CREATE TABLE b (${WIDE})`);
      }
      const error = await dumpAround(() => statements(SWAP), { request, options });
      const of = JSON.stringify([request, options]);
      expect(error, of).toMatchObject({ code: 'source_failed', subject: 'app/dgw_x' });
      expect(error!.message, of).toMatch(/\bb\b.*/);
      expect(error!.hint, of).toMatch(/run the backup again/);
      await statements(BACK);
    }
  });

  it('fails it also where everything is in its place again at the end', async () => {
    await sleep(1100);
    await bench.database('dgw_y', `CREATE TABLE b (${WIDE})`);
    const dump = await mysqlEngine.dump(bench.source('dgw_x', SMALL), dumpRequest());
    const failed = (async () => {
      await statements(SWAP);
      for await (const member of dump.members()) for await (const _ of (member as StreamMember).open());
      await statements(BACK);
      await dump.facts();
    })();
    await expect(failed).rejects.toMatchObject({ code: 'source_failed' });
    await dump.close();
  });

  it('fails it where a partition was exchanged', async () => {
    await statements(
      'CREATE TABLE dgw_x.p (n INT PRIMARY KEY) PARTITION BY RANGE (n) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100))',
      'CREATE TABLE dgw_y.p (n INT PRIMARY KEY)',
      'INSERT INTO dgw_y.p VALUES (3)',
    );
    const exchange = 'ALTER TABLE dgw_x.p EXCHANGE PARTITION p0 WITH TABLE dgw_y.p';
    const error = await dumpAround(() => statements(exchange), {});
    expect(error?.message).toMatch(/\bp\b/);
    expect(error?.hint, String(error)).toMatch(/run the backup again/);
  });

  it('fails it whatever ids the server has given: that of a table before may begin with a higher digit', async (context) => {
    if (server().flavour !== 'mysql') context.skip('MariaDB tells ids as numbers');
    const client = await connect();
    const idOf = async (name: string) => {
      const [rows] = await client.query(
        `SELECT CONCAT(SPACE) AS id FROM information_schema.INNODB_TABLESPACES_BRIEF WHERE NAME = 'dgw_y/${name}'`,
      );
      return String((rows as { id: unknown }[])[0]!.id);
    };
    try {
      // 9 and 10, or 99 and 100.
      for (let at = 0, id = await idOf('b'); !id.startsWith('10'); at++) {
        if (at > 0 && !/^9+$/.test(id)) await client.query(`DROP TABLE dgw_y.t${at - 1}`);
        await client.query(`CREATE TABLE dgw_y.t${at} (n INT)`);
        id = await idOf(`t${at}`);
      }
    } finally {
      await client.end();
    }
    await statements(
      'CREATE TABLE dgw_x.p (n INT PRIMARY KEY) PARTITION BY RANGE (n) (PARTITION p0 VALUES LESS THAN (10))',
      'CREATE TABLE dgw_y.p (n INT PRIMARY KEY)',
      'INSERT INTO dgw_y.p VALUES (3)',
    );
    const exchange = 'ALTER TABLE dgw_x.p EXCHANGE PARTITION p0 WITH TABLE dgw_y.p';
    expect((await dumpAround(() => statements(exchange), {}))?.message).toMatch(/exchanged.*\bp\b/);
  });

  it('fails it where a partition was emptied or made anew, whoever dumps', async () => {
    const BY_RANGE = 'RANGE (n) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100))';
    // MySQL does not say of such a table that it has partitions, where it lists tables.
    const BY_KEY = 'KEY () PARTITIONS 3';
    for (const [what, request, options, by = BY_RANGE] of [
      ['TRUNCATE PARTITION p1', { parallelJobs: 1 }, {}],
      ['TRUNCATE PARTITION p1', { parallelJobs: 3 }, {}],
      ['TRUNCATE PARTITION p1', { parallelJobs: 1 }, SMALL],
      ['TRUNCATE PARTITION p1', { format: 'jsonl' }, SMALL],
      ['REBUILD PARTITION p1', { parallelJobs: 1 }, SMALL],
      ['TRUNCATE PARTITION p1', { parallelJobs: 1 }, SMALL, BY_KEY],
      ['TRUNCATE PARTITION p1', { format: 'jsonl' }, SMALL, BY_KEY],
    ] as const) {
      await statements(
        'DROP TABLE IF EXISTS dgw_x.p',
        `CREATE TABLE dgw_x.p (n INT PRIMARY KEY) PARTITION BY ${by}`,
        'INSERT INTO dgw_x.p VALUES (1), (2), (3), (4), (30)',
      );
      const error = await dumpAround(() => statements(`ALTER TABLE dgw_x.p ${what}`), { request, options });
      const of = JSON.stringify([what, request, options, by]);
      expect(error, of).toMatchObject({ code: 'source_failed' });
      expect(error!.hint, of).toMatch(/run/);
    }
  });

  it('does not wait for somebody who alters a table of another schema', async () => {
    const reader = await connect();
    const alterer = await connect();
    await reader.query('START TRANSACTION');
    await reader.query('SELECT * FROM dgw_y.b');
    const altered = alterer.query('ALTER TABLE dgw_y.b ADD COLUMN m INT, ALGORITHM=COPY');
    try {
      const waits = async () => {
        const rows = await bench.sql(undefined, 'SHOW FULL PROCESSLIST');
        return rows.some(({ State }) => /waiting for table metadata lock/i.test(String(State)));
      };
      expect(await lookUntil(waits, 400)).toBe(true);
      expect(await dumpAround(async () => {}, {})).toBeUndefined();
    } finally {
      await reader.query('COMMIT');
      await altered;
      await reader.end();
      await alterer.end();
    }
  });

  it('fails it where a dump tool reads the rows', async () => {
    await statements('USE dgw_x', 'DROP TABLE dgw_x.a');
    await bench.sql('dgw_x', FILLED('a', 'MyISAM'));
    const engine = server().flavour === 'mysql' ? 'ENGINE=MyISAM' : 'WITH SYSTEM VERSIONING';
    for (const schema of ['dgw_x', 'dgw_y']) {
      await statements(`DROP TABLE ${schema}.b`, `CREATE TABLE ${schema}.b (${WIDE}) ${engine}`);
      await sleep(1100);
    }
    await bench.sql('dgw_y', "INSERT INTO b VALUES (2, 'y')");
    // Its output waits in the pipe while it is still at the first table.
    const error = await dumpAround(() => statements(SWAP), {});
    expect(error?.message, String(error)).toMatch(/\bb\b/);
    expect(error?.hint, String(error)).toMatch(/run the backup again/);
  });

  it('what leaves the rows as they are does not: ANALYZE, FLUSH, a rebuild or TRUNCATE of what was read', async () => {
    for (const [when, statement] of [
      ['before', 'ANALYZE TABLE dgw_x.a, dgw_x.b'],
      ['before', 'FLUSH TABLES'],
      ['before', 'CHECK TABLE dgw_x.b'],
      ['after', 'OPTIMIZE TABLE dgw_x.b'],
      ['after', 'TRUNCATE TABLE dgw_x.b'],
    ] as const) {
      for (const options of [{}, SMALL]) {
        const error = await dumpAround(() => statements(statement), { options, when });
        expect(error, statement).toBeUndefined();
      }
    }
  });
});
