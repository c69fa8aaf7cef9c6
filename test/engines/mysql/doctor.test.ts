import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Workspace, workspace } from '../../cli/support.ts';
import { doctor, followFixes } from '../../cli/support-doctor.ts';
import {
  checkTellsApart,
  configureHealth,
  leftovers,
  noPasswordIsPrinted,
  readerLacksNothing,
  silenceIsTold,
} from '../support-health.ts';
import { type Bench, describeWithEachMysql, makeBench } from './support.ts';

const SCHEMA = 'dgh_app%1';

describeWithEachMysql('mysql: check and doctor', (server) => {
  let bench: Bench;
  let place: Workspace;
  const secret = `p 'a"s$w\\ord`;
  const reader = "'dgh reader'@'%'";

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgh_');
    place = workspace();
    await bench.sql(undefined, `DROP USER IF EXISTS ${reader}`);
    await bench.sql(undefined, `CREATE USER ${reader} IDENTIFIED BY 'p ''a"s$w\\\\ord'`);
    await bench.database(SCHEMA);
    for (const statement of [
      'CREATE TABLE t (n INT) ENGINE=InnoDB',
      'INSERT INTO t VALUES (1)',
      'CREATE TABLE `old``one` (n INT) ENGINE=MyISAM',
      'CREATE VIEW v AS SELECT n FROM t',
      'CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 1',
      'CREATE PROCEDURE p() SELECT 1',
      "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' DO SELECT 1",
    ])
      await bench.sql(SCHEMA, statement);
    configureHealth(place, server(), {
      type: 'mysql',
      database: SCHEMA,
      missing: 'dgh_none',
      reader: 'dgh reader',
      secret,
    });
  });
  afterAll(async () => {
    for (const name of (await bench?.names()) ?? []) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
    await bench?.sql(undefined, `DROP USER IF EXISTS ${reader}`);
    await bench?.remove();
    place?.remove();
  });

  it('check tells apart what is wrong, and says what it knows', async () => {
    const admin = await checkTellsApart(place);
    expect(admin).toMatchObject({
      server_version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      facts: { uptime_seconds: expect.any(Number), flavour: expect.stringMatching(/^(MySQL|MariaDB)$/) },
    });
    expect(admin.size_bytes).toBeGreaterThan(10_000);
  });

  it('a server that hangs is a timeout, one that was stopped is unreachable', () =>
    silenceIsTold(place, server()));

  it('an administrator has only the table without transactions to mend', async () => {
    const { code, findings } = await doctor(place, 'admin');
    expect(findings).toMatchObject([
      {
        severity: 'warning',
        topic: 'consistency',
        subject: SCHEMA,
        message: expect.stringContaining('old`one (MyISAM)'),
        fix: { lines: ['ALTER TABLE `dgh_app%1`.`old``one` ENGINE=InnoDB'] },
      },
    ]);
    expect(code).toBe(0);
  });

  it('an account without privileges: what doctor prints, executed, makes it green, and the backup good', async () => {
    const before = await doctor(place, 'reader');
    expect(before.code, before.text).toBe(1);
    expect((await place.run('backup', 'reader')).code).toBe(1);
    const done = await followFixes(place, 'reader', (line) => bench.sql(undefined, line));
    expect(done).toEqual(
      expect.arrayContaining([
        `GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON \`dgh\\_app\\%1\`.* TO ${reader}`,
        `GRANT ALL PRIVILEGES ON \`dgh\\_app\\%1%\`.* TO ${reader}`,
        `GRANT RELOAD ON *.* TO ${reader}`,
        'ALTER TABLE `dgh_app%1`.`old``one` ENGINE=InnoDB',
      ]),
    );
    expect(done.some((line) => /SHOW_ROUTINE|mysql\.proc/.test(line))).toBe(true);
    expect(done.some((line) => /SET_ANY_DEFINER|SET USER/.test(line))).toBe(true);
    await readerLacksNothing(place);
    const code = await bench.sql(
      undefined,
      `SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '${SCHEMA}'`,
    );
    expect(code.map((row) => row['name'])).toEqual(['p']);
  });

  it.each(['new', 'scratch'])(
    'what an interrupted restore left is named, and goes by what is printed: %s',
    async (role) => {
      const name = `${SCHEMA}__dg_${role}_0a1b2c3d`;
      await bench.sql(undefined, `CREATE DATABASE \`${name}\``);
      await bench.sql(
        name,
        'CREATE TABLE `__dguard_mark` (id VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY, doc LONGTEXT CHARACTER SET utf8mb4 NOT NULL)',
      );
      const mark = { role, target: SCHEMA, backupId: 'full-1', createdAt: '2026-01-01T00:00:00Z' };
      await bench.sql(
        name,
        `INSERT INTO \`__dguard_mark\` VALUES ('mark', '${JSON.stringify({ dguard: mark })}')`,
      );
      const left = () => leftovers(place, 'reader');
      expect(await left()).toMatchObject([
        { severity: 'warning', subject: name, fix: { lines: ['dguard restore reader --recover'] } },
      ]);
      const by = role === 'scratch' ? 'test restore' : 'restore';
      const listed = async () =>
        JSON.parse((await place.run('check', 'reader', '--json')).stdout).datasources[0].leftovers;
      expect(await listed()).toEqual([{ name, message: `an interrupted ${by} left it` }]);
      expect((await place.run('restore', 'reader', '--recover')).code).toBe(0);
      expect(await left()).toEqual([]);
      expect(await listed()).toEqual([]);
    },
  );

  it('no password is printed', () => noPasswordIsPrinted(place, secret));
});
