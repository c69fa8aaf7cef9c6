import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { lockFindings } from '../../../src/engines/postgres/diagnose.ts';
import { openServer } from '../../../src/engines/postgres/server/server.ts';
import { type Workspace, workspace } from '../../cli/support.ts';
import { doctor, followFixes } from '../../cli/support-doctor.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import {
  checkTellsApart,
  configureHealth,
  leftovers,
  noPasswordIsPrinted,
  readerLacksNothing,
  silenceIsTold,
} from '../support-health.ts';
import { type Bench, makeBench } from './support.ts';

describeWithEachPostgres('postgres: check and doctor', (server) => {
  let bench: Bench;
  let place: Workspace;
  const secret = 'p a$s"w\'ord';

  beforeAll(async () => {
    bench = await makeBench(server());
    place = workspace();
    await bench.sql(
      'postgres',
      `CREATE ROLE "doc owner"; CREATE ROLE "doc reader" LOGIN PASSWORD 'p a$s"w''ord'`,
    );
    await bench.sql('postgres', 'DROP DATABASE IF EXISTS "doc ""app""" WITH (FORCE)');
    await bench.sql('postgres', 'CREATE DATABASE "doc ""app""" OWNER "doc owner"');
    await bench.sql(
      'doc "app"',
      `
      CREATE TABLE t (n int); INSERT INTO t VALUES (1);
      CREATE TABLE secret (n int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; INSERT INTO secret VALUES (1);
      CREATE SEQUENCE s; SELECT lo_from_bytea(0, 'large');`,
    );
    await bench.sql('postgres', 'REVOKE CONNECT ON DATABASE "doc ""app""" FROM PUBLIC');
    configureHealth(place, server(), {
      type: 'postgres',
      database: 'doc "app"',
      missing: 'no_such_database',
      reader: 'doc reader',
      secret,
    });
  });
  afterAll(async () => {
    await bench?.sql('postgres', 'DROP DATABASE IF EXISTS "doc ""app""" WITH (FORCE)');
    await bench?.sql('postgres', 'DROP OWNED BY "doc reader"; DROP ROLE "doc reader"; DROP ROLE "doc owner"');
    await bench?.remove();
    place?.remove();
  });

  it('check tells apart what is wrong, and says what it knows', async () => {
    const admin = await checkTellsApart(place);
    expect(admin).toMatchObject({
      server_version: expect.stringMatching(/^\d\d\.\d/),
      size_bytes: expect.any(Number),
      facts: { uptime_seconds: expect.any(Number), connections: expect.any(Number), role: 'primary' },
    });
    expect(admin.size_bytes).toBeGreaterThan(1_000_000);
  });

  it('a server that hangs is a timeout, one that was stopped is unreachable', () =>
    silenceIsTold(place, server()));

  it('a superuser has nothing to mend', async () => {
    const { code, findings, text } = await doctor(place, 'admin');
    expect(findings, text).toEqual([]);
    expect(code).toBe(0);
  });

  it('a role without privileges: what doctor prints, executed, makes it green, and the backup good', async () => {
    const before = await doctor(place, 'reader');
    expect(before.code).toBe(1);
    expect(before.findings.map(({ topic }) => topic)).toContain('privileges');
    expect((await place.run('backup', 'reader')).code).toBe(1);
    const done = await followFixes(place, 'reader', (line, database) =>
      bench.sql(database ?? 'postgres', line),
    );
    expect(done).toEqual(
      expect.arrayContaining([
        'GRANT CONNECT ON DATABASE "doc ""app""" TO "doc reader"',
        'GRANT pg_read_all_data TO "doc reader"',
        'ALTER ROLE "doc reader" BYPASSRLS',
        'ALTER ROLE "doc reader" CREATEDB',
        expect.stringMatching(/^GRANT "doc owner" TO "doc reader"( WITH INHERIT TRUE, SET TRUE)?$/),
      ]),
    );
    expect(done.some((line) => line.includes('GRANT SELECT ON LARGE OBJECT'))).toBe(true);
    await readerLacksNothing(place);
  });

  it('what interrupted restores left is named, and goes by what is printed', async () => {
    const mark = (role: string, target = 'doc "app"') =>
      JSON.stringify({
        dguard: { role, target, backupId: 'full-1', createdAt: '2026-01-01T00:00:00Z' },
      });
    await bench.sql('postgres', 'CREATE DATABASE doc__dg_new_1');
    await bench.sql('postgres', `COMMENT ON DATABASE doc__dg_new_1 IS '${mark('new')}'`);
    const left = () => leftovers(place, 'admin', 'reader');
    expect(await left()).toMatchObject([
      { name: 'admin', severity: 'warning', subject: 'doc__dg_new_1' },
      { name: 'reader', severity: 'warning', fix: { lines: ['dguard restore reader --recover'] } },
    ]);
    const checked = await place.run('check', 'reader', '--json');
    expect(checked.code).toBe(0);
    expect(JSON.parse(checked.stdout).datasources[0].leftovers).toEqual([
      { name: 'doc__dg_new_1', message: 'an interrupted restore left it' },
    ]);
    expect((await place.run('check', 'reader')).stderr).toContain(
      'reader: doc__dg_new_1: an interrupted restore left it; dguard doctor reader says what removes it',
    );
    await bench.sql('postgres', 'ALTER DATABASE doc__dg_new_1 OWNER TO "doc reader"');
    expect((await place.run('restore', 'reader', '--recover')).code).toBe(0);
    expect(await left()).toEqual([]);
    expect((await place.run('check', 'reader')).stderr).toBe('');
    // One that was to be another database is no datasource's own.
    await bench.sql('postgres', 'CREATE DATABASE doc__dg_new_2');
    await bench.sql('postgres', `COMMENT ON DATABASE doc__dg_new_2 IS '${mark('new', 'doc copy')}'`);
    const [found] = await left();
    expect(found).toMatchObject({
      message: 'an interrupted restore to doc copy left it',
      fix: { lines: ["dguard restore --recover --to admin --to-database 'doc copy'"] },
    });
    const recover = ['restore', '--recover', '--to', 'admin', '--to-database', 'doc copy'];
    expect((await place.run(...recover)).stdout).toContain('removed doc__dg_new_2');
    expect(await left()).toEqual([]);
  });

  it('no password is printed', () => noPasswordIsPrinted(place, secret));
});

