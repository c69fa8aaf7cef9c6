import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { DataBlock } from '../../../src/engines/postgres/dump/archive-offsets.ts';
import { dataOf } from '../../../src/engines/postgres/dump/archive-rows.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { contentSums } from './support-compare.ts';

/** Rows that compress well on both sides, so that a large dump is a quick test. */
const rows = (count: number) =>
  `SELECT g, repeat('row ' || g || E' \\t\\n\\\\ ', 200) FROM generate_series(1, ${count}) g`;

describeWithEachPostgres('postgres: a large dump is decoded while it is loaded', (server) => {
  let bench: Bench;
  let content: BackupContent;
  const blocks = () => content.facts.engine!['large_data'] as DataBlock[];
  const lying = (large_data: unknown): BackupContent => ({
    ...content,
    facts: { ...content.facts, engine: { ...content.facts.engine, large_data } },
  });
  const restore = (of: BackupContent, database: string, more: Parameters<Bench['request']>[1] = {}) =>
    postgresEngine.restore(of, bench.request(database, { toDatabase: database, ...more }));

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database(
      'large',
      `CREATE TABLE "First ü" (n int PRIMARY KEY, f text); INSERT INTO "First ü" ${rows(16_000)};
       CREATE TABLE second (n int PRIMARY KEY, f text); INSERT INTO second ${rows(9000)};
       CREATE TABLE small (n int REFERENCES second, f text);
       INSERT INTO small VALUES (1, ''), (2, NULL), (3, repeat('x', 300000));
       CREATE TABLE nothing (n int); CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM "First ü"`,
    );
    content = await backUp(bench.source('large'));
  });
  afterEach(async () => {
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
  afterAll(() => bench?.remove());

  /** The content, with a look at each chunk of each reading. Memory that is used again is: nobody may have kept it. */
  const watching = (begin: () => (chunk: Uint8Array) => void): BackupContent => ({
    ...content,
    async *read(entry) {
      const look = begin();
      for await (const chunk of content.read(entry)) {
        look(chunk);
        yield chunk;
      }
    },
    async *readAll(entries) {
      const look = begin();
      for await (const chunk of content.readAll(entries)) {
        look(chunk.bytes);
        yield chunk;
        chunk.bytes.fill(0xff);
      }
    },
  });

  it('through pipes, of which none is a file; rows and definitions are what they were', async () => {
    expect(blocks()).toHaveLength(2);
    let pipes = 0;
    let largestFile = 0;
    const watched = watching(() => () => {
      const temp = join(bench.folder, 'temp');
      for (const path of readdirSync(temp, { recursive: true }) as string[]) {
        const stat = lstatSync(join(temp, path), { throwIfNoEntry: false });
        if (stat?.isFIFO()) pipes = Math.max(pipes, 1);
        if (stat?.isFile()) largestFile = Math.max(largestFile, stat.size);
      }
    });
    await restore(watched, 'large_copy');
    expect(pipes).toBe(1);
    expect(largestFile).toBeLessThan(1e6);
    expect(await contentSums(bench, 'large_copy')).toEqual(await contentSums(bench, 'large'));
    await bench.sql('postgres', 'DROP DATABASE large_copy');
  });

  it('a backup that does not say where they lie, or cannot have pipes, comes back through files', async () => {
    const noPrograms = { ...bench.source('large'), env: { PATH: join(bench.folder, 'nothing') } };
    for (const [of, more] of [
      [lying(undefined), {}],
      [content, { source: noPrograms }],
    ] as const) {
      await restore(of, 'large_copy', more);
      expect(await contentSums(bench, 'large_copy')).toEqual(await contentSums(bench, 'large'));
      await bench.sql('postgres', 'DROP DATABASE large_copy');
    }
  });

  it('chosen tables alone are read', async () => {
    const first = blocks()[0]!;
    let readBytes = 0;
    const counting = watching(() => (chunk) => {
      readBytes += chunk.length;
    });
    await restore(counting, 'large_copy', { only: ['small', 'second'] });
    const [count] = await bench.sql(
      'large_copy',
      'SELECT (SELECT count(*) FROM small)::int AS a, (SELECT count(*) FROM second)::int AS b, (SELECT count(*) FROM "First ü")::int AS c',
    );
    expect(count).toEqual({ a: 3, b: 9000, c: 0 });
    const archive = (await content.entry('database.dump'))!;
    expect(archive.type).toBe('stream');
    // What comes before the first table is read twice or thrice, to list it; the first table never.
    expect(readBytes).toBeLessThan((archive as { size: number }).size - (first.end - first.start) / 2);
    await bench.sql('postgres', 'DROP DATABASE large_copy');
  });

  it('data that break in the middle of a table fail the restore by their own error', async () => {
    const broken = watching(() => {
      let bytes = 0;
      return (chunk) => {
        bytes += chunk.length;
        // Behind what is read to list it.
        if (bytes > 12e6) throw new Error('the storage went away');
      };
    });
    const error = await errorOf(restore(broken, 'large_copy'));
    expect(error.message).toContain('the storage went away');
    expect(await bench.names()).not.toContain('large_copy');
  });

  it('places that are wrong are corrupt, and nothing is swapped', async () => {
    const [first, second] = blocks() as [DataBlock, DataBlock];
    for (const wrong of [
      [{ ...first, start: first.start + 3 }, second],
      [{ ...first, end: first.end - 1 }],
      [{ ...first, entry: second.entry }],
      [{ ...first, entry: 1 }],
      [{ ...first, end: second.end }],
    ]) {
      const error = await errorOf(restore(lying(wrong), 'large_copy'));
      expect(error.code, error.message).toBe('corrupt');
      expect(await bench.names()).not.toContain('large_copy');
    }
  });

  it('pieces of a block are put together however the bytes come', async () => {
    const archive = (await content.entry('database.dump'))!;
    const small = blocks()[1]!.end;
    const [, tail] = await content.parts(archive, [small]);
    const whole: Uint8Array[] = [];
    for await (const chunk of content.read(tail!)) whole.push(chunk);
    const bytes = Buffer.concat(whole);
    const found = async (step: number) => {
      const texts = new Map<number, Buffer[]>();
      async function* steps() {
        for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
      }
      for await (const { entry, bytes: piece } of dataOf(steps())) {
        if (!texts.has(entry)) texts.set(entry, []);
        texts.get(entry)!.push(Buffer.from(piece));
      }
      return [...texts].map(([entry, pieces]) => [entry, Buffer.concat(pieces).toString('latin1')]);
    };
    const once = await found(bytes.length);
    expect(once.map(([, text]) => text)).toContainEqual(expect.stringContaining('xxxxx'));
    for (const step of [1, 7, 4096]) expect(await found(step)).toEqual(once);
    await expect(async () => {
      for await (const _ of dataOf([bytes.subarray(0, bytes.length - 4)] as never));
    }).rejects.toMatchObject({ code: 'corrupt' });
  });
});
