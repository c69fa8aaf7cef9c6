import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { StreamMember } from '../../../src/engines/member.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { DumpFacts, DumpRequest } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { type Bench, describeWithEachMysql, dumpRequest, makeBench } from './support.ts';

const SCRIPT = `CREATE TABLE a (n INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO a VALUES (1, 'x');
CREATE TABLE z (n INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO z VALUES (1, 'x');
CREATE VIEW va AS SELECT n FROM a;
CREATE TRIGGER tz BEFORE INSERT ON z FOR EACH ROW SET NEW.v = 'tz';
CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1`;

/** What is dumped has to fit together: all of it is of one time, or the dump fails. */
describeWithEachMysql('mysql: definitions and rows that change while they are dumped', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgn_');
  });
  beforeEach(() => bench.database('dgn_x', SCRIPT));
  afterAll(async () => {
    for (const name of await bench.names()) await bench.sql(undefined, `DROP DATABASE ${name}`);
    await bench.remove();
  });

  /** Dumps, and carries statements out before a member is read, or once its first bytes have come. */
  async function dumpAround(
    statements: readonly string[] | (() => Promise<void>),
    request: Partial<DumpRequest> = {},
    when: { readonly before?: string; readonly within?: string; readonly behind?: string } = {
      within: 'database.sql',
    },
  ): Promise<{ text: Record<string, string>; facts?: DumpFacts; error?: DguardError }> {
    const text: Record<string, string> = {};
    const dump = await mysqlEngine.dump(bench.source('dgn_x'), dumpRequest(request));
    let acted = false;
    const act = async () => {
      if (acted) return;
      acted = true;
      if (typeof statements === 'function') return await statements();
      for (const statement of statements) await bench.sql('dgn_x', statement);
    };
    try {
      for await (const member of dump.members()) {
        if (member.path === when.before) await act();
        const chunks: Buffer[] = [];
        for await (const chunk of (member as StreamMember).open()) {
          chunks.push(Buffer.from(chunk));
          if (member.path === when.within) await act();
          if (when.behind !== undefined && chunks.at(-1)!.includes(when.behind)) await act();
        }
        text[member.path] = Buffer.concat(chunks).toString('utf8');
      }
      return { text, facts: await dump.facts() };
    } catch (error) {
      expect(error).toBeInstanceOf(DguardError);
      return { text, error: error as DguardError };
    } finally {
      await dump.close();
      expect(acted).toBe(true);
    }
  }

  it.each([
    ['native', { format: 'native' }, { within: 'database.sql' }],
    ['jsonl', { format: 'jsonl' }, { before: 'triggers.sql' }],
  ] as const)(
    '%s: no trigger of a table that is not in the dump, or that writes to one',
    async (_, request, when) => {
      const { text, facts, error } = await dumpAround(
        [
          'CREATE TABLE later (n INT PRIMARY KEY)',
          'CREATE TRIGGER tl BEFORE INSERT ON later FOR EACH ROW SET NEW.n = 1',
          'CREATE TRIGGER osc AFTER INSERT ON a FOR EACH ROW REPLACE INTO later VALUES (NEW.n)',
        ],
        request,
        when,
      );
      expect(error).toBeUndefined();
      const all = Object.values(text).join('\n');
      expect(all).toMatch(/TRIGGER `?tz`? BEFORE/);
      expect(all).not.toMatch(/TRIGGER `?(tl|osc)`? /);
      // Not of one time: nothing to hold a restore against.
      expect(facts?.schema_sha256).toBeUndefined();
    },
  );

  it('fails where a table that had triggers got one that writes to what is not in the dump', async () => {
    const { error } = await dumpAround([
      'CREATE TABLE later (n INT PRIMARY KEY)',
      'CREATE TRIGGER osc AFTER INSERT ON z FOR EACH ROW REPLACE INTO later VALUES (NEW.n)',
    ]);
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(error?.message).toMatch(/triggers were made while they were dumped: osc$/);
  });

  it('of a database without triggers the dump has its events', async () => {
    await bench.sql('dgn_x', 'DROP TRIGGER tz');
    await bench.sql('dgn_x', 'CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @x = 1');
    const { text } = await dumpAround(['DO 0']);
    expect(text['database.sql']).toMatch(/EVENT `e` ON SCHEDULE/);
  });

  it.each([
    ['a view', ['CREATE OR REPLACE VIEW va AS SELECT v FROM a'], 'va'],
    ['a view by a table', ['DROP VIEW va', 'CREATE TABLE va (n INT)'], 'va'],
    [
      'a trigger',
      ['DROP TRIGGER tz', "CREATE TRIGGER tz BEFORE INSERT ON z FOR EACH ROW SET NEW.v = 'tz'"],
      'tz',
    ],
    ['a function', ['DROP FUNCTION f', 'CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1'], 'f'],
  ])('fails where %s was replaced', async (_, statements, name) => {
    // The server tells the second in which a function was created.
    await sleep(1100);
    const { error } = await dumpAround(statements);
    expect(error).toMatchObject({ code: 'source_failed', subject: 'app/dgn_x' });
    expect(error?.message).toContain(`replaced while they were dumped: ${name}`);
    expect(error?.hint).toMatch(/run the backup again/);
  });

  it('fails where a view was gone, or there was a new one, while the tool wrote its definitions', async () => {
    const gone = await dumpAround(['DROP VIEW va'], {}, { before: 'database.sql' });
    expect(gone.error?.message).toMatch(/views were dropped.*: va$/);
    await bench.database('dgn_x', SCRIPT);
    const made = await dumpAround(['CREATE VIEW vb AS SELECT n FROM a'], {}, { before: 'database.sql' });
    expect(made.error?.message).toMatch(/views were made.*: vb$/);
  });

  it('a view or function that is only dropped behind the tool fails nothing', async () => {
    const { error, facts } = await dumpAround(['DROP VIEW va', 'DROP FUNCTION f']);
    expect(error).toBeUndefined();
    expect(facts?.schema_sha256).toBeUndefined();
  });

  it('jsonl: fails where a table without transactions is not what schema.json says of it', async () => {
    await bench.sql('dgn_x', 'CREATE TABLE zz (n INT) ENGINE=MyISAM');
    const { error } = await dumpAround(
      ['INSERT INTO zz VALUES (1)'],
      { format: 'jsonl' },
      { before: 'zz.jsonl' },
    );
    expect(error?.message).toBe('zz was changed while it was dumped');
    expect(error?.hint).toMatch(/lock_tables/);
  });

  it('says that somebody ended its sessions, whatever it was at', async () => {
    await bench.sql('dgn_x', 'CREATE TABLE zz (n INT) ENGINE=MyISAM');
    const end = async () => {
      const rows = await bench.sql(
        undefined,
        "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)",
      );
      // One that has ended by itself meanwhile is no longer there.
      for (const { id } of rows) await bench.sql(undefined, `KILL ${id}`).catch(() => {});
    };
    // Behind the rows the others are counted, while the tool writes triggers.
    for (const when of [{ before: 'database.sql' }, { behind: 'SET foreign_key_checks = @dguard_keys' }]) {
      const { error } = await dumpAround(end, {}, when);
      expect(error).toMatchObject({ code: 'source_failed' });
      expect(error?.message).toMatch(
        /ended the connection|closed the connection|was killed|ECONNRESET|EPIPE/,
      );
    }
  });

  it('has rows that lie in a partition which they do not belong to', async (context) => {
    const rows = (from: number) =>
      `SELECT ${from} + s.n * 10 + t.n, REPEAT('x', 1200) FROM (WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 899) SELECT n FROM s) s,
        (WITH RECURSIVE t (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t) t`;
    const columns = 'n INT PRIMARY KEY, v VARCHAR(2000)';
    for (const statement of [
      `CREATE TABLE p (${columns}) PARTITION BY RANGE (n) (PARTITION p0 VALUES LESS THAN (5000), PARTITION p1 VALUES LESS THAN (20000), PARTITION p2 VALUES LESS THAN (30000))`,
      `INSERT INTO p ${rows(10)}`,
      `CREATE TABLE strange (${columns})`,
      "INSERT INTO strange VALUES (3, 'here')",
    ])
      await bench.sql('dgn_x', statement);
    const exchange = 'ALTER TABLE p EXCHANGE PARTITION p2 WITH TABLE strange WITHOUT VALIDATION';
    const made = await bench.sql('dgn_x', exchange).catch((failure: { errno?: number }) => failure);
    if ('errno' in made && made.errno === 1064) context.skip('MariaDB has that since 11.4');
    expect(made).toEqual([]);
    await bench.sql('dgn_x', 'ANALYZE TABLE p');
    const { text } = await dumpAround(['DO 0'], { parallelJobs: 2 });
    expect(text['database.sql']).toContain("(3,'here')");
  });
});
