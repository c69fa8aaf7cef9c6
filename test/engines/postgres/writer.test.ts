import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runDguard } from '../../cli/support.ts';
import { describeWithEachPostgres } from '../../services/needs.ts';
import { type Bench, makeBench } from './support.ts';

describeWithEachPostgres('postgres: every command, under a writer of two tables', (server) => {
  let bench: Bench;
  let folder: string;
  let running = true;
  let written = 0;
  let writer: Promise<void>;
  const dguard = async (...args: string[]) => {
    const outcome = await runDguard(args, { cwd: folder });
    expect(outcome, `${args.join(' ')}: ${outcome.stderr}`).toMatchObject({ code: 0 });
    return outcome.stdout;
  };
  /** The last transaction that each of the two tables has. */
  const agreed = async (database: string) => {
    const [row] = await bench.sql(
      database,
      'SELECT (SELECT max(n) FROM a) AS a, (SELECT max(n) FROM b) AS b, (SELECT count(*)::int FROM a) = (SELECT count(*)::int FROM b) AS same',
    );
    expect(row).toEqual({ a: row!['b'], b: row!['b'], same: true });
    return row!['a'] as number;
  };

  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-writer-'));
    await bench.database(
      'live',
      `CREATE TABLE a (n int, f text); CREATE TABLE b (n int); CREATE TABLE z (f text);
       INSERT INTO z SELECT repeat(md5(g::text), 30) FROM generate_series(1, 10000) g; INSERT INTO a VALUES (0, ''); INSERT INTO b VALUES (0)`,
    );
    const { host, port, user, password, bin } = server();
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    const tools = bin === undefined ? '' : `client_path: ['${bin}'], `;
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
defaults: { temp_dir: ${folder}/temp }
datasources:
  live: { type: postgres, host: '${host}', port: ${port}, ${tools}username: '${user}', password_file: ${folder}/password, database: live }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  native: { datasources: [live], destinations: [nas] }
  parallel: { datasources: [live], destinations: [nas], options: { parallel_jobs: 2 } }
  jsonl: { datasources: [live], destinations: [nas], options: { format: jsonl } }
`,
      { mode: 0o600 },
    );
    writer = (async () => {
      while (running) {
        // While a restore takes the name away there is no such database.
        const wrote = await bench
          .sql(
            'live',
            `BEGIN; INSERT INTO a VALUES (${written + 1}, repeat('x', 200)); INSERT INTO b VALUES (${written + 1}); COMMIT`,
          )
          .then(
            () => true,
            () => false,
          );
        if (wrote) written++;
      }
    })();
  });
  afterAll(async () => {
    running = false;
    await writer;
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(['native', 'parallel', 'jsonl'])('%s: backup, test restore, to another database', async (job) => {
    const before = written;
    await dguard('backup', job);
    expect(written).toBeGreaterThan(before);
    expect(await dguard('verify', job, '--level', 'restore')).toContain('pass');
    await dguard('restore', job, '--to-database', `copy_${job}`);
    expect(await agreed(`copy_${job}`)).toBeGreaterThanOrEqual(before);
  });

  it('chosen tables, the whole, and back again', async () => {
    await dguard('backup', 'native');
    await bench.sql('copy_native', 'DELETE FROM a; DELETE FROM b; DELETE FROM z');
    await dguard(
      'restore',
      'native',
      '--to-database',
      'copy_native',
      '--only',
      'a',
      '--only',
      'b',
      '--overwrite',
    );
    const chosen = await agreed('copy_native');
    expect(await bench.sql('copy_native', 'SELECT count(*)::int AS n FROM z')).toEqual([{ n: 0 }]);
    const undone = await dguard('restore', 'native', '--to-database', 'copy_native', '--undo');
    expect(undone).toContain('copy_native');
    expect(await bench.sql('copy_native', 'SELECT count(*)::int AS n FROM a')).toEqual([{ n: 0 }]);

    // In the place of the one that is written to: a session that is at work is not thrown out, so ask again.
    const latest = await agreed('live');
    await expect
      .poll(async () => (await runDguard(['restore', 'native', '--overwrite'], { cwd: folder })).code, {
        timeout: 60_000,
      })
      .toBe(0);
    expect(chosen).toBeLessThanOrEqual(latest);
    await expect
      .poll(async () => (await runDguard(['restore', 'native', '--undo'], { cwd: folder })).code, {
        timeout: 60_000,
      })
      .toBe(0);
    expect(await agreed('live')).toBeGreaterThanOrEqual(latest);
    await dguard('restore', 'native', '--drop-undo', '--yes');
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
});
