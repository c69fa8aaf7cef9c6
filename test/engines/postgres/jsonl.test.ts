import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { memberName } from '../../../src/engines/jsonl/member-name.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';

const OBJECTS = readFileSync(new URL('support-objects.sql', import.meta.url), 'utf8')
  // Not part of an export, and told.
  .replace(/^SELECT lo_from_bytea.*$/gm, '');

const VALUES = `
  CREATE TYPE pair AS (a int, j json);
  CREATE DOMAIN doc AS jsonb;
  CREATE DOMAIN num AS numeric(30, 10);
  CREATE TABLE v (n int PRIMARY KEY, i8 bigint, num numeric, dom num, f8 float8, f4 float4, b bool, t text, c char(5),
    by bytea, j json, jb jsonb, d doc, ts timestamp, tz timestamptz, dt date, ti timetz, iv interval, ia int[], ta text[],
    fa float8[], na numeric[], ja jsonb[], p pair, pa pair[], ip inet, u uuid, r int4range, x xml, pt point, bi bit(3), vb varbit,
    nm name, o oid, tv tsvector, m "char", v2 int2vector);
  INSERT INTO v (n) VALUES (0);
  INSERT INTO v VALUES (1, 9223372036854775807, 123456789012345678901234567890.10, 1.5, -0.0::float8 * 1, 'NaN', true, '', 'ab',
    '\\x00ff', '{"a" : 1,  "a":2}', '{"a": [1, null, "x"]}', '{}', 'infinity', '-infinity', '0044-03-15 BC', '12:34:56.789+02',
    '1 mon -2 days 03:00:00.5', '{}', '{"",NULL,"null","a\\"b,{}"}', '{NaN,-Infinity,0.1}', '{1.10,NaN}', '{"1","null",NULL}',
    '(1,"{""k"": 1}")', '{"(1,null)",NULL}', '10.0.0.0/8', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '[1,5)', '<a>é</a>', '(1e-300,-0)', '101', '1',
    'n', 4294967295, 'a:1 b:2', 'c', '1 2 3');
  INSERT INTO v (n, num, f8, f4, t, jb, j, d, ia, ta, tz) VALUES (2, 'NaN', 'Infinity', 1e-45, E'tab\\tnl\\ncr\\rback\\\\\\u0001\\u2028"\\x7f', 'null', 'null', '"null"', '[0:1]={1,2}', '{{a,b},{c,d}}', '2026-01-01 00:00:00.123456+05:30'),
    (3, '-Infinity', '-Infinity', '-0', 'null', '"str"', '"str"', 'null', '{1,NULL}', NULL, '294276-12-31 23:59:59.999999Z'),
    (4, 1.10, 1e22, 3.4028235e38, '\\.', '1e400', ' [1, 2] ', '[1.10]', NULL, '{}', '4713-01-01 00:00:00 BC'),
    (5, 0.000, 5e-324, 16777217, 'é日本\u{1f600}', 'true', 'true', NULL, NULL, NULL, NULL)`;

