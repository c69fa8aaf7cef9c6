import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mysqlEngine } from '../../src/engines/mysql/engine.ts';
import { type Bench, backUp, describeWithEachMysql, makeBench, picture } from './support-mysql.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-mysql-objects.sql'), 'utf8');

describeWithEachMysql('mysql: objects of many kinds', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('dgt_objects', OBJECTS);
  });
  afterAll(() => bench?.remove());

  it('come back equal in a new database, in the place of another, and back by undo', async () => {
    const before = await picture(bench, 'dgt_objects');
    expect(Object.keys(before).length).toBeGreaterThan(25);
    const content = await backUp(bench.source('dgt_objects'));
    expect(content.facts).toMatchObject({ consistency: 'snapshot', engine: { counts: 'exact' } });
    expect(
      await mysqlEngine.inspect(content, {
        env: {},
        tempDir: bench.folder,
        signal: new AbortController().signal,
        onProgress: () => {},
      }),
    ).toEqual([]);

    await mysqlEngine.restore(content, bench.request('dgt_objects', { toDatabase: 'dgt_new' }));
    expect(await picture(bench, 'dgt_new')).toEqual(before);

    await bench.sql('dgt_objects', 'DROP EVENT tick');
    await bench.sql('dgt_objects', "INSERT INTO parent (name) VALUES ('later')");
    await bench.sql('dgt_objects', 'CREATE VIEW late AS SELECT 1 AS one');
    await bench.sql('dgt_objects', 'CREATE TABLE late_table (n INT)');
    const changed = await picture(bench, 'dgt_objects');
    const { undo } = await mysqlEngine.restore(content, bench.request('dgt_objects', { overwrite: true }));
    expect(await picture(bench, 'dgt_objects')).toEqual(before);
    expect(undo).toMatch(/^dgt_objects__dg_undo_/);

    const undone = await mysqlEngine.swaps!.undo(bench.target('dgt_objects'));
    expect(await picture(bench, 'dgt_objects')).toEqual(changed);
    expect(undone.restored.name).toBe(undo);
    await mysqlEngine.swaps!.undo(bench.target('dgt_objects'));
    expect(await picture(bench, 'dgt_objects')).toEqual(before);
    expect(bench.warnings).toEqual([]);
    expect(await bench.names()).not.toContain(undo);
    await mysqlEngine.swaps!.dropUndo(bench.target('dgt_objects'), 0);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  }, 60_000);
});
