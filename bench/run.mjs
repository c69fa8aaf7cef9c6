// npm run bench -- [memory | list | postgres | mysql | mongodb] [--dir DIR] [--keep] [--scale N] [--only mix,many,sqlite] [--runs N]
// Compares dguard with tar and zstd, restic, kopia and sqlite3's .backup on the same seeded data. The peers come from
// `npm run services -- bench`. At scale 1 it needs 12 GB of disk in DIR and about half an hour.
//   memory    instead: the peak memory of dguard's full backup of one file of 1, 2, 4 and 8 GiB
//   list      instead: the time of `dguard list` with 10,000 backups at the destination
//   postgres  instead: dump and restore of a PostgreSQL database, against pg_dump, pg_restore and restic
//   mysql     instead: dump and restore of a MariaDB database, against mariadb-dump | zstd and its way back
//   mongodb   instead: dump and restore of a database of FerretDB, against mongodump and mongorestore
//   --dir     where it works (default: a new temporary folder)
//   --keep    leaves the data in place for the next run with the same --dir

import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { contestants } from './contestants.mjs';
import { dataSet, warmUp } from './data.mjs';
import { runList } from './list.mjs';
import { runMemory } from './memory.mjs';
import { runMongodb } from './mongodb.mjs';
import { runMysql } from './mysql.mjs';
import { runPostgres } from './postgres.mjs';
import { table } from './report.mjs';
import { runWorkload } from './workload.mjs';

const WORKLOADS = ['mix', 'many', 'sqlite'];
/** What is measured instead of the workloads. */
const INSTEAD = ['memory', 'list', 'postgres', 'mysql', 'mongodb'];

await main(readOptions());

async function main({ folder, keep, scale, rounds, workloads, instead }) {
  mkdirSync(folder, { recursive: true });
  say(
    `bench: ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, Node ${process.version}, scale ${scale}, in ${folder}`,
  );
  const results = [];
  try {
    if (instead === 'memory') runMemory({ folder, scale, say });
    if (instead === 'list') await runList({ folder, scale, rounds, say });
    if (instead === 'mongodb') results.push(...(await runMongodb({ folder, scale, rounds, say })));
    if (instead === 'mysql') results.push(...(await runMysql({ folder, scale, rounds, say })));
    if (instead === 'postgres') results.push(...(await runPostgres({ folder, scale, rounds, say })));
    for (const workload of instead ? [] : workloads)
      results.push(...compare(workload, { folder, keep, scale, rounds }));
    if (!instead || results.length > 0)
      say(`\n${results.length > 0 ? table(results) : 'nothing could be measured'}`);
  } finally {
    if (!keep) rmSync(join(folder, 'data'), { recursive: true, force: true });
    for (const name of ['work', 'scratch']) rmSync(join(folder, name), { recursive: true, force: true });
    if (!keep && readdirSync(folder).length === 0) rmdirSync(folder);
  }
}

function compare(workload, { folder, keep, scale, rounds }) {
  const work = join(folder, 'work', workload);
  const everyone = contestants(workload, work);
  for (const { name, missing } of everyone) if (missing) say(`${workload}: ${name} is left out: ${missing}`);
  const startedMs = performance.now();
  const source = dataSet(workload, { folder: join(folder, 'data'), scale });
  warmUp(source);
  say(`${workload}: data ready in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const field = everyone.filter(({ missing }) => !missing);
  const results = runWorkload(workload, { source, folder: work, rounds, field, say });
  rmSync(work, { recursive: true, force: true });
  if (!keep) rmSync(source, { recursive: true, force: true });
  return results;
}

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      keep: { type: 'boolean', default: false },
      scale: { type: 'string', default: '1' },
      only: { type: 'string', default: WORKLOADS.join(',') },
      runs: { type: 'string', default: '3' },
    },
  });
  const workloads = values.only.split(',');
  const scale = Number(values.scale);
  const rounds = Number(values.runs);
  const instead = INSTEAD.includes(positionals[0]) ? positionals[0] : undefined;
  const wrong = [
    ...positionals.slice(instead ? 1 : 0).map((word) => `unknown word ${word}`),
    ...workloads.filter((name) => !WORKLOADS.includes(name)).map((name) => `--only: unknown ${name}`),
    ...(scale > 0 ? [] : ['--scale: a number above 0']),
    ...(Number.isInteger(rounds) && rounds > 0 ? [] : ['--runs: a whole number above 0']),
  ];
  if (wrong.length > 0) {
    console.error(`bench: ${wrong.join('; ')}`);
    process.exit(2);
  }
  const folder = values.dir ? resolve(values.dir) : mkdtempSync(join(tmpdir(), 'dguard-bench-'));
  return { folder, keep: values.keep, scale, rounds, workloads, instead };
}

function say(line) {
  console.log(line);
}