describeWithPostgres(
  18,
  'postgres: doctor, besides',
  (server) => {
    it('no client tools that fit: says which package, exit 7', async () => {
      const place = workspace({ env: { PATH: '/nowhere' } });
      const { host, port, user, password } = server();
      place.write('password', password);
      const login = { host, port, username: user, password_file: place.path('password') };
      place.config({
        datasources: { db: { type: 'postgres', ...login, database: 'postgres' } },
        destinations: {},
        jobs: {},
      });
      const { code, findings } = await doctor(place, 'db');
      place.remove();
      // The machine's own, in its version folders, are older than 18, if there are any.
      const tools = findings.find(({ topic }) => topic === 'tools');
      expect(tools).toMatchObject({
        severity: 'problem',
        message: expect.stringMatching(/no pg_dump was found|the client tools are older/),
      });
      expect(tools!.fix!.lines).toContain('apt-get install postgresql-client-18');
      expect(code).toBe(7);
    });

    it('who has locked a table for long, an open transaction or a prepared one, and how to end it', async () => {
      const bench = await makeBench(server());
      const name = await bench.database('doc_locks', 'CREATE TABLE a (n int); CREATE TABLE b (n int)');
      const { host, port, user, password } = server();
      const holder = new pg.Client({ host, port, user, password, database: name });
      holder.on('error', () => {});
      await holder.connect();
      await holder.query('BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE');
      await bench.sql(
        name,
        "BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'it''s stuck'",
      );
      const source = openServer(bench.source(name));
      const session = await source.open(name);
      const found = (longS: number) => lockFindings(session, name, longS);
      expect(await found(60)).toEqual([]);
      const findings = await found(0);
      expect(findings.map(({ message }) => message.replace(/\d+/g, 'N')).sort()).toEqual([
        'pid N has locked a for N s: a dump waits N min for it, then fails',
        "the prepared transaction it's stuck has been open for N s: a dump waits N min for what it has locked, then fails",
      ]);
      for (const { fix } of findings) for (const line of fix!.lines) await bench.sql(name, line);
      expect(await found(0)).toEqual([]);
      await session.close();
      await source.dispose();
      await holder.end().catch(() => {});
      await bench.remove();
    });
  },
  { settings: { max_prepared_transactions: '2' } },
);
