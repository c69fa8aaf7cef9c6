import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';

const NAMES = `CREATE TABLE "größe" ("é" int PRIMARY KEY); INSERT INTO "größe" VALUES (1);
  CREATE TABLE "fille é" (p int REFERENCES "größe", t text); INSERT INTO "fille é" VALUES (1, 'äöü ÿ');
  COMMENT ON TABLE "größe" IS 'où'; CREATE TABLE plain (t text); INSERT INTO plain VALUES ('é')`;

describeWithPostgres(18, 'postgres: databases that are not UTF-8', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
  });
  afterAll(() => bench?.remove());

  const create = async (name: string, encoding: string) => {
    await bench.sql('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    await bench.sql(
      'postgres',
      `CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0 LOCALE 'C'`,
    );
  };

  for (const format of ['native', 'jsonl'] as const) {
    it(`LATIN1, ${format}: names and values come back, chosen tables too`, async () => {
      await create('latin', 'LATIN1');
      await bench.sql('latin', NAMES);
      const content = await backUp(bench.source('latin'), { format });
      const request = { ...inspectIn(bench.folder), options: bench.source('latin').options };
      expect(await postgresEngine.inspect(content, request)).toEqual([]);
      bench.warnings.length = 0;
      await postgresEngine.restore(content, bench.request('latin', { toDatabase: `latin_${format}` }));
      expect(bench.warnings).toEqual([]);
      expect(schemaText(server(), bench, `latin_${format}`)).toBe(schemaText(server(), bench, 'latin'));
      expect(await contentSums(bench, `latin_${format}`)).toEqual(await contentSums(bench, 'latin'));
      // A foreign key to what is left out goes, which takes reading the dump's text.
      const only = bench.request('latin', { only: ['fille é'], toDatabase: `latin_only_${format}` });
      expect((await postgresEngine.restore(content, only)).tables).toEqual([
        { name: 'public.fille é', rows: 1 },
      ]);
      if (format === 'jsonl') return;
      await bench.sql('latin', `UPDATE "fille é" SET t = 'x'`);
      const merge = bench.request('latin', { only: ['fille é'], overwrite: true });
      await postgresEngine.restore(content, merge);
      expect(await bench.sql('latin', 'SELECT t FROM "fille é"')).toEqual([{ t: 'äöü ÿ' }]);
    });
  }

  it('SQL_ASCII: bytes that are no UTF-8 in definitions are no reason to have no backup', async () => {
    await create('bytes', 'SQL_ASCII');
    // chr() gives a byte here.
    await bench.sql(
      'bytes',
      `SET client_encoding TO 'SQL_ASCII'; CREATE TABLE t (x text); INSERT INTO t VALUES ('a' || chr(233));
       DO $$ BEGIN EXECUTE 'COMMENT ON TABLE t IS ''c' || chr(233) || chr(255) || ''''; END $$`,
    );
    const content = await backUp(bench.source('bytes'));
    await postgresEngine.restore(content, bench.request('bytes', { scratch: true }));
    await postgresEngine.restore(content, bench.request('bytes', { toDatabase: 'bytes_copy' }));
    const sum = `SET client_encoding TO 'SQL_ASCII'; SELECT md5(textsend(x))::text || md5(textsend(obj_description('t'::regclass)))::text AS sum FROM t`;
    expect(await bench.sql('bytes_copy', sum)).toEqual(await bench.sql('bytes', sum));
    expect(await errorOf(backUp(bench.source('bytes'), { format: 'jsonl' }))).toMatchObject({
      code: 'source_failed',
      message: expect.stringMatching(/^rows of public\.t: .*invalid byte sequence/s),
      hint: expect.stringContaining('use format native'),
    });
  });
});
