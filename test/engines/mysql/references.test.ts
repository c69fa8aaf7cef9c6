import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { Cut } from '../support-proxy.ts';
import { type Bench, backUp, describeWithEachMysql, makeBench, picture } from './support.ts';
import { openMysqlProxy } from './support-proxy.ts';

const swaps = mysqlEngine.swaps!;
const tables = (state: string) => `CREATE TABLE a (id INT PRIMARY KEY);
CREATE TABLE \`odd \`\`d\` (id INT PRIMARY KEY, n INT, KEY (n));
CREATE TABLE c (id INT PRIMARY KEY, a_id INT, d_n INT, above INT COMMENT '\\n  CONSTRAINT \`c_ibfk_1\` FOREIGN KEY (x) REFERENCES y (z)', note TEXT,
  FOREIGN KEY (a_id) REFERENCES a (id) ON DELETE CASCADE, FOREIGN KEY (above) REFERENCES c (id),
  CONSTRAINT \`odd 'key ${state}\` FOREIGN KEY (d_n) REFERENCES \`odd \`\`d\` (id) ON UPDATE CASCADE ON DELETE SET NULL);
INSERT INTO a VALUES (1), (2), (3);
INSERT INTO \`odd \`\`d\` VALUES (7, 7);
INSERT INTO c VALUES (1, 1, 7, NULL, '${state}'), (2, 2, NULL, 1, '${state}');
CREATE TRIGGER c_bi BEFORE INSERT ON c FOR EACH ROW SET NEW.note = '${state}'`;

describeWithEachMysql('mysql: foreign keys of tables that are restored alone', (server) => {
  let bench: Bench;
  let content: BackupContent;
  let before: Record<string, string>;
  let backedUp: Record<string, string>;
  const restore = (more: object = {}) =>
    mysqlEngine.restore(content, bench.request('dgk_app', { only: ['c'], overwrite: true, ...more }));
  const copies = async () => (await bench.names()).filter((name) => name.includes('__dg_'));
  /** Without the order of a table's indexes: one that the server made for a foreign key is made again. */
  const look = async () =>
    Object.fromEntries(
      Object.entries(await picture(bench, 'dgk_app')).map(([name, text]) => [
        name,
        text.split(/,?\n/).sort().join('\n'),
      ]),
    );
  const keys = (name: string) =>
    bench.sql(
      undefined,
      `SELECT CONSTRAINT_NAME AS k FROM information_schema.REFERENTIAL_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA = '${name}' AND UNIQUE_CONSTRAINT_SCHEMA <> '${name}'`,
    );

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgk_');
    await bench.database('dgk_app', tables('new'));
    backedUp = await look();
    content = await backUp(bench.source('dgk_app'));
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    for (const name of await copies()) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
    await bench.database('dgk_app', tables('old'));
    before = await look();
  });
  afterAll(() => bench?.remove());

  it('refer to what stays at the target, and the undo copy to nothing', async () => {
    await restore();
    expect((await look())['TABLE c']).toBe(backedUp['TABLE c']);
    expect(bench.warnings).toEqual([]);
    await expect(bench.sql('dgk_app', 'INSERT INTO c (id, a_id) VALUES (9, 99)')).rejects.toThrow(/foreign/);
    await bench.sql('dgk_app', 'INSERT INTO c (id, a_id) VALUES (9, 3)');
    await bench.sql('dgk_app', 'DELETE FROM c WHERE id = 9');
    const [copy] = await copies();
    expect(await keys(copy!)).toEqual([]);
    // What goes at the target takes nothing out of the copy, and nothing there keeps it from going.
    await bench.sql('dgk_app', 'DELETE FROM a WHERE id = 2');
    expect(await bench.sql(copy, 'SELECT COUNT(*) AS n FROM c')).toMatchObject([{ n: 2 }]);
    await bench.sql('dgk_app', 'INSERT INTO a VALUES (2)');
    await swaps.undo(bench.target('dgk_app'));
    expect(await look()).toEqual(before);
    expect(await keys((await copies())[0]!)).toEqual([]);
    await swaps.undo(bench.target('dgk_app'));
    expect((await look())['TABLE c']).toBe(backedUp['TABLE c']);
    // And a restore of all is not refused for what an undo copy refers to.
    await restore({ only: [] });
    expect(await look()).toEqual(backedUp);
    expect(bench.warnings).toEqual([]);
  });

  it('whose parents are not restored are warned of, until they are', async () => {
    await restore({ toDatabase: 'dgk_part' });
    const text =
      "c → a, c → odd `d; restore them together: --only c --only a --only 'odd `d', or drop the key";
    expect(bench.warnings).toEqual([
      expect.objectContaining({ partial: false, message: expect.stringContaining(text) }),
    ]);
    await expect(bench.sql('dgk_part', 'INSERT INTO c (id, a_id) VALUES (9, 1)')).rejects.toThrow(/foreign/);
    bench.warnings.length = 0;
    await restore({ toDatabase: 'dgk_part', only: ['c', 'a', 'odd `d'] });
    expect(bench.warnings).toEqual([]);
    await bench.sql('dgk_part', 'INSERT INTO c (id, a_id) VALUES (9, 1)');
    await bench.sql(undefined, 'DROP DATABASE dgk_part');
  });

  it('one that the target cannot have is named, with its statement', async () => {
    await bench.database('dgk_app', 'CREATE TABLE a (other TEXT)');
    await restore();
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^not created: foreign key c_ibfk_1 of c: .*: ALTER TABLE `dgk_app`\.`c` ADD CONSTRAINT/,
      ),
      expect.stringContaining('refer to tables that are not there, so that no row can be added: c → odd `d'),
    ]);
  });

  it('cut off at any of their statements, the next command makes it all old or all new', async () => {
    const run = async (cut?: Cut) => {
      const proxy = await openMysqlProxy(server().port, '__dg_undo_', cut);
      try {
        const source = bench.source('dgk_app', { port: proxy.port, ssl: 'disable' });
        await restore({ source }).catch((error: unknown) => expect(cut, String(error)).toBeDefined());
        return proxy.statements;
      } finally {
        await proxy.close();
      }
    };
    const statements = await run();
    const after = await look();
    const points = statements.flatMap((text, at) =>
      /ALTER TABLE .* FOREIGN KEY/.test(text) ? [at + 1] : [],
    );
    expect(points).toHaveLength(6);
    for (const at of points) {
      for (const name of await copies()) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
      await bench.database('dgk_app', tables('old'));
      await run({ at, when: at % 2 === 0 ? 'before' : 'after' });
      const told = `${at}: ${statements[at - 1]}`;
      const isNew = at > statements.findIndex((text) => text.includes('RENAME TABLE'));
      const settled = async () => {
        await swaps.recover(bench.target('dgk_app'));
        return await copies();
      };
      // The server frees the locks of a broken connection as soon as it notices.
      await expect
        .poll(settled, { message: told, timeout: 60_000 })
        .toEqual(isNew ? [expect.stringContaining('__dg_undo_')] : []);
      expect(await look(), told).toEqual(isNew ? after : before);
      for (const name of await copies()) expect(await keys(name), told).toEqual([]);
    }
  });
});
