import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { PostgresServer } from '../../services/postgres.mjs';
import { type Bench, backUp, makeBench } from './support.ts';

/**
 * A database `app` with all that can hang on one, its backup, and another row in it since, before each test. After each
 * nothing of dguard's may be left.
 */
export function useShop(server: () => PostgresServer) {
  let bench: Bench;
  let content: BackupContent;
  const clients: pg.Client[] = [];

  const connect = async (database: string) => {
    const { host, port, user, password } = server();
    const client = new pg.Client({ host, port, user, password, database, application_name: 'shop' });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  const rows = async (database: string) =>
    (await bench.sql(database, 'SELECT n FROM t ORDER BY n')).map((row) => row['n']);
  const restore = (more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(content, bench.request('app', more));

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql(
      'postgres',
      "CREATE ROLE app_owner; CREATE ROLE app_user LOGIN PASSWORD 'pw of app_user'",
    );
    await bench.database('app');
    await bench.sql('app', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)');
    await bench.sql(
      'postgres',
      `ALTER DATABASE app OWNER TO app_owner;
       REVOKE CONNECT ON DATABASE app FROM PUBLIC;
       GRANT CONNECT ON DATABASE app TO app_user WITH GRANT OPTION;
       ALTER DATABASE app SET search_path TO "$user", public, "odd, name";
       ALTER DATABASE app SET work_mem TO '7MB';
       ALTER ROLE app_user IN DATABASE app SET app.tenant TO 'it''s "me"\\';
       ALTER DATABASE app CONNECTION LIMIT 77;
       COMMENT ON DATABASE app IS 'the shop''s own'`,
    );
    content = await backUp(bench.source('app'));
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    await bench.sql('app', 'TRUNCATE t; INSERT INTO t VALUES (7)');
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end().catch(() => {});
    await postgresEngine.swaps!.dropUndo(bench.target('app'), 0);
    // Whatever a test does: nothing of dguard's is left, neither here nor on disk.
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
  afterAll(() => bench?.remove());

  /** What hangs on a database itself. */
  const dress = async (database: string) =>
    (
      await bench.sql(
        'postgres',
        `SELECT pg_get_userbyid(datdba) AS owner, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) AS acl, datconnlimit, shobj_description(d.oid, 'pg_database') AS comment,
          (SELECT json_agg(json_build_array(setrole::regrole::text, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
         FROM pg_database d WHERE datname = '${database}'`,
      )
    )[0];
  return {
    get bench() {
      return bench;
    },
    get content() {
      return content;
    },
    connect,
    rows,
    restore,
    dress,
  };
}
