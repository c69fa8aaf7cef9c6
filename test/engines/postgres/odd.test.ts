import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';

/** Names that read alike once they are joined, or that no line of a listing can hold. */
const NAMES = `
  CREATE SCHEMA a; CREATE SCHEMA "a.b"; CREATE SCHEMA "q""s";
  CREATE TABLE a."b.c" (x int); INSERT INTO a."b.c" VALUES (1), (2), (3);
  CREATE TABLE "a.b".c (x int PRIMARY KEY); INSERT INTO "a.b".c VALUES (1);
  CREATE TABLE "a.b".d (x int REFERENCES "a.b".c); INSERT INTO "a.b".d VALUES (1);
  CREATE TABLE "q""s"."t.""u" (x int); INSERT INTO "q""s"."t.""u" VALUES (1), (2);
  CREATE TABLE "two\nlines" ("a\nb" int); INSERT INTO "two\nlines" VALUES (1);
  CREATE TABLE "two lines" (x int); INSERT INTO "two lines" VALUES (1), (2);
  CREATE TABLE "../../up" (x int); INSERT INTO "../../up" VALUES (1);`;

/** Rows of it lie in other partitions in each database. */
const HASHED = `
  CREATE TYPE letter AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p');
  CREATE TABLE hashed (k letter, n int) PARTITION BY HASH (k);
  CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
  CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1) PARTITION BY LIST (n);
  CREATE TABLE hashed_1_all PARTITION OF hashed_1 DEFAULT;
  CREATE TABLE hashed_2 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
  INSERT INTO hashed SELECT k, row_number() OVER () FROM unnest(enum_range(NULL::letter)) k;`;

const REST = `
  CREATE FOREIGN DATA WRAPPER nothing;
  CREATE SERVER far FOREIGN DATA WRAPPER nothing OPTIONS (port '1', host 'nowhere.invalid', dbname 'x');
  CREATE SEQUENCE restarted; ALTER SEQUENCE restarted RESTART WITH 1000;
  CREATE SEQUENCE fresh START 7;
  CREATE SEQUENCE used; SELECT nextval('used'), nextval('used');`;

const SUM_OF_HASHED = "SELECT md5(string_agg(k || ':' || n, ',' ORDER BY k)) AS sum FROM hashed";

describeWithEachPostgres('postgres: names and places that are odd', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('odd', `${NAMES}${HASHED}${REST}`);
  });
  afterAll(() => bench?.remove());

  const inspect = (content: BackupContent) =>
    postgresEngine.inspect(content, { ...inspectIn(bench.folder), options: bench.source('odd').options });
  const withoutHashed = (sums: Record<string, string>) =>
    Object.fromEntries(Object.entries(sums).filter(([name]) => !name.includes('hashed')));

  for (const [format, parallelJobs] of [
    ['native', 1],
    ['native', 2],
    ['jsonl', 1],
  ] as const) {
    it(`${format}, ${parallelJobs} jobs: are found in the dump, and come back`, async () => {
      const content = await backUp(bench.source('odd'), { format, parallelJobs });
      expect(content.facts.rows).toBe(27);
      expect(await inspect(content)).toEqual([]);
      bench.warnings.length = 0;
      await postgresEngine.restore(content, bench.request('odd', { scratch: true }));
      const copy = `odd_${format}_${parallelJobs}`;
      await postgresEngine.restore(content, bench.request('odd', { toDatabase: copy }));
      expect(bench.warnings).toEqual([]);
      expect(schemaText(server(), bench, copy)).toBe(schemaText(server(), bench, 'odd'));
      expect(withoutHashed(await contentSums(bench, copy))).toEqual(
        withoutHashed(await contentSums(bench, 'odd')),
      );
      expect(await bench.sql(copy, SUM_OF_HASHED)).toEqual(await bench.sql('odd', SUM_OF_HASHED));
    });
  }

  it('are chosen by name, and by no other', async () => {
    const content = await backUp(bench.source('odd'));
    const restored = async (only: string) =>
      (
        await postgresEngine.restore(
          content,
          bench.request('odd', { only: [only], toDatabase: `odd_${++made}` }),
        )
      ).tables;
    let made = 0;
    expect(await restored('a.b.c')).toEqual([{ name: 'a.b.c', rows: 3 }]);
    expect(await restored('"a.b".c')).toEqual([{ name: '"a.b".c', rows: 1 }]);
    expect(await restored('two\nlines')).toEqual([{ name: 'public.two\nlines', rows: 1 }]);
  });

  it('a chosen table comes without large objects, and without what is said of them', async () => {
    await bench.database(
      'odd_large',
      `CREATE TABLE t (n int); INSERT INTO t VALUES (1); SELECT lo_from_bytea(4242, 'x');
       COMMENT ON LARGE OBJECT 4242 IS 'y'; GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC`,
    );
    const content = await backUp(bench.source('odd_large'));
    const request = bench.request('odd_large', { only: ['t'], toDatabase: 'odd_large_t' });
    expect((await postgresEngine.restore(content, request)).tables).toEqual([{ name: 'public.t', rows: 1 }]);
    const merge = bench.request('odd_large', { only: ['t'], overwrite: true });
    expect((await postgresEngine.restore(content, merge)).tables).toEqual([{ name: 'public.t', rows: 1 }]);
  });

  it('of partitions by the hash of an enum all are replaced together, or none', async () => {
    const content = await backUp(bench.source('odd'));
    const [before] = await bench.sql('odd', SUM_OF_HASHED);
    await bench.sql(
      'odd',
      `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''a trigger ran''; END';
       UPDATE hashed SET n = -n; CREATE TRIGGER no BEFORE INSERT ON hashed EXECUTE FUNCTION no()`,
    );
    const [now] = await bench.sql('odd', SUM_OF_HASHED);
    const one = bench.request('odd', { only: ['hashed_0'], overwrite: true });
    expect((await errorOf(postgresEngine.restore(content, one))).hint).toMatch(/--only public\.hashed/);
    expect(await bench.sql('odd', SUM_OF_HASHED)).toEqual([now]);
    const all = bench.request('odd', { only: ['hashed'], overwrite: true });
    await postgresEngine.restore(content, all);
    expect(await bench.sql('odd', SUM_OF_HASHED)).toEqual([before]);
    expect(await bench.sql('odd', "SELECT tgenabled FROM pg_trigger WHERE tgname = 'no'")).toEqual([
      { tgenabled: 'O' },
    ]);
    await postgresEngine.swaps!.undo(bench.target('odd'));
    expect(await bench.sql('odd', SUM_OF_HASHED)).toEqual([now]);
  });
});
