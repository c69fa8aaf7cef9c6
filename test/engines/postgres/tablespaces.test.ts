import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeWithPostgres, POSTGRES_MAJORS } from '../../services/needs.ts';
import type { PostgresServer } from '../../services/postgres.mjs';
import { type Bench, backUp, makeBench } from './support.ts';

// A database that was put on another disk must not come back on one that has no room for it.
function suite(server: () => PostgresServer): void {
  let bench: Bench;
  let content: BackupContent;
  const lies = async (database: string) => {
    const of = `SELECT spcname AS n FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = '${database}'`;
    const tables = `SELECT relname || ' ' || coalesce(spcname, '-') AS n FROM pg_class LEFT JOIN pg_tablespace t
      ON t.oid = reltablespace WHERE relname IN ('moved', 'plain') ORDER BY 1`;
    const rows = [...(await bench.sql('postgres', of)), ...(await bench.sql(database, tables))];
    return rows.map((row) => row['n']);
  };
  const restore = (database: string, more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(content, bench.request(database, { toDatabase: database, ...more }));
  const warned = () => bench.warnings.splice(0).map(({ message }) => message);

  beforeAll(async () => {
    bench = await makeBench(server());
    for (const name of ['Fast disk', 'slow', 'other'])
      await bench.sql('postgres', `CREATE TABLESPACE "${name}" LOCATION ''`);
    await bench.sql('postgres', 'CREATE DATABASE app TABLESPACE "Fast disk"');
    await bench.sql(
      'app',
      'CREATE TABLE plain (id int); INSERT INTO plain VALUES (1); CREATE TABLE moved (id int) TABLESPACE slow',
    );
    content = await backUp(bench.source('app'));
  });
  afterEach(async () => {
    for (const name of await bench.names())
      if (!['app', 'postgres'].includes(name)) await bench.sql('postgres', `DROP DATABASE "${name}"`);
  });
  afterAll(() => bench?.remove());

  it('a new database lies where the one that was backed up did', async () => {
    await restore('copy');
    expect(await lies('copy')).toEqual(['Fast disk', 'moved slow', 'plain -']);
    expect(warned()).toEqual([]);
  });

  it('one that replaces another lies where that did', async () => {
    await bench.sql('postgres', 'CREATE DATABASE here TABLESPACE other');
    await restore('here', { overwrite: true });
    expect(await lies('here')).toEqual(['other', 'moved slow', 'plain -']);
    expect(warned()).toEqual([]);
  });

  it('what the server lacks, or the role may not use, is said, and the default one is taken', async () => {
    await bench.sql('app', 'ALTER TABLE moved SET TABLESPACE pg_default');
    await bench.sql('postgres', 'ALTER TABLESPACE "Fast disk" RENAME TO gone');
    await restore('copy');
    expect(await lies('copy')).toEqual(['pg_default', 'moved slow', 'plain -']);
    expect(warned()).toEqual([
      "the database's tablespace Fast disk is not at the target; it goes into the server's default one",
    ]);
    await bench.sql('postgres', 'ALTER TABLESPACE gone RENAME TO "Fast disk"');
    await bench.sql('postgres', 'ALTER TABLESPACE slow RENAME TO gone');
    await bench.sql('postgres', "CREATE ROLE maker LOGIN CREATEDB PASSWORD 'm'");
    const source = bench.source('copy2', { username: 'maker', password: new Secret('m') });
    await restore('copy2', { source });
    expect(await lies('copy2')).toEqual(['pg_default', 'moved -', 'plain -']);
    expect(warned()).toEqual([
      expect.stringMatching(/maker may not give objects/),
      'these tablespaces are not at the target: slow; everything goes into its default one',
      "the database's tablespace Fast disk may not be used by maker; it goes into the server's default one",
      expect.anything(),
    ]);
  });
}

for (const major of POSTGRES_MAJORS) {
  describeWithPostgres(major, 'postgres: tablespaces', suite, {
    settings: { allow_in_place_tablespaces: 'on' },
  });
}
