import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { collect } from '../../archive/support.ts';
import { type Bench, backUp, describeWithEachMysql, dumpRequest, makeBench } from './support.ts';

const CODE = `CREATE TABLE t (n INT);
INSERT INTO t VALUES (1);
CREATE DEFINER=\`dgx_owner\`@\`%\` VIEW v AS SELECT 'DEFINER=\`x\`@\`y\`' AS text, n FROM t;
CREATE DEFINER=\`dgx_owner\`@\`%\` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 1;
CREATE DEFINER=\`dgx_owner\`@\`%\` FUNCTION f () RETURNS INT DETERMINISTIC RETURN 1;
CREATE DEFINER=\`dgx_owner\`@\`%\` EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM t`;

describeWithEachMysql('mysql: options', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgx_');
    for (const name of ['owner', 'other'])
      await bench.sql(
        undefined,
        `DROP USER IF EXISTS 'dgx_${name}'@'%'; CREATE USER 'dgx_${name}'@'%' IDENTIFIED BY 'it''s-${name}-1'; GRANT ALL PRIVILEGES ON \`dgx_%\`.* TO 'dgx_${name}'@'%'`,
      );
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  const definers = async (database: string) => {
    const rows = await bench.sql(
      undefined,
      `SELECT DEFINER AS d FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '${database}'
        UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '${database}'
        UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '${database}'
        UNION ALL SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '${database}'`,
    );
    return rows.map(({ d }) => d);
  };

  it('definer: kept, stripped, or another account, whatever strings look like one', async () => {
    await bench.database('dgx_code', CODE);
    const content = await backUp(bench.source('dgx_code'));
    const restored = async (definer: string | undefined) => {
      await bench.sql(undefined, 'DROP DATABASE IF EXISTS dgx_code_2');
      const source = bench.source('dgx_code_2', definer === undefined ? {} : { definer });
      await mysqlEngine.restore(content, bench.request('dgx_code', { source, toDatabase: 'dgx_code_2' }));
      const [row] = await bench.sql('dgx_code_2', 'SELECT text FROM v');
      expect(row).toEqual({ text: 'DEFINER=`x`@`y`' });
      return await definers('dgx_code_2');
    };
    expect(await restored(undefined)).toEqual(Array(4).fill('dgx_owner@%'));
    expect(await restored('keep')).toEqual(Array(4).fill('dgx_owner@%'));
    expect(await restored('dgx_other@%')).toEqual(Array(4).fill('dgx_other@%'));
    expect(await restored('strip')).toEqual(Array(4).fill(`${server().user}@127.0.0.1`));
    expect(bench.warnings).toEqual([]);
  });

  it('lock_tables: tables without transactions stand still, and the backup is of one moment', async () => {
    await bench.database(
      'dgx_lock',
      'CREATE TABLE old (n INT) ENGINE=MyISAM;\nCREATE TABLE new (n INT);\nINSERT INTO old VALUES (1);\nINSERT INTO new VALUES (1)',
    );
    for (const format of ['native', 'jsonl'] as const) {
      const dump = await mysqlEngine.dump(
        bench.source('dgx_lock', { lock_tables: true }),
        dumpRequest({ format }),
      );
      try {
        await expect(
          bench.sql('dgx_lock', 'SET SESSION lock_wait_timeout = 1;\nINSERT INTO old VALUES (2)'),
        ).rejects.toThrow(/Lock wait timeout/);
        await bench.sql('dgx_lock', 'INSERT INTO new VALUES (2)');
        for await (const member of dump.members()) await collect((member as StreamMember).open());
        const facts = await dump.facts();
        expect(facts).toMatchObject({
          consistency: 'snapshot',
          engine: { counts: 'exact', non_transactional: [] },
        });
      } finally {
        await dump.close();
      }
      await bench.sql('dgx_lock', 'INSERT INTO old VALUES (2)');
    }
    expect(bench.warnings).toEqual([]);
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgx_reader'@'%'; CREATE USER 'dgx_reader'@'%' IDENTIFIED BY 'read-1'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON dgx_lock.* TO 'dgx_reader'@'%'",
    );
    const small = { lock_tables: true, username: 'dgx_reader', password: new Secret('read-1') };
    await expect(mysqlEngine.dump(bench.source('dgx_lock', small), dumpRequest())).rejects.toMatchObject({
      code: 'source_failed',
      hint: expect.stringContaining('LOCK TABLES'),
    });
  });

  it('include_users: accounts, roles and privileges come back with their passwords', async () => {
    await bench.sql(undefined, 'DROP ROLE IF EXISTS dgx_role; CREATE ROLE dgx_role');
    await bench.sql(undefined, 'GRANT SELECT ON `dgx\\_code`.* TO dgx_role');
    await bench.sql(undefined, "GRANT dgx_role TO 'dgx_other'@'%'");
    const content = await backUp(bench.source('dgx_code', { include_users: true }));
    const inspected = (of: BackupContent) =>
      mysqlEngine.inspect(of, {
        env: {},
        tempDir: bench.folder,
        signal: new AbortController().signal,
        onProgress() {},
      });
    expect(await inspected(content)).toEqual([]);
    const script = (await collect(content.read((await content.entry('users.sql'))!))).toString('utf8');
    const cut: BackupContent = {
      ...content,
      async *read(entry) {
        if (entry.path === 'users.sql') yield Buffer.from(script.slice(0, script.length / 2));
        else yield* content.read(entry);
      },
    };
    expect((await inspected(cut)).join()).toContain('users.sql');
    await bench.sql(undefined, "DROP USER 'dgx_other'@'%'; DROP ROLE dgx_role");
    const mine = script.split(';\n').filter((statement) => /dgx_(other|role)/.test(statement));
    for (const statement of mine) await bench.sql(undefined, statement);
    const health = await mysqlEngine.probe(
      bench.source('dgx_code', { username: 'dgx_other', password: new Secret("it's-other-1") }),
    );
    expect(health).toMatchObject({ status: 'ok' });
    const grants = await bench.sql(undefined, "SHOW GRANTS FOR 'dgx_other'@'%'");
    expect(JSON.stringify(grants)).toMatch(/dgx_role/);
    expect(script).not.toMatch(/mysql\.sys|mariadb\.sys/);
    const without = await backUp(bench.source('dgx_code'));
    expect(await without.entry('users.sql')).toBeUndefined();
  });
});
