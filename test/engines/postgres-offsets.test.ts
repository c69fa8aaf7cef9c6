import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createOffsetScanner } from '../../src/engines/postgres/dump/archive-offsets.ts';
import { describeWithEachPostgres } from '../services/needs.ts';
import { postgresPrograms } from '../services/postgres.mjs';
import { makeBench } from './support-postgres.ts';
import { contentSums } from './support-postgres-compare.ts';

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
});
