import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StreamMember } from '../../../src/engines/member.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';

describeWithEachPostgres('postgres: migrations while a dump runs', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
  });
  afterAll(() => bench?.remove());

  /** A folder of client tools whose pg_dump runs a statement before it begins: after the snapshot, before its locks. */
  async function toolsThatFirst(database: string, statement: string): Promise<string> {
    const { bin, host, port, user, password } = server();
    const folder = join(bench.folder, `first-${database}`);
    await mkdir(folder);
    const psql = `'${bin}/psql' -X -q -d 'host=${host} port=${port} user=${user} dbname=${database}'`;
    await writeFile(join(folder, 'password'), password);
    for (const tool of ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql']) {
      const first = `case "$*" in *--snapshot*) export PGPASSWORD="$(cat '${folder}/password')"; ${psql} <<'E' >&2\n${statement};\nE\n;; esac\n`;
      await writeFile(
        join(folder, tool),
        `#!/bin/sh\n${tool === 'pg_dump' ? first : ''}exec '${bin}/${tool}' "$@"\n`,
      );
      await chmod(join(folder, tool), 0o755);
    }
    return folder;
  }

  it.each(['native', 'jsonl'] as const)(
    '%s: what waits to alter a table waits for the dump, and the dump for nobody',
    async (format) => {
      await bench.database('waits', 'CREATE TABLE a AS SELECT 1 AS n; CREATE TABLE b AS SELECT 2 AS n');
      const dump = await postgresEngine.dump(bench.source('waits'), dumpRequest({ format }));
      let altered: Promise<unknown> | undefined;
      let isReading = false;
      try {
        for await (const member of dump.members()) {
          for await (const _ of (member as StreamMember).open());
          // With the rows of one table, the locks on all of them are had.
          isReading ||= format === 'native' || (member as StreamMember).path.endsWith('.jsonl');
          if (altered !== undefined || !isReading) continue;
          altered = bench.sql('waits', 'TRUNCATE b; ALTER TABLE b ADD COLUMN z int');
          await expect
            .poll(() =>
              bench.sql('waits', "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass"),
            )
            .toHaveLength(1);
        }
        expect((await dump.facts()).rows).toBe(2);
      } finally {
        await dump.close();
      }
      await altered;
    },
  );

  it.each([
    ['a function that is dropped', 'DROP FUNCTION f(int)', 'public.f'],
    ['an aggregate that is dropped', 'DROP AGGREGATE ag(int)', 'public.ag'],
    ['a function that is renamed', 'ALTER FUNCTION f(int) RENAME TO g', 'public.f'],
    ['a type that is renamed', 'ALTER TYPE mood RENAME TO humour', 'public.mood'],
    ['a view that is renamed', 'ALTER VIEW v RENAME TO w', 'public.v'],
    ['a label that is renamed', "ALTER TYPE mood RENAME VALUE 'a' TO 'z'", 'public.mood'],
    ['an attribute that is added', 'ALTER TYPE pair ADD ATTRIBUTE z int', 'public.pair'],
  ])('%s fails it, in every form: the dump would not load', async (_, statement, name) => {
    for (const [format, parallelJobs] of [
      ['native', 1],
      ['native', 2],
      ['jsonl', 1],
    ] as const) {
      const database = `mixed${format}${parallelJobs}${statement.length}`;
      await bench.database(
        database,
        `CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'; CREATE VIEW v AS SELECT 1 AS n;
         CREATE AGGREGATE ag(int) (sfunc = int4pl, stype = int4);
         CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TYPE pair AS (x int, y int); CREATE TABLE t (m mood, p pair);
         INSERT INTO t VALUES ('a', (1, 2))`,
      );
      const client_path = [await toolsThatFirst(database, statement)];
      const source = bench.source(database, { client_path });
      const error = await errorOf(backUp(source, { format, parallelJobs }));
      expect(error).toMatchObject({ code: 'source_failed', hint: expect.stringContaining('again') });
      expect(error.message).toContain(`while they were dumped: ${name}`);
    }
  });

  it('what is altered otherwise does not', async () => {
    await bench.database(
      'harmless',
      "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t AS SELECT 'a'::mood AS m",
    );
    const statement =
      "ALTER TYPE mood ADD VALUE 'c'; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'";
    const client_path = [await toolsThatFirst('harmless', statement)];
    expect((await backUp(bench.source('harmless', { client_path }))).facts.rows).toBe(1);
  });

  it('a table that was made while a lock was waited for is locked, too: it would read as empty', async () => {
    await bench.database('late', 'CREATE TABLE a (n int)');
    const client_path = [await toolsThatFirst('late', "SET lock_timeout = '500ms'; TRUNCATE b")];
    const migration = bench.sql(
      'late',
      `BEGIN; LOCK TABLE a; CREATE TABLE b AS SELECT generate_series(1, 10);
       DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass) LOOP
         PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$; COMMIT`,
    );
    // Begun once the table is held.
    await expect
      .poll(() =>
        bench.sql(
          'late',
          "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'a'::regclass",
        ),
      )
      .toHaveLength(1);
    const content = await backUp(bench.source('late', { client_path }));
    await migration;
    expect(content.facts.rows).toBe(10);
  });

  it('who stands before pg_dump in the queue for a table is named as that, not as a statement that took long', async () => {
    await bench.database('queue', 'CREATE TABLE a AS SELECT 1 AS n');
    const client_path = [await toolsThatFirst('queue', 'SELECT 1')];
    const { bin, host, port, user } = server();
    const pgDump = join(client_path[0]!, 'pg_dump');
    const psql = `PGPASSWORD="$(cat '${client_path[0]}/password')" '${bin}/psql' -X -d 'host=${host} port=${port} user=${user} dbname=queue'`;
    await writeFile(
      pgDump,
      `#!/bin/sh\ncase "$*" in *--snapshot*) ${psql} -c 'ALTER TABLE a ADD COLUMN z int' >/dev/null 2>&1 &\n` +
        `until [ "$(${psql} -Atc "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass")" = 1 ]; do :; done;; esac\nexec '${bin}/pg_dump' "$@"\n`,
    );
    const error = await errorOf(backUp(bench.source('queue', { client_path, lock_timeout_ms: 500 })));
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(error.hint).toContain('waits for that');
  });
});
