import { spawn } from 'node:child_process';
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresServer } from '../../services/postgres.mjs';
import type { Bench } from './support.ts';

/** Scripts that leave nothing in the database, and take their time. */
const LEAVE_NOTHING = new Set(
  'join_hash select_parallel write_parallel vacuum_parallel stats tuplesort partition_aggregate psql psql_pipeline memoize explain numa'.split(
    ' ',
  ),
);

const AT_ONCE = 3;

/**
 * Makes PostgreSQL's regression database as `pg_regress` does: the scripts of its schedule, those of one line at
 * once, each in a session of its own. Scripts provoke errors, and what needs the C functions of the tests' own library is missing:
 * what counts is what is there in the end.
 */
export async function makeRegressionDatabase(
  server: PostgresServer,
  bench: Bench,
  tests: string,
  database: string,
): Promise<void> {
  await bench.sql('postgres', `CREATE DATABASE ${database} TEMPLATE template0`);
  const passfile = join(bench.folder, 'regression.pgpass');
  writeFileSync(passfile, `*:*:*:*:${server.password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
  mkdirSync(join(bench.folder, 'results'));
  const env = {
    PATH: process.env['PATH'],
    PGPASSFILE: passfile,
    PGHOST: server.host,
    PGPORT: String(server.port),
    PGUSER: server.user,
    PGTZ: 'America/Los_Angeles',
    PGDATESTYLE: 'Postgres, MDY',
    PGOPTIONS: '-c intervalstyle=postgres_verbose',
    PG_ABS_SRCDIR: tests,
    PG_ABS_BUILDDIR: bench.folder,
    PG_LIBDIR: '/nonexistent',
    PG_DLSUFFIX: '.so',
  };
  const schedule = readFileSync(join(tests, 'parallel_schedule'), 'utf8');
  const lines = schedule.split('\n').filter((line) => line.startsWith('test:'));
  const runScript = async (script: string) => {
    const file = createReadStream(join(tests, 'sql', `${script}.sql`));
    const psql = spawn(join(server.bin!, 'psql'), ['-X', '-q', '-d', database], {
      env,
      cwd: bench.folder,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    psql.stdin.on('error', () => {});
    file.pipe(psql.stdin);
    await new Promise((resolve, reject) => psql.once('close', resolve).once('error', reject));
  };
  for (const line of lines) {
    const scripts = line.slice('test:'.length).trim().split(/\s+/);
    const left = scripts.filter((name) => !LEAVE_NOTHING.has(name));
    const worker = async () => {
      for (let script = left.shift(); script !== undefined; script = left.shift()) await runScript(script);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
}
