// npm run bench -- [memory] [--dir DIR] [--keep] [--scale N] [--only mix,many,sqlite] [--runs N]
// Compares dguard with tar and zstd, restic, kopia and sqlite3's .backup on the same seeded data. The peers come from
// `npm run services -- bench`. At scale 1 it needs 12 GB of disk in DIR and about half an hour.
//   memory    instead: the peak memory of dguard's full backup of one file of 1, 2, 4 and 8 GiB
//   --dir     where it works (default: a new temporary folder)
//   --keep    leaves the data in place for the next run with the same --dir

import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { contestants } from './contestants.mjs';
import { dataSet, warmUp } from './data.mjs';
import { runMemory } from './memory.mjs';
import { table } from './report.mjs';
import { runWorkload } from './workload.mjs';

const WORKLOADS = ['mix', 'many', 'sqlite'];

main(readOptions());

function main({ folder, keep, scale, rounds, workloads, memory }) {
  mkdirSync(folder, { recursive: true });
  say(
    `bench: ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, Node ${process.version}, scale ${scale}, in ${folder}`,
  );
  const results = [];
  try {
    if (memory) runMemory({ folder, scale, say });
    for (const workload of memory ? [] : workloads)
      results.push(...compare(workload, { folder, keep, scale, rounds }));
    if (!memory) say(`\n${results.length > 0 ? table(results) : 'nothing could be measured'}`);
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
  const memory = positionals[0] === 'memory';
  const wrong = [
    ...positionals.slice(memory ? 1 : 0).map((word) => `unknown word ${word}`),
    ...workloads.filter((name) => !WORKLOADS.includes(name)).map((name) => `--only: unknown ${name}`),
    ...(scale > 0 ? [] : ['--scale: a number above 0']),
    ...(Number.isInteger(rounds) && rounds > 0 ? [] : ['--runs: a whole number above 0']),
  ];
  if (wrong.length > 0) {
    console.error(`bench: ${wrong.join('; ')}`);
    process.exit(2);
  }
  const folder = values.dir ? resolve(values.dir) : mkdtempSync(join(tmpdir(), 'dguard-bench-'));
  return { folder, keep: values.keep, scale, rounds, workloads, memory };
}

function say(line) {
  console.log(line);
}
