import { hash } from 'node:crypto';
import type { DestinationConfig } from '../config/types/destinations.ts';
import type { JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import type { Catalog } from './catalog.ts';

/**
 * The names of a job's groups at one destination: its datasources, and of those with several databases what
 * backups of them are there, so that nobody has to ask a server which exist.
 */
export function groupNames(
  job: JobConfig,
  { entries, unfinished }: Catalog,
  namespace: string,
): readonly string[] {
  const names = new Set(job.datasources);
  const found = [
    ...entries.flatMap(({ manifest }) =>
      manifest
        ? [{ job: manifest.job, namespace: manifest.namespace ?? '', name: manifest.datasource.name }]
        : [],
    ),
    ...unfinished.flatMap(({ lease }) => (lease ? [{ ...lease, name: lease.datasource }] : [])),
  ];
  for (const each of found) {
    const ofOurs = job.datasources.some((datasource) => each.name.startsWith(`${datasource}.`));
    if (each.job === job.name && each.namespace === namespace && ofOurs) names.add(each.name);
  }
  return [...names];
}

/**
 * The name of a group's lock at this host: with where the job writes to, because two configurations may have
 * a job and a datasource of the same names and nothing else in common.
 */
export function groupLock(config: Config, job: JobConfig, datasource: string): string {
  const { namespace } = config.defaults;
  const places = job.destinations.map(({ name }) => placeOf(config.destinations[name]!)).sort();
  const where = hash('sha256', places.join('\n'), 'hex').slice(0, 8);
  return `${namespace === '' ? '' : `${namespace}:`}${job.name}/${datasource}@${where}`;
}

/** Where a destination is, without how one gets in. */
function placeOf(destination: DestinationConfig): string {
  const { type, ...fields } = destination as unknown as Record<string, unknown>;
  const place = [
    'endpoint',
    'bucket',
    'bucket_name',
    'prefix',
    'host',
    'port',
    'remote_path',
    'remote',
    'path',
  ];
  return JSON.stringify([type, ...place.map((field) => fields[field] ?? null)]);
}
