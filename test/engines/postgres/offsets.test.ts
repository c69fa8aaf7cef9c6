import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createOffsetScanner } from '../../../src/engines/postgres/dump/archive-offsets.ts';
import { createLineCounter } from '../../../src/engines/postgres/dump/line-counter.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { postgresPrograms } from '../../services/postgres.mjs';
import { makeBench } from './support.ts';
import { contentSums } from './support-compare.ts';

describeWithEachPostgres('postgres: offsets of a piped archive', (server) => {
  it('become what pg_dump writes itself into a file, however the bytes come', async () => {
    const bench = await makeBench(server());
    await bench.database(
      'offsets',
      `CREATE TABLE a (n int, f text); INSERT INTO a SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
       CREATE TABLE "b ünï" (f text); INSERT INTO "b ünï" VALUES (repeat('x', 300000)), (''), (NULL);
       CREATE TABLE nothing (n int); CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a; CREATE SEQUENCE s;
       COMMENT ON TABLE a IS 'what it is'; SELECT lo_from_bytea(0, convert_to(repeat('large ', 9000), 'UTF8')), lo_from_bytea(0, '')`,
    );
    const { bin, host, port, user, password } = server();
    const passfile = join(bench.folder, 'offsets.pgpass');
    writeFileSync(passfile, `*:*:*:*:${password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
    const env = { ...process.env, PGPASSFILE: passfile };
    const file = join(bench.folder, 'offsets.dump');
    const programs = bin ?? postgresPrograms(18) ?? '/usr/bin';
    const dump = (...more: string[]) =>
      execFileSync(
        join(programs, 'pg_dump'),
        ['-Fc', '-Z0', '-h', host, '-p', String(port), '-U', user, '-w', ...more, 'offsets'],
        { env, maxBuffer: 1e8 },
      );
    dump('-f', file);
    const seekable = readFileSync(file);
    const piped = dump();
    // The time of the dump is in its head, seven numbers from the tenth byte on.
    expect(piped.length).toBe(seekable.length);
    expect(piped.subarray(60).equals(seekable.subarray(60))).toBe(false);
    for (const step of [1, 7, 4096, 1 << 20]) {
      const patched = Buffer.from(piped);
      const scanner = createOffsetScanner();
      for (let at = 0; at < piped.length; at += step) scanner.push(piped.subarray(at, at + step));
      const patches = scanner.patches();
      // Two tables with rows, an empty one, large objects.
      expect(patches.length).toBeGreaterThanOrEqual(4);
      for (const { position, bytes } of patches) patched.set(bytes, position);
      expect(patched.subarray(60).equals(seekable.subarray(60)), `steps of ${step}`).toBe(true);
    }
    const scanner = createOffsetScanner();
    scanner.push(piped);
    for (const { position, bytes } of scanner.patches()) piped.set(bytes, position);
    writeFileSync(file, piped);
    await bench.database('offsets_copy');
    const connect = ['-h', host, '-p', String(port), '-U', user, '-w', '-d', 'offsets_copy'];
    execFileSync(join(programs, 'pg_restore'), [...connect, '--exit-on-error', '-j2', file], { env });
    expect(await contentSums(bench, 'offsets_copy')).toEqual(await contentSums(bench, 'offsets'));
    // What is cut short, or is no archive, is left alone.
    for (const other of [
      piped.subarray(0, piped.length - 3),
      Buffer.from('something else'),
      Buffer.alloc(0),
    ]) {
      const scanner = createOffsetScanner();
      scanner.push(other);
      expect(scanner.patches()).toEqual([]);
    }
    expect(createOffsetScanner().patches()).toEqual([]);
    await bench.remove();
  });

  it('tell how many rows it has of each table', async () => {
    const bench = await makeBench(server());
    const odd = String.raw`E'a\\nb\\\\\\.\\nc\\t\\r\\\\n', '', NULL, E'\\\\.', E'\\n\\n\\n', E'\\\\.\\n\\n\\n'`;
    await bench.database(
      'lines',
      `CREATE TABLE odd (f text); INSERT INTO odd SELECT unnest(ARRAY[${odd}]);
       CREATE TABLE nothing (f text); CREATE TABLE columnless (); INSERT INTO columnless DEFAULT VALUES;
       INSERT INTO columnless DEFAULT VALUES; CREATE TABLE made (n int GENERATED ALWAYS AS (1) STORED);
       INSERT INTO made DEFAULT VALUES; CREATE TABLE parted (n int) PARTITION BY LIST (n);
       CREATE TABLE part PARTITION OF parted FOR VALUES IN (1, 2); INSERT INTO parted VALUES (1), (2), (1);
       CREATE TABLE base (f text); CREATE TABLE child () INHERITS (base); INSERT INTO base VALUES (E'\\n');
       INSERT INTO child VALUES ('a'), ('b'); CREATE VIEW v AS SELECT * FROM odd;
       CREATE MATERIALIZED VIEW m AS SELECT * FROM odd; CREATE UNLOGGED TABLE fleeting (n int);
       INSERT INTO fleeting VALUES (1);
       -- Lengths of rows, and of what lies before them, with bytes of 10 in them.
       CREATE TABLE lengths (f text); INSERT INTO lengths SELECT repeat(E'\\n', n) FROM generate_series(0, 200) n;
       INSERT INTO lengths VALUES (repeat('x', 10 * 65536 - 1)), (repeat('y', 10 * 256 - 1)), (repeat('z', 9));
       SELECT lo_from_bytea(0, convert_to(repeat(E'\\n', 9000), 'UTF8'))`,
    );
    const counts = await bench.sql(
      'lines',
      `SELECT c.oid::text AS oid, (xpath('//n/text()', query_to_xml('SELECT count(*) AS n FROM ONLY ' || c.oid::regclass,
        false, true, '')))[1]::text::int AS n FROM pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384`,
    );
    const wanted = new Map(counts.map(({ oid, n }) => [oid as string, n as number]));
    expect(wanted.size).toBe(9);
    const { bin, host, port, user, password } = server();
    const passfile = join(bench.folder, 'lines.pgpass');
    writeFileSync(passfile, `*:*:*:*:${password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
    const dump = (...more: string[]) =>
      execFileSync(
        join(bin ?? postgresPrograms(18) ?? '/usr/bin', 'pg_dump'),
        ['-Fc', '-Z0', '-h', host, '-p', String(port), '-U', user, '-w', ...more, 'lines'],
        { env: { ...process.env, PGPASSFILE: passfile }, maxBuffer: 1e8 },
      );
    const rowsIn = (archive: Buffer, step: number) => {
      const scanner = createOffsetScanner(createLineCounter());
      for (let at = 0; at < archive.length; at += step) scanner.push(archive.subarray(at, at + step));
      return scanner.rows();
    };
    const archive = dump();
    for (const step of [1, 7, 61, 4096, 1 << 20])
      expect(rowsIn(archive, step), `steps of ${step}`).toEqual(wanted);
    // Statements instead of rows: nobody knows.
    expect(rowsIn(dump('--inserts'), 4096)).toEqual(new Map());
    // What ends otherwise than pg_dump ends rows, what is cut short, what nobody counts.
    const end = archive.indexOf('\\.\n\n\n\0\0\0\0\0');
    const other = Buffer.from(archive);
    other[end + 4] = 0x20;
    expect(rowsIn(other, 4096).size).toBe(wanted.size - 1);
    expect(rowsIn(archive.subarray(0, -3), 4096)).toEqual(new Map());
    const scanner = createOffsetScanner();
    scanner.push(archive);
    expect(scanner.rows()).toEqual(new Map());
    await bench.remove();
  });
});
