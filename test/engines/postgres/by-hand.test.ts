import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Outcome, runDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, makeBench } from './support.ts';

const READER = fileURLToPath(new URL('../../recover/recover.py', import.meta.url));
/** With the contents of an archive, more artifacts than a manifest lists. */
const TABLES = 51;

describeWithPostgres(17, 'postgres: a backup of many tables, by hand', (server) => {
  let bench: Bench;
  let folder: string;
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });
  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-by-hand-'));
    const { host, port, user, password, bin } = server();
    const tables = Array.from({ length: TABLES }, (_, i) => `CREATE TABLE t${i} AS SELECT ${i}::money AS v`);
    await bench.database('many', tables.join(';'));
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
datasources:
  many: { type: postgres, host: '${host}', port: ${port}, client_path: ['${bin}'], username: ${user}, password_file: ${folder}/password, database: many }
destinations: { nas: { type: local, path: ${folder}/nas } }
jobs:
  parallel: { datasources: [many], destinations: [nas], options: { parallel_jobs: 2 } }
  rows: { datasources: [many], destinations: [nas], options: { format: jsonl } }
`,
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(['parallel', 'rows'])('%s: the printed lines load it', async (job) => {
    const backup = await run('backup', job);
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
    const shown = (await run('show', backup.stdout.match(/full-\S+/)![0])).stdout;
    expect(shown).toContain('listed in the index');
    const load = "PGOPTIONS='-c lc_monetary=C' pg_restore -d NEW-DATABASE";
    const loads = [...shown.matchAll(/then load it: (.*)/g)].map(([, command]) => command!);
    expect(loads).toEqual([
      `${load} database.dir # where there is that folder`,
      `${load} --section=pre-data --section=data schema.dump # where there is schema.dump`,
      '# the rows: schema.json says how the values of each .jsonl file are written',
      `${load} --section=post-data schema.dump # where there is schema.dump`,
    ]);
    if (spawnSync('python3', ['--version']).status !== 0 || spawnSync('zstd', ['--version']).status !== 0)
      return;

    const [, path] = /nas: (\S+)/.exec(shown)!;
    const unpacked = join(folder, `restored-${job}`);
    execFileSync('python3', [READER, join(folder, 'nas', path!), unpacked], { stdio: 'pipe' });
    const copy = await bench.database(`many_${job}`);
    const { host, port, user, password, bin } = server();
    const env = {
      ...process.env,
      ...{ PGHOST: host, PGPORT: `${port}`, PGUSER: user, PGPASSWORD: password },
      PATH: `${bin}${delimiter}${process.env['PATH']}`,
    };
    const chosen = loads.filter((line) => line.includes('database.dir') === (job === 'parallel'));
    const script = chosen.join('\n').replaceAll('NEW-DATABASE', copy);
    execFileSync('sh', ['-ec', script], { cwd: unpacked, env });
    const last = await bench.sql(copy, `SELECT v::numeric::int AS v FROM t${TABLES - 1}`);
    expect(last).toEqual(job === 'parallel' ? [{ v: TABLES - 1 }] : []);
  });
});
