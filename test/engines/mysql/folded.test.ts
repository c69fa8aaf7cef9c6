import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { errorOf } from '../../error-of.ts';
import type { MysqlServer } from '../../services/mysql.mjs';
import { mysqlPrograms, startMysql } from '../../services/mysql.mjs';
import { describeWithServers } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { openMysqlProxy } from './support-proxy.ts';

const SCHEMA = `CREATE TABLE Orders (Id INT PRIMARY KEY, Name VARCHAR(20));
CREATE TABLE Items (Id INT PRIMARY KEY, OrderId INT, CONSTRAINT ItemOrder FOREIGN KEY (OrderId) REFERENCES Orders (Id));
INSERT INTO Orders VALUES (1, 'a'), (2, 'b');
INSERT INTO Items VALUES (1, 2);
CREATE VIEW Named AS SELECT Id, Name FROM Orders;
CREATE TRIGGER OrdersBi BEFORE INSERT ON Orders FOR EACH ROW SET NEW.Name = UPPER(NEW.Name)`;

for (const name of ['mariadb-11.8', 'mysql-9.7'] as const) {
  const start = (folding: string) => ({
    name,
    isThere: mysqlPrograms(name) !== undefined,
    start: () => startMysql(name, { settings: { lower_case_table_names: folding } }),
  });
  describeWithServers(`mysql: lower_case_table_names = 1 [${name}]`, [start('1'), start('0')], (servers) =>
    suite(servers[0]!, servers[1]!),
  );
}

