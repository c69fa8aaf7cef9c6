import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { REGRESSION_MAJOR, regressionTests } from '../../services/postgres.mjs';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';
import { makeRegressionDatabase } from './support-regression.ts';

const NAME = "postgres: PostgreSQL's own regression database";
const tests = regressionTests();

if (tests === undefined) {
  describe.skip(`${NAME} [needs its SQL: npm run services]`, () => it('comes back equal', () => {}));
} else {
  describeWithPostgres(REGRESSION_MAJOR, NAME, (server) => {
    let bench: Bench;
    let schema: string;
    let sums: Record<string, string>;

    beforeAll(async () => {
      bench = await makeBench(server());
      await makeRegressionDatabase(server(), bench, tests, 'regression');
      // A restore fills materialised views from the tables: here too, in the order in which they were made.
      const views = await bench.sql(
        'regression',
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid",
      );
      for (const { name } of views) await bench.sql('regression', `REFRESH MATERIALIZED VIEW ${name}`);
      schema = comparable(schemaText(server(), bench, 'regression'));
      sums = await contentSums(bench, 'regression');
    });
    afterAll(() => bench?.remove());

    it('is what it should be', async () => {
      const kinds = await bench.sql(
        'regression',
        "SELECT relkind AS kind, count(*)::int AS n FROM pg_class WHERE oid >= 16384 AND relkind <> 't' GROUP BY 1",
      );
      const counts = Object.fromEntries(kinds.map(({ kind, n }) => [kind, n as number]));
      // Tables, indexes, sequences, views, matviews, composite types, partitioned ones.
      expect(Object.keys(counts).sort()).toEqual(['I', 'S', 'c', 'i', 'm', 'p', 'r', 'v']);
      expect(counts['r']).toBeGreaterThan(500);
      for (const kind of [
        'FUNCTION',
        'AGGREGATE',
        'OPERATOR CLASS',
        'DOMAIN',
        'POLICY',
        'RULE',
        'TRIGGER',
        'STATISTICS',
      ])
        expect(schema, kind).toContain(`CREATE ${kind}`);
    });

    it.each([
      ['in one stream', 1],
      ['in directory format', 2],
    ])(
      'comes back equal %s: schema text, a checksum of every table, the hash of a test restore',
      async (_, parallelJobs) => {
        const target = `restored_${parallelJobs}`;
        const content: BackupContent = await backUp(bench.source('regression'), { parallelJobs });
        await postgresEngine.restore(content, bench.request('regression', { toDatabase: target }));
        expect(bench.warnings).toEqual([]);
        expect(comparable(schemaText(server(), bench, target))).toBe(schema);
        expect(await contentSums(bench, target)).toEqual(sums);
        if (parallelJobs > 1) return;
        await postgresEngine.restore(content, bench.request('regression', { scratch: true }));
        expect(bench.warnings).toEqual([]);
      },
    );
  });
}

/**
 * Children whose columns were made in another order than their parents' have these first once they were restored:
 * https://github.com/postgres/postgres/blob/REL_18_STABLE/src/test/perl/PostgreSQL/Test/AdjustDump.pm
 */
function comparable(text: string): string {
  const children =
    /^(CREATE TABLE (?:generated_stored_tests\.gtestxx_4|generated_virtual_tests\.gtestxx_4|public\.test_type_diff2_c[12]) \(\n)([^;]*?)(\n\)\n)/gm;
  return text.replace(children, (_, head: string, columns: string, tail: string) => {
    const sorted = columns
      .split('\n')
      .map((line) => line.replace(/,$/, ''))
      .sort();
    return head + sorted.join('\n') + tail;
  });
}
