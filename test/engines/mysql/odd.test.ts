import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { sourceFacts } from '../../../src/engines/mysql/facts.ts';
import { refuseBadFit } from '../../../src/engines/mysql/restore/preflight.ts';
import { asRowMode } from '../../../src/engines/mysql/restore/row-mode.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithEachMysql, dumpRequest, makeBench } from './support.ts';

/** Rows that their server took once, and would refuse or change as it is set now. */
const REFUSED = `SET sql_mode = 'ALLOW_INVALID_DATES';
CREATE TABLE days (id INT PRIMARY KEY, d DATE NOT NULL DEFAULT '2023-02-30', dt DATETIME(3));
INSERT INTO days VALUES (1, '2023-02-31', '2023-11-31 12:00:00.125'), (2, '0000-00-00', '2024-00-15 00:00:00'), (3, '2024-02-29', NULL);
CREATE TABLE old_days (d DATE) ENGINE=MyISAM;
INSERT INTO old_days VALUES ('2023-02-29');
SET sql_mode = DEFAULT`;
const BROKEN_CHECK = `SET check_constraint_checks = 0;
CREATE TABLE checked (id INT PRIMARY KEY, n INT CHECK (n > 0), j JSON);
INSERT INTO checked VALUES (1, -1, 'no JSON'), (2, 2, '{}');
CREATE TABLE old_checked (n INT CHECK (n > 0)) ENGINE=MyISAM;
INSERT INTO old_checked VALUES (-1)`;
/** So much that rows are loaded over several connections. */
const FILLER = `CREATE TABLE filler (id INT PRIMARY KEY, t LONGTEXT);
INSERT INTO filler VALUES ${Array.from({ length: 10 }, (_, id) => `(${id}, REPEAT('x', 1000000))`).join(', ')}`;

describeWithEachMysql('mysql: odd rows', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgo_');
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  it.each([
    ['native', ''],
    ['native', FILLER],
    ['jsonl', ''],
  ] as const)(
    'days that no month has, and rows that a CHECK refuses, come back: %s',
    async (format, more) => {
      await bench.database('dgo_rows', REFUSED);
      if (more !== '') await bench.sql('dgo_rows', more);
      const isMaria = server().flavour === 'mariadb';
      if (isMaria) await bench.sql('dgo_rows', BROKEN_CHECK);
      const tables = ['* FROM days', '* FROM old_days'].concat(
        isMaria ? ['id, n, HEX(j) AS j FROM checked', '* FROM old_checked'] : [],
      );
      const rows = async (name: string) =>
        await Promise.all(tables.map((table) => bench.sql(name, `SELECT ${table} ORDER BY 1`)));
      const before = await rows('dgo_rows');
      expect(before[0]![0]).toMatchObject({ d: '2023-02-31', dt: '2023-11-31 12:00:00.125' });
      const content = await backUp(bench.source('dgo_rows'), { format });
      await mysqlEngine.restore(content, bench.request('dgo_rows', { toDatabase: 'dgo_new' }));
      expect(await rows('dgo_new')).toEqual(before);
      await bench.sql(undefined, 'DROP DATABASE dgo_new');
    },
  );

  it.each(['native', 'jsonl'] as const)(
    'a row that its own server would not take back is told when it is backed up, with what helps: %s',
    async (format) => {
      const [{ packet }] = (await bench.sql(undefined, 'SELECT @@GLOBAL.max_allowed_packet AS packet')) as [
        { packet: number },
      ];
      await bench.database(
        'dgo_large',
        "CREATE TABLE large (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT);\nINSERT INTO large VALUES (1, REPEAT('b', 3000000), 'x'), (2, 'small', REPEAT('t', 3000000))",
      );
      await backUp(bench.source('dgo_large'), { format });
      expect(bench.warnings).toEqual([]);
      try {
        await bench.sql(undefined, `SET GLOBAL max_allowed_packet = ${4 * 1024 * 1024}`);
        const content = await backUp(bench.source('dgo_large'), { format });
        const [warning] = bench.warnings;
        expect(warning).toMatchObject({
          message: expect.stringMatching(
            /^rows of large become statements of up to [67] MiB, .* takes 4 MiB; /,
          ),
          partial: false,
        });
        const restore = () =>
          mysqlEngine.restore(content, bench.request('dgo_large', { toDatabase: 'dgo_new' }));
        expect(await errorOf(restore())).toMatchObject({
          code: 'target_failed',
          hint: expect.stringContaining('max_allowed_packet'),
        });
        await bench.sql(undefined, /SET GLOBAL max_allowed_packet = \d+/.exec(warning!.message)![0]);
        await restore();
        expect(
          await bench.sql('dgo_new', 'SELECT id, LENGTH(b) AS b, LENGTH(t) AS t FROM large ORDER BY id'),
        ).toEqual([
          { id: 1, b: 3000000, t: 1 },
          { id: 2, b: 5, t: 3000000 },
        ]);
        await bench.sql(undefined, 'DROP DATABASE dgo_new');
      } finally {
        await bench.sql(undefined, `SET GLOBAL max_allowed_packet = ${packet}`);
      }
    },
  );

  it('a password that expired, and TLS that cannot be had, say what to do', async () => {
    await bench.database('dgo_tls', 'CREATE TABLE t (n INT)');
    const refused = (options: object) =>
      errorOf(mysqlEngine.dump(bench.source('dgo_tls', options), dumpRequest()));
    await bench.sql(undefined, "DROP USER IF EXISTS 'dgo_old'@'%'");
    await bench.sql(undefined, "CREATE USER 'dgo_old'@'%' IDENTIFIED BY 'Pass-w0rd' PASSWORD EXPIRE");
    try {
      const expired = { username: 'dgo_old', password: new Secret('Pass-w0rd') };
      expect(await mysqlEngine.probe(bench.source('dgo_tls', expired))).toMatchObject({
        status: 'auth_failed',
      });
      expect(await refused(expired)).toMatchObject({ hint: expect.stringContaining('ALTER USER') });
    } finally {
      await bench.sql(undefined, "DROP USER 'dgo_old'@'%'");
    }
    const [{ folder, ca }] = (await bench.sql(undefined, 'SELECT @@datadir AS folder, @@ssl_ca AS ca')) as [
      { folder: string; ca: string | null },
    ];
    if (server().flavour === 'mysql' && ca) {
      expect(await refused({ ssl: 'verify-ca' })).toMatchObject({ hint: expect.stringContaining('ssl_ca') });
      const own = { ssl: 'verify-ca', ssl_ca: join(folder, ca) } as const;
      if (server().pid !== undefined && process.getuid?.() === 0)
        expect((await backUp(bench.source('dgo_tls', own))).facts.tables_count).toBe(1);
    }
    if (server().label === 'mariadb-10.11')
      expect(await refused({ ssl: 'require' })).toMatchObject({
        hint: expect.stringContaining('the server has no TLS'),
      });
  });

  it.each(['native', 'jsonl'] as const)(
    'names that look like options of the dump tool are names: %s',
    async (format) => {
      const name = '--result-file=dgo_x';
      const tables = ['--where=0', '-A', '--', '--result-file=dgo_y'];
      await bench.database(name);
      try {
        for (const table of tables) {
          await bench.sql(name, `CREATE TABLE \`${table}\` (n INT) ENGINE=MyISAM`);
          await bench.sql(name, `INSERT INTO \`${table}\` VALUES (1), (2)`);
          await bench.sql(name, `CREATE VIEW \`${table} view\` AS SELECT n FROM \`${table}\``);
        }
        const content = await backUp(bench.source(name), { format, exclude: ['-A view'] });
        await mysqlEngine.restore(content, bench.request(name, { toDatabase: 'dgo_new' }));
        for (const table of tables)
          expect(await bench.sql('dgo_new', `SELECT COUNT(*) AS n FROM \`${table}\``), table).toEqual([
            { n: 2 },
          ]);
        await bench.sql(undefined, 'DROP DATABASE dgo_new');
      } finally {
        await bench.sql(undefined, `DROP DATABASE \`${name}\``);
      }
    },
  );

  it('history of rows that a backup does not hold is told', async () => {
    if (server().flavour !== 'mariadb') return;
    await bench.database('dgo_history', 'CREATE TABLE t (n INT) WITH SYSTEM VERSIONING');
    await bench.sql('dgo_history', 'INSERT INTO t VALUES (1)');
    await bench.sql('dgo_history', 'UPDATE t SET n = 2');
    const native = await backUp(bench.source('dgo_history'));
    expect(bench.warnings).toEqual([]);
    await mysqlEngine.restore(native, bench.request('dgo_history', { toDatabase: 'dgo_new' }));
    expect(await bench.sql('dgo_new', 'SELECT n FROM t FOR SYSTEM_TIME ALL ORDER BY n')).toEqual([
      { n: 1 },
      { n: 2 },
    ]);
    await backUp(bench.source('dgo_history'), { format: 'jsonl' });
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/history \(system versioning\) is not: t;/),
    ]);
    await bench.sql(
      'dgo_history',
      'CREATE TABLE by_transaction (n INT, s BIGINT UNSIGNED AS ROW START, e BIGINT UNSIGNED AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING',
    );
    if (server().label === 'mariadb-10.11') return;
    await expect(backUp(bench.source('dgo_history'))).rejects.toMatchObject({
      code: 'source_failed',
      message: expect.stringContaining('by_transaction'),
      hint: expect.stringContaining('exclude_tables'),
    });
    await backUp(bench.source('dgo_history'), { exclude: ['by_transaction'] });
  });
});