/** `server` keeps small letters alone, `exact` keeps names as they are. */
function suite(server: () => MysqlServer, exact: () => MysqlServer): void {
  const { restore, swaps } = mysqlEngine;
  let bench: Bench;
  let other: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgfold_');
    other = await makeBench(exact(), 'dgfold_');
  });
  beforeEach(async () => {
    for (const name of await bench.names()) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
  });
  afterAll(async () => {
    await bench?.remove();
    await other?.remove();
  });

  /** Tables and their rows, and what triggers there are. */
  async function state(schema: string, at = bench) {
    const tables = await at.sql(schema, "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'");
    const names = tables.map((row) => String(Object.values(row)[0]));
    const counts = names.map(async (table) => {
      const [row] = await at.sql(schema, `SELECT COUNT(*) AS n FROM \`${table}\``);
      return `${table}: ${row!['n']}`;
    });
    const triggers = await at.sql(
      undefined,
      `SELECT TRIGGER_NAME AS t, EVENT_OBJECT_TABLE AS o FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '${schema}'`,
    );
    return [...(await Promise.all(counts)), ...triggers.map(({ t, o }) => `${t} on ${o}`)].sort();
  }

  it.each(['native', 'jsonl'] as const)('%s: the database may be said in any case', async (format) => {
    await bench.database('dgfold_shop', SCHEMA);
    const content = await backUp(bench.source('DGfold_Shop'), { format });
    const before = await state('dgfold_shop');
    expect(before).toEqual(['OrdersBi on orders', 'items: 1', 'orders: 2']);
    await bench.sql('dgfold_shop', 'DELETE FROM items');
    const now = await state('dgfold_shop');

    await restore(content, bench.request('DGfold_Shop', { overwrite: true }));
    expect(await state('dgfold_shop')).toEqual(before);
    await swaps!.undo(bench.target('dgfold_sHOp'));
    expect(await state('dgfold_shop')).toEqual(now);
    const both = { only: ['orders', 'items'], overwrite: true };
    await restore(content, bench.request('dgfold_SHOP', both));
    expect(await state('dgfold_shop')).toEqual(before);
    await swaps!.undo(bench.target('DGfold_Shop'));
    expect(await state('dgfold_shop')).toEqual(now);
    await swaps!.dropUndo(bench.target('DGfold_Shop'), 0);

    await restore(content, bench.request('dgfold_New'));
    expect(await state('dgfold_new')).toEqual(before);
    // A trigger keeps the name of its table as it was written.
    await restore(content, bench.request('dgfold_one', { only: ['orders'] }));
    expect(await state('dgfold_one')).toEqual(['OrdersBi on orders', 'orders: 2']);
    await restore(content, bench.request('DGfold_shop', { scratch: true }));
    expect(await bench.names()).toEqual(['dgfold_new', 'dgfold_one', 'dgfold_shop']);
  });

  it.each(['native', 'jsonl'] as const)('%s: loads on a server that tells names apart', async (format) => {
    await bench.database('dgfold_from', SCHEMA);
    const content = await backUp(bench.source('dgfold_from'), { format });
    for (const name of await other.names()) await other.sql(undefined, `DROP DATABASE \`${name}\``);
    // A test restore, which the schema itself must pass.
    await restore(content, other.request('dgfold_From', { scratch: true }));
    await restore(content, other.request('dgfold_To'));
    expect(await state('dgfold_To', other)).toEqual(['OrdersBi on orders', 'items: 1', 'orders: 2']);
    await other.sql('dgfold_To', "INSERT INTO orders VALUES (3, 'c')");
    expect(await other.sql('dgfold_To', 'SELECT Name FROM orders WHERE Id = 3')).toEqual([{ Name: 'C' }]);
    await restore(content, other.request('dgfold_one', { only: ['orders'] }));
    expect(await state('dgfold_one', other)).toEqual(['OrdersBi on orders', 'orders: 2']);
    expect(await other.names()).toEqual(['dgfold_To', 'dgfold_one']);
  });

  it('finds what an older dguard marked with the name as it was said', async () => {
    const olden = async () => {
      const marked = (await bench.names()).filter((name) => name.includes('__dg_'));
      for (const name of marked)
        await bench.sql(
          name,
          `UPDATE __dguard_mark SET doc = REPLACE(doc, '"dgfold_old', '"DGfold_Old') WHERE id IN ('mark', 'plan')`,
        );
      expect(marked).not.toEqual([]);
    };
    await bench.database('dgfold_old', SCHEMA);
    const content = await backUp(bench.source('dgfold_old'));
    const before = await state('dgfold_old');
    await bench.sql('dgfold_old', 'DELETE FROM items');
    const now = await state('dgfold_old');
    await restore(content, bench.request('dgfold_old', { overwrite: true }));
    await olden();
    expect(await swaps!.undoCopies(bench.target('dgfold_old'))).toHaveLength(1);
    await swaps!.undo(bench.target('DGfold_Old'));
    expect(await state('dgfold_old')).toEqual(now);
    await olden();
    const [copy] = await swaps!.undoCopies(bench.target('dgfold_old'));
    await bench.sql(copy!.name, `UPDATE __dguard_mark SET doc = REPLACE(doc, '"undo"', '"scratch"')`);
    expect((await mysqlEngine.probe(bench.source('DGfold_OLD'))).leftovers).toHaveLength(1);
    const found = await mysqlEngine.diagnose!(bench.source('DGfold_OLD'), { job: 'job' });
    expect(found.filter(({ topic }) => topic === 'leftovers')).toHaveLength(1);
    expect(await swaps!.dropScratch!(bench.target('dgfold_OLD'))).toHaveLength(1);
    await restore(content, bench.request('dgfold_old', { overwrite: true }));
    await olden();
    expect(await swaps!.dropUndo(bench.target('dgfold_old'), 0)).toHaveLength(1);
    await bench.sql('dgfold_old', 'DELETE FROM items');

    for (const when of ['before', 'after'] as const) {
      const proxy = await openMysqlProxy(server().port, 'RENAME TABLE', { at: 1, when });
      const source = bench.source('dgfold_old', { port: proxy.port, ssl: 'disable' });
      await errorOf(restore(content, bench.request('dgfold_old', { source, overwrite: true })));
      await proxy.close();
      await olden();
      // The server frees the locks of a broken connection as soon as it notices.
      await vi.waitFor(
        async () => {
          await swaps!.recover(bench.target('dgfold_old'));
          const left = (await bench.names()).filter((name) => name.includes('__dg_'));
          expect(left).toHaveLength(when === 'after' ? 1 : 0);
          expect(await state('dgfold_old')).toEqual(when === 'after' ? before : now);
        },
        { timeout: 60_000, interval: 100 },
      );
    }
  });

  it('takes a backup of a server that tells them apart, but no two tables that would be one', async () => {
    await other.database('dgfold_shop', SCHEMA);
    await other.sql('dgfold_shop', 'CREATE TABLE orders (Id INT PRIMARY KEY)');
    const content = await backUp(other.source('dgfold_shop'));
    await bench.database('dgfold_here', 'CREATE TABLE orders (Id INT PRIMARY KEY)');
    const before = await state('dgfold_here');
    for (const target of ['dgfold_here', 'dgfold_new']) {
      const error = await errorOf(restore(content, bench.request(target, { overwrite: true })));
      expect(error).toMatchObject({ code: 'target_refused' });
      expect(error.message).toMatch(/^Orders and orders are two tables in the backup, and would be one here/);
    }
    expect(await bench.names()).toEqual(['dgfold_here']);
    expect(await state('dgfold_here')).toEqual(before);

    const only = ['Orders', 'Items'];
    await restore(content, bench.request('dgfold_New', { only }));
    await restore(content, bench.request('dgfold_nEW', { only, overwrite: true }));
    expect(await state('dgfold_new')).toEqual(['OrdersBi on orders', 'items: 1', 'orders: 2']);
    // The key of what stays would follow the table that goes.
    const alone = bench.request('dgfold_new', { only: ['Orders'], overwrite: true });
    expect((await errorOf(restore(content, alone))).message).toContain(
      'foreign keys of tables that stay refer to what is replaced',
    );
  });
}
