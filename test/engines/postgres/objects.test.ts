import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { inspectIn } from '../support.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums, schemaText } from './support-compare.ts';

const OBJECTS = readFileSync(new URL('support-objects.sql', import.meta.url), 'utf8');

describeWithEachPostgres('postgres: objects of many kinds', (server) => {
  let bench: Bench;
  let schema: string;
  let sums: Record<string, string>;
  let content: BackupContent;

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql('postgres', 'CREATE ROLE dg_owner; CREATE ROLE dg_reader');
    await bench.database('objects');
    await bench.sql('objects', OBJECTS);
    schema = schemaText(server(), bench, 'objects');
    sums = await contentSums(bench, 'objects');
    content = await backUp(bench.source('objects'));
  });
  afterAll(() => bench?.remove());

  it('the fixture has what it says', () => {
    expect(Object.keys(sums).length).toBe(18);
    expect(schema).toContain('CREATE POLICY');
    expect(content.facts).toMatchObject({ consistency: 'snapshot', tables_count: 13 });
    expect(content.facts.extensions?.some((name) => name.startsWith('hstore '))).toBe(true);
  });

  it('a test restore finds the same rows and the same schema, and leaves nothing', async () => {
    const before = await bench.names();
    const outcome = await postgresEngine.restore(content, bench.request('objects', { scratch: true }));
    expect(outcome.tables).toContainEqual({ name: 'app.people', rows: 500 });
    expect(outcome.tables).toContainEqual({ name: '"odd schema.x".Table "quoted" ünïcode', rows: 3 });
    expect(await bench.names()).toEqual(before);
    expect(bench.warnings).toEqual([]);
  });

  it('a restored database is the same by its schema text and by a checksum of every table', async () => {
    await postgresEngine.restore(content, bench.request('objects', { toDatabase: 'objects_copy' }));
    expect(schemaText(server(), bench, 'objects_copy')).toBe(schema);
    expect(await contentSums(bench, 'objects_copy')).toEqual(sums);
    expect(bench.warnings).toEqual([]);
  });

  it('a parallel dump, in directory format, comes back the same', async () => {
    const parallel = await backUp(bench.source('objects'), { parallelJobs: 3 });
    const paths: string[] = [];
    for await (const entry of parallel.entries()) if (entry.type === 'stream') paths.push(entry.path);
    expect(paths).toContain('database.dir/toc.dat');
    expect(paths).not.toContain('database.dump');
    await postgresEngine.restore(parallel, bench.request('objects', { toDatabase: 'objects_parallel' }));
    expect(schemaText(server(), bench, 'objects_parallel')).toBe(schema);
    expect(await contentSums(bench, 'objects_parallel')).toEqual(sums);
  });

  it('the schema hash sees a changed default, a missing index, a changed comment', async () => {
    for (const change of [
      "ALTER TABLE app.people ALTER status SET DEFAULT 'old'",
      'DROP INDEX app.people_tags',
      "COMMENT ON COLUMN app.people.name IS 'something else'",
      'ALTER TABLE app.people ENABLE TRIGGER stamp',
    ]) {
      await bench.sql('objects_copy', change);
      const changed = await backUp(bench.source('objects_copy'));
      expect(changed.facts.schema_sha256, change).not.toBe(content.facts.schema_sha256);
    }
  });

  it('the dump is listed and its end marker found', async () => {
    const request = { ...inspectIn(bench.folder), options: bench.source('objects').options };
    expect(await postgresEngine.inspect(content, request)).toEqual([]);
  });
});
