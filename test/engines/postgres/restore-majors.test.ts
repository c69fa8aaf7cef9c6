import { expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { postgresPrograms, startPostgres } from '../../services/postgres.mjs';
import { type Bench, backUp, makeBench } from './support.ts';

describeWithPostgres(15, 'postgres: restore to another major', (server) => {
  it.skipIf(postgresPrograms(18) === undefined)('15 to 18 is fine, 18 to 15 is refused', async () => {
    const newer = await startPostgres(18);
    const [old, young] = [await makeBench(server()), await makeBench(newer)];
    try {
      await old.database(
        'app',
        "CREATE TABLE t (v varchar CHECK (v IN ('a', 'b')) NOT NULL); INSERT INTO t VALUES ('a')",
      );
      const content = await backUp(old.source('app'));
      await postgresEngine.restore(content, young.request('app'));
      expect(await young.sql('app', 'SELECT v FROM t')).toEqual([{ v: 'a' }]);
      expect(young.warnings).toEqual([]);
      const back = await backUp(young.source('app'));
      const error = await errorOf(postgresEngine.restore(back, old.request('app', { toDatabase: 'x' })));
      expect(error).toMatchObject({ code: 'target_refused' });
      expect(error.message).toContain('PostgreSQL 18');
      await young.sql('postgres', 'DROP DATABASE app');
      await rolesOnRequest(old, young);
    } finally {
      await old.remove();
      await young.remove();
      await newer.stop();
    }
  });
});

/** Roles that only the old server has: left out, or made, at the young one. */
async function rolesOnRequest(old: Bench, young: Bench): Promise<void> {
  await old.sql(
    'postgres',
    `CREATE ROLE "the; 'group'"; CREATE ROLE boss LOGIN PASSWORD 'pw of boss' IN ROLE "the; 'group'"; ALTER ROLE boss SET work_mem TO '3MB';
     CREATE ROLE stranger; COMMENT ON ROLE boss IS 'it''s; the boss'; ALTER DATABASE app OWNER TO boss`,
  );
  await old.sql('app', `ALTER TABLE t OWNER TO boss; GRANT SELECT ON t TO "the; 'group'"`);
  const content = await backUp(old.source('app'));
  const roles = async () =>
    (await young.sql('postgres', "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"))
      .map(({ rolname }) => rolname as string)
      .filter((name) => name !== young.source('x').options.username);
  const broken: BackupContent = {
    ...content,
    async *read(entry) {
      for await (const chunk of content.read(entry))
        yield entry.path === 'globals.sql' ? chunk : chunk.subarray(0, chunk.length - 700);
    },
  };
  expect(await errorOf(postgresEngine.restore(broken, young.request('app', { roles: true })))).toMatchObject({
    code: 'target_failed',
  });
  expect(await roles()).toEqual([]);
  const stop = new AbortController();
  const { signal } = stop;
  const stopped: BackupContent = {
    ...content,
    async *read(entry) {
      yield* content.read(entry);
      if (entry.path !== 'globals.sql') stop.abort(new DguardError('interrupted', 'interrupted'));
    },
  };
  const source = { ...young.source('app'), signal };
  const request = young.request('app', { roles: true, signal, source });
  expect(await errorOf(postgresEngine.restore(stopped, request))).toMatchObject({ code: 'interrupted' });
  expect(await roles()).toEqual([]);
  await postgresEngine.restore(content, young.request('app'));
  expect(young.warnings.map(({ message }) => message).join()).toContain('restore --roles');
  young.warnings.length = 0;
  await young.sql('postgres', 'DROP DATABASE app');

  await postgresEngine.restore(content, young.request('app', { roles: true }));
  expect(young.warnings).toEqual([]);
  expect(await roles()).toEqual(['boss', "the; 'group'"]);
  const owners = await young.sql(
    'app',
    `SELECT relowner::regrole::text AS "table", (SELECT datdba::regrole::text FROM pg_database WHERE datname = 'app') AS database
     FROM pg_class WHERE relname = 't'`,
  );
  expect(owners).toEqual([{ table: 'boss', database: 'boss' }]);
  const asBoss = young.source('app', { username: 'boss', password: new Secret('pw of boss') });
  expect(await postgresEngine.probe(asBoss)).toMatchObject({ status: 'ok' });
  const facts = await young.sql(
    'postgres',
    `SELECT pg_has_role('boss', 'the; ''group''', 'MEMBER') AS member, shobj_description('boss'::regrole, 'pg_authid') AS says`,
  );
  expect(facts).toEqual([{ member: true, says: "it's; the boss" }]);
}