describeWithEachPostgres('postgres: JSONL', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql('postgres', 'CREATE ROLE dg_owner; CREATE ROLE dg_reader');
  });
  afterAll(() => bench?.remove());

  const text = async (content: BackupContent, path: string) => {
    const chunks: Buffer[] = [];
    for await (const chunk of content.read((await content.entry(path))!)) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString('utf8');
  };

  it("values come back as they were, whatever the database's own casts make of them", async () => {
    await bench.database('casts');
    await bench.sql(
      'casts',
      `CREATE TYPE pair AS (a int, b text);
       CREATE TYPE mood AS ENUM ('sad "x"', 'a\\b', 'glad');
       CREATE DOMAIN feeling AS mood;
       CREATE FUNCTION f(pair) RETURNS text LANGUAGE sql AS $$ SELECT '(0,' || $1.b || ')' $$;
       CREATE FUNCTION f(mood) RETURNS text LANGUAGE sql AS $$ SELECT 'glad' $$;
       CREATE FUNCTION j(mood) RETURNS json LANGUAGE sql AS $$ SELECT '"glad"'::json $$;
       CREATE FUNCTION back(text) RETURNS pair LANGUAGE sql AS $$ SELECT ROW(7, $1)::pair $$;
       CREATE FUNCTION mood(text) RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'glad'; END $$;
       CREATE FUNCTION half(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 5; END $$;
       CREATE CAST (pair AS text) WITH FUNCTION f(pair) AS ASSIGNMENT;
       CREATE CAST (mood AS text) WITH FUNCTION f(mood);
       CREATE CAST (mood AS json) WITH FUNCTION j(mood);
       CREATE CAST (text AS pair) WITH FUNCTION back(text);
       CREATE CAST (text AS mood) WITH FUNCTION mood(text);
       CREATE CAST (text AS int) WITH FUNCTION half(text);
       CREATE TABLE t (n int, p pair, pa pair[], m mood, ma mood[], d feeling, ia int[]);
       INSERT INTO t VALUES
         (1, '(1,"a ""b"" \\\\\\\\ ,")', '{"(1,x)",NULL}', 'sad "x"', ARRAY['a\\b', NULL]::mood[], 'a\\b', '{1,NULL,3}'),
         (2, NULL, NULL, NULL, NULL, NULL, NULL), (3, '(,)', '{}', 'a\\b', '{}', 'sad "x"', '[0:1]={4,5}')`,
    );
    const sums = await contentSums(bench, 'casts');
    const content = await backUp(bench.source('casts'), { format: 'jsonl' });
    const lines = (await text(content, 'public.t.jsonl')).split('\n');
    expect(JSON.parse(lines[0]!)).toMatchObject({ n: 1, m: 'sad "x"', d: 'a\\b' });
    await postgresEngine.restore(content, bench.request('casts', { toDatabase: 'casts_2' }));
    expect(await contentSums(bench, 'casts_2')).toEqual(sums);
  });

  it('every value comes back as it was', async () => {
    const version = Number(
      (await bench.sql('postgres', 'SHOW server_version_num'))[0]!['server_version_num'],
    );
    expect(version).toBeGreaterThan(140000);
    await bench.database('values');
    await bench.sql('values', VALUES);
    const sums = await contentSums(bench, 'values');
    const content = await backUp(bench.source('values'), { format: 'jsonl' });
    expect(content.facts).toMatchObject({ rows: 6, tables_count: 1, consistency: 'snapshot' });
    const lines = (await text(content, 'public.v.jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(6);
    expect(lines[0]).toMatchObject({ n: 0, t: null, jb: null });
    expect(lines[1]).toMatchObject({
      n: 1,
      t: '',
      c: 'ab   ',
      by: '\\x00ff',
      jb: { a: [1, null, 'x'] },
      ta: ['', null, 'null', 'a"b,{}'],
    });
    // SQL NULL, JSON null and the string "null" are three things.
    expect(lines.map((line) => line.jb)).toEqual([
      null,
      { a: [1, null, 'x'] },
      'null',
      '"str"',
      Infinity,
      true,
    ]);
    await postgresEngine.restore(content, bench.request('values', { toDatabase: 'values_copy' }));
    expect(await contentSums(bench, 'values_copy')).toEqual(sums);
    const [nulls] = await bench.sql(
      'values_copy',
      "SELECT count(*) FILTER (WHERE jb IS NULL)::int AS sql, count(*) FILTER (WHERE jb = 'null')::int AS json FROM v",
    );
    expect(nulls).toEqual({ sql: 1, json: 1 });
  });

  it('a database of many kinds of objects comes back, schema and rows', async () => {
    await bench.database('objects');
    await bench.sql('objects', OBJECTS);
    const schema = schemaText(server(), bench, 'objects');
    const sums = await contentSums(bench, 'objects');
    const content = await backUp(bench.source('objects'), { format: 'jsonl' });
    const document = JSON.parse(await text(content, 'schema.json'));
    expect(document.tables.map((table: { table: string }) => table.table)).toContain(
      'Table "quoted" ünïcode',
    );
    expect(document.tables[0]).toHaveProperty('columns');
    bench.warnings.length = 0;
    await postgresEngine.restore(content, bench.request('objects', { toDatabase: 'objects_copy' }));
    expect(bench.warnings).toEqual([]);
    expect(schemaText(server(), bench, 'objects_copy')).toBe(schema);
    expect(await contentSums(bench, 'objects_copy')).toEqual(sums);
    await postgresEngine.restore(content, bench.request('objects', { scratch: true }));
    const request = { ...inspectIn(bench.folder), options: bench.source('objects').options };
    expect(await postgresEngine.inspect(content, request)).toEqual([]);
    const only = bench.request('objects', { only: ['app.people'], toDatabase: 'objects_people' });
    expect((await postgresEngine.restore(content, only)).tables).toEqual([{ name: 'app.people', rows: 500 }]);
  });

  it('large objects are told to be missing', async () => {
    await bench.database('lobs');
    await bench.sql('lobs', "SELECT lo_from_bytea(0, 'x')");
    bench.warnings.length = 0;
    await backUp(bench.source('lobs'), { format: 'jsonl' });
    expect(bench.warnings).toMatchObject([{ partial: true }]);
  });
});

it('names of members are plain and stay apart', () => {
  const taken = new Set<string>();
  expect(memberName('public.users', taken)).toBe('public.users.jsonl');
  expect(memberName('public.Users', taken)).toBe('public.%55sers.jsonl');
  const long = 'x'.repeat(200);
  expect(memberName(long, taken)).not.toBe(memberName(long, taken));
});
