import { chownSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

describeWithPostgres(15, 'postgres: a standby', (server) => {
  let bench: Bench;
  let signal: string;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database(
      'app',
      'CREATE TABLE t (n int); INSERT INTO t VALUES (1); CREATE UNLOGGED TABLE cache (n int); INSERT INTO cache VALUES (1); CREATE UNLOGGED TABLE left_out ()',
    );
    // One without a primary stays in recovery as long as this file is there.
    const data = join(server().socketFolder!, 'data');
    const { uid, gid } = statSync(data);
    signal = join(data, 'standby.signal');
    await server().halt();
    writeFileSync(signal, '');
    chownSync(signal, uid, gid);
    await server().resume();
  });
  afterAll(async () => {
    await server().halt();
    rmSync(signal, { force: true });
    await server().resume();
    await bench?.remove();
  });

  it.each(['native', 'jsonl'] as const)(
    '%s: rows of unlogged tables are not there, all others are',
    async (format) => {
      expect(await bench.sql('app', 'SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);
      bench.warnings.length = 0;
      const content = await backUp(bench.source('app'), { format, exclude: ['left_out'] });
      const message =
        'the server is a standby, which has no rows of unlogged tables: only the definitions are backed up of public.cache';
      expect(bench.warnings).toEqual([{ message, subject: 'app/app', partial: false }]);
      expect(content.facts).toMatchObject({ tables_count: 1, rows: 1 });
      const names = await bench.names();
      for (const more of [{ toDatabase: 'app_copy' }, { overwrite: true }, { overwrite: true, only: ['t'] }])
        expect(await errorOf(postgresEngine.restore(content, bench.request('app', more)))).toMatchObject({
          code: 'target_failed',
          hint: 'the server is read-only: restore to its primary',
        });
      expect(await bench.names()).toEqual(names);
    },
  );
});