it('mysql: rows of an older backup come in as they are, too, and code keeps its mode', () => {
  const former =
    "\nSET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', unique_checks = 0, foreign_key_checks = 0";
  expect(asRowMode(former)).toMatchObject({
    sql: expect.stringContaining("'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"),
    rows: 'begin',
  });
  const end = 'SET time_zone = @dguard_zone, sql_mode = @dguard_mode, unique_checks = @dguard_unique';
  expect(asRowMode(end)).toEqual({ sql: end, rows: 'end' });
  const head = "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */";
  expect(asRowMode(head)).toEqual({ sql: head.replace('ZERO', 'ZERO,ALLOW_INVALID_DATES') });
  const code = "/*!50003 SET sql_mode              = 'NO_AUTO_VALUE_ON_ZERO' */ ";
  expect(asRowMode(code)).toEqual({ sql: code });
});

it('mysql: two tables that would be one at the target are refused, by name; one of them is not', () => {
  const facts = sourceFacts({ flavour: 'mariadb', version: '10.11.1', lower_case_table_names: 0 });
  const info = {
    flavour: 'mariadb' as const,
    ...{ version: '10.11.1', versionText: '', identity: '', user: '' },
    ...{ lowerCaseTableNames: 1, maxPacketBytes: 1 },
  } as const;
  const fit = (names: string[], lowerCaseTableNames = 1) =>
    refuseBadFit(
      facts,
      { ...info, lowerCaseTableNames },
      'x',
      names.map((name) => ({ name, rows: 1 })),
      () => {},
    );
  expect(() => fit(['Orders', 'b', 'orders'])).toThrow(
    expect.objectContaining({
      code: 'target_refused',
      message: expect.stringMatching(/^Orders and orders are/),
    }),
  );
  expect(() => fit(['Orders', 'b'])).not.toThrow();
  expect(() => fit(['Orders', 'orders'], 0)).not.toThrow();
});
