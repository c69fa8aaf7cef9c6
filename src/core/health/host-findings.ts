import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Config } from '../../config/types.ts';
import type { Finding } from '../../engines/health.ts';
import { errorText } from '../../errors.ts';
import { freeBytesOf } from '../../folders.ts';
import type { Runtime } from '../../runtime.ts';
import { shellWord } from '../../shell-word.ts';
import type { Catalog } from '../catalog.ts';
import { locksOfJob } from '../job-locks.ts';
import { listLocks, lockState } from '../lock.ts';
import { ownerText } from '../owner.ts';
import { targetLocks } from '../target.ts';
import { listTempFolders, type TempFolder } from '../temp-folder.ts';
import type { Chosen } from './names.ts';

const MIB = 1024 * 1024;
/** What an index, a password file and the like need. */
const LEAST_TEMP_BYTES = 64 * MIB;
/** Younger ones may be of a run that is going on. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/** What of this host would make a run fail, and what earlier ones left on it. */
export async function diagnoseHost(
  config: Config,
  chosen: Chosen,
  catalogs: readonly Catalog[],
  runtime: Runtime,
): Promise<readonly Finding[]> {
  return [
    ...(await tempSpace(config, chosen, catalogs, runtime)),
    ...(await tempLeftovers(runtime)),
    ...(await staleLocks(config, chosen, runtime)),
    ...(await sameDisk(config, chosen)),
  ];
}

/** Where a dump is staged whole (SQLite; PostgreSQL with parallel_jobs), temp_dir needs room for all of it. */
async function tempSpace(
  config: Config,
  { datasources }: Chosen,
  catalogs: readonly Catalog[],
  { tempDir }: Runtime,
): Promise<Finding[]> {
  const fix = { by: 'config', lines: ['defaults: { temp_dir: /a/larger/disk }'] } as const;
  let free: number | undefined;
  try {
    free = await freeBytesOf(tempDir);
  } catch (error) {
    const message = `temp_dir cannot be looked at: ${errorText(error)}`;
    return [{ severity: 'problem', topic: 'space', subject: tempDir, message, fix }];
  }
  if (free === undefined) return [];
  const findings: Finding[] = [];
  for (const name of datasources) {
    const { type } = config.datasources[name]!;
    const staged =
      type === 'sqlite' ||
      (type === 'postgres' &&
        Object.values(config.jobs).some(
          (job) => job.datasources.includes(name) && (job.options.parallel_jobs ?? 1) > 1,
        ));
    if (!staged) continue;
    const last = lastSize(config, name, catalogs);
    if (last === undefined || free >= last) continue;
    findings.push({
      severity: 'problem',
      topic: 'space',
      subject: tempDir,
      message: `temp_dir has ${mib(free)} free; the last backup of ${name} was ${mib(last)}, and is staged there`,
      fix,
    });
  }
  if (findings.length === 0 && free < LEAST_TEMP_BYTES) {
    const message = `temp_dir has only ${mib(free)} free`;
    findings.push({ severity: 'warning', topic: 'space', subject: tempDir, message, fix });
  }
  return findings;
}

/** Of the newest good backup of a datasource, in bytes before compression; the largest of its databases. */
function lastSize(config: Config, datasource: string, catalogs: readonly Catalog[]): number | undefined {
  const newest = new Map<string, number>();
  for (const { manifest, good } of catalogs.flatMap(({ entries }) => entries)) {
    const name = manifest?.datasource.name;
    if (!good || name === undefined || (name !== datasource && !name.startsWith(`${datasource}.`))) continue;
    if (!config.jobs[manifest!.job]?.datasources.includes(datasource)) continue;
    if (!newest.has(name)) newest.set(name, manifest!.size_bytes);
  }
  return newest.size === 0 ? undefined : Math.max(...newest.values());
}

/** Folders that runs which were killed have left in temp_dir: known by their process, or by their age. */
async function tempLeftovers(runtime: Runtime): Promise<Finding[]> {
  const isLeft = ({ state, changedAt }: TempFolder) =>
    state === 'dead' ||
    (state === 'unknown' && runtime.now().getTime() - changedAt.getTime() >= LEFTOVER_AGE_MS);
  return (await listTempFolders(runtime)).filter(isLeft).map(({ path, changedAt, state }) => ({
    severity: state === 'dead' ? 'notice' : 'warning',
    topic: 'leftovers',
    subject: path,
    message: `a run that was killed left this folder at ${changedAt.toISOString()}; ${state === 'dead' ? 'the next backup, restore or verify removes it' : 'nothing needs it'}`,
    fix: { by: 'shell', lines: [`rm -r -- ${shellWord(path)}`] },
  }));
}

/** A lock whose owner is gone is taken over by the next run: good to know, no trouble. */
async function staleLocks(config: Config, { datasources }: Chosen, runtime: Runtime): Promise<Finding[]> {
  const ours = new Set<string>();
  for (const job of Object.values(config.jobs)) {
    for (const name of await locksOfJob(config, job, runtime)) ours.add(name);
  }
  for (const name of datasources) {
    const datasource = config.datasources[name]!;
    // One that cannot be found has findings of its own.
    const places = await targetLocks({ type: datasource.type, datasource }, runtime).catch(() => []);
    for (const place of places) ours.add(place);
  }
  const findings: Finding[] = [];
  for (const holder of await listLocks(runtime)) {
    if (!ours.has(holder.name) || (await lockState(holder, runtime)) !== 'dead') continue;
    const message = `${ownerText(holder)} held this lock (${holder.operation} since ${holder.taken_at}) and is gone; the next run takes it over`;
    findings.push({ severity: 'notice', topic: 'leftovers', subject: holder.name, message });
  }
  return findings;
}

/** A copy on the disk of what it is a copy of is lost with it. */
async function sameDisk(config: Config, { datasources, destinations }: Chosen): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const job of Object.values(config.jobs)) {
    const local = job.destinations.map(({ name }) => config.destinations[name]!);
    if (!local.every(({ type, name }) => type === 'local' && destinations.includes(name))) continue;
    const disks = await Promise.all(local.map((each) => deviceOf(each.type === 'local' ? each.path : '')));
    for (const name of job.datasources) {
      const source = config.datasources[name]!;
      if (!datasources.includes(name) || (source.type !== 'sqlite' && source.type !== 'files')) continue;
      const path = source.type === 'sqlite' ? source.file_path : source.source_path[0]!;
      const own = await deviceOf(path);
      if (own === undefined || !disks.every((disk) => disk === own)) continue;
      findings.push({
        severity: 'notice',
        topic: 'support',
        subject: job.name,
        message: `all copies of ${name} lie on the disk that ${path} lies on: one broken disk takes both`,
      });
    }
  }
  return findings;
}

/** Of the path, or of the nearest folder above it that exists. */
async function deviceOf(path: string): Promise<number | undefined> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const facts = await stat(at).catch(() => undefined);
    if (facts) return facts.dev;
    if (at === dirname(at)) return undefined;
  }
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
