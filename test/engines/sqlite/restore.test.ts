import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { errorOf } from '../../error-of.ts';
import { backUp, withMember } from './support.ts';
import { bench, inspectRequest, source } from './support-bench.ts';
import { create, dumpText, PAIR_SCHEMA } from './support-files.ts';

describe('restore', () => {
  beforeEach(() => create(source, PAIR_SCHEMA.replace('60000', '500')));

  test('refuses an existing target, takes an empty file, and changes nothing on a dry run', async () => {
    const backup = await backUp(bench.source(source));
    const target = join(bench.folder, 'other.db');
    create(target, 'CREATE TABLE mine (i)');
    const before = readFileSync(target);
    expect(await errorOf(sqliteEngine.restore(backup, bench.request({ toPath: target })))).toMatchObject({
      code: 'target_refused',
    });
    const planned = bench.request({ toPath: target, overwrite: true, dryRun: true });
    const { plan } = await sqliteEngine.restore(backup, planned);
    expect(plan?.join('\n')).toContain('dguard-undo-');
    expect(readFileSync(target)).toEqual(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'other.db', 'temp']);
    const empty = join(bench.folder, 'empty.db');
    writeFileSync(empty, '');
    await sqliteEngine.restore(backup, bench.request({ toPath: empty }));
    expect(dumpText(empty)).toBe(dumpText(source));
  });

  test('to a folder, and to the source’s own place', async () => {
    const backup = await backUp(bench.source(source));
    const folder = join(bench.folder, 'elsewhere');
    mkdirSync(folder);
    const from = bench.source(source);
    const outcome = await sqliteEngine.restore(backup, bench.request({ source: from, toPath: folder }));
    expect(outcome.target).toBe(join(folder, 'app.db'));
    const text = dumpText(source);
    rmSync(source);
    await sqliteEngine.restore(backup, bench.request({ source: from }));
    expect(dumpText(source)).toBe(text);
  });

  test('bytes that are no sound database never reach the target', async () => {
    const backup = await backUp(bench.source(source));
    const bytes = Buffer.from(backup.members.get('database.db')!);
    bytes.fill(0x5a, 5 * 4096, 5 * 4096 + 64);
    const broken = withMember(backup, 'database.db', bytes);
    const before = readFileSync(source);
    const error = await errorOf(
      sqliteEngine.restore(broken, bench.request({ source: bench.source(source), overwrite: true })),
    );
    expect(error.code).toBe('corrupt');
    expect(readFileSync(source)).toEqual(before);
    expect(readdirSync(bench.folder).sort()).toEqual(['app.db', 'temp']);
    expect((await sqliteEngine.inspect(broken, inspectRequest()))[0]).toContain('integrity_check');
  });

  test('a database with other rows than recorded is refused', async () => {
    const backup = await backUp(bench.source(source));
    create(source, 'PRAGMA foreign_keys = OFF; DELETE FROM a WHERE id > 100');
    const fewer = (await backUp(bench.source(source))).members.get('database.db')!;
    const sameSize = Buffer.alloc(backup.members.get('database.db')!.length);
    fewer.copy(sameSize);
    const other = withMember(backup, 'database.db', sameSize);
    const error = await errorOf(
      sqliteEngine.restore(other, bench.request({ toPath: join(bench.folder, 'n.db') })),
    );
    expect(error).toMatchObject({ code: 'corrupt' });
    expect(error.message).toContain('table a has 100 rows, 500 were recorded');
    const short = withMember(backup, 'database.db', fewer.subarray(0, 4096));
    expect(
      (await errorOf(sqliteEngine.restore(short, bench.request({ toPath: join(bench.folder, 'n.db') }))))
        .message,
    ).toContain('were recorded');
  });

  test('an integrity check finds what a quick check cannot: an index of other values', async () => {
    const database = new Driver(source);
    database.unsafeMode(true);
    database.exec(`PRAGMA writable_schema = ON;
      UPDATE sqlite_master SET sql = 'CREATE INDEX b_a ON b (a_id + 1)' WHERE name = 'b_a'`);
    database.close();
    const problems = await sqliteEngine.inspect(await backUp(bench.source(source)), inspectRequest());
    expect(problems.join('\n')).toContain('b_a');
  });

  test('scratch: a test restore is proven and leaves nothing', async () => {
    const backup = await backUp(bench.source(source));
    const toPath = join(bench.folder, 'temp/scratch.db');
    const outcome = await sqliteEngine.restore(backup, bench.request({ toPath, scratch: true }));
    expect(outcome.tables?.map(({ rows }) => rows)).toContain(500);
    const bytes = Buffer.from(backup.members.get('database.db')!);
    bytes.fill(0x5a, 5 * 4096, 5 * 4096 + 64);
    const broken = withMember(backup, 'database.db', bytes);
    const error = await errorOf(sqliteEngine.restore(broken, bench.request({ toPath, scratch: true })));
    expect(error.code).toBe('corrupt');
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  test('probe says what is there', async () => {
    expect(await sqliteEngine.probe(bench.source(source))).toMatchObject({
      status: 'ok',
      serverVersion: expect.stringMatching(/^3\./),
      sizeBytes: statSync(source).size,
      facts: { tables: 2 },
    });
  });
});
