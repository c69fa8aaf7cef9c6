import { hash } from 'node:crypto';
import { isOfDatasource } from '../config/former.ts';
import type { DestinationConfig } from '../config/types/destinations.ts';
import type { FormerName, JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import type { Manifest } from '../manifest/types.ts';
import type { Catalog } from './catalog.ts';

/** By what a job's backups are known. */
export interface JobScope {
  readonly namespace: string;
  readonly job: string;
  readonly formerly: readonly Former[];
}

/** What belongs together: parents, retention, gate and "the newest" are within one group. */
export interface Group extends JobScope {
  /** The datasource's name; of one that holds several databases `{datasource}.{database}`. */
  readonly datasource: string;
}

interface Former extends FormerName {
  /** `now` is a datasource of several databases: each of them has a history of its own. */
  readonly several: boolean;
}

/** Whose backup it is, as its manifest or its lease says. */
interface Labels {
  readonly namespace: string;
  readonly job: string;
  readonly datasource: string;
  readonly database?: string | undefined;
}

/** What this host is called in manifests. */
export function hostNameOf(config: Config | undefined, host: { readonly name: string }): string {
  return config?.defaults.host ?? host.name;
}

export function scopeOf(config: Config, job: JobConfig): JobScope {
  const formerly = job.formerly.map((former) => ({ ...former, several: hasSeveral(config, former.now) }));
  return { namespace: config.defaults.namespace, job: job.name, formerly };
}

export function groupOf(config: Config, job: JobConfig, datasource: string): Group {
  return { ...scopeOf(config, job), datasource };
}

/** True for a datasource that makes one backup per database. */
export function hasSeveral(config: Config, datasource: string): boolean {
  const found = Object.hasOwn(config.datasources, datasource) ? config.datasources[datasource] : undefined;
  if (found === undefined || !('all_databases' in found)) return false;
  return found.all_databases || found.database.length > 1;
}

/** What the groups of a datasource are called that lists several databases by name. */
export function listedGroups(config: Config | undefined, datasource: string): string[] | undefined {
  const found = config?.datasources[datasource];
  if (!found || !('all_databases' in found) || found.all_databases) return undefined;
  return found.database.map((database) => `${datasource}.${database}`);
}

/** What the group of a backup is called today, in the job: `formerly` counts. Undefined: it is not the job's. */
export function nameIn(scope: JobScope, labels: Labels): string | undefined {
  for (const { namespace, job, datasource, now, several } of scope.formerly) {
    if (labels.namespace !== namespace || labels.job !== job) continue;
    if (labels.datasource === datasource)
      return several && labels.database !== undefined ? `${now}.${labels.database}` : now;
    if (several && isOfDatasource(labels.datasource, datasource))
      return `${now}${labels.datasource.slice(datasource.length)}`;
  }
  return labels.namespace === scope.namespace && labels.job === scope.job ? labels.datasource : undefined;
}

export function labelsOf({ namespace = '', job, datasource, database }: Manifest): Labels {
  return { namespace, job, datasource: datasource.name, database };
}

export function isOfGroup(manifest: Manifest, group: Group): boolean {
  return nameIn(group, labelsOf(manifest)) === group.datasource;
}

/**
 * The names of a job's groups at one destination: its datasources, and of those with several databases what
 * backups of them are there, so that nobody has to ask a server which exist.
 */
export function groupNames(
  config: Config,
  job: JobConfig,
  { entries, unfinished }: Catalog,
): readonly string[] {
  const scope = scopeOf(config, job);
  const found = [
    ...entries.flatMap(({ manifest }) => (manifest ? [nameIn(scope, labelsOf(manifest))] : [])),
    ...unfinished.flatMap(({ lease }) => (lease ? [nameIn(scope, lease)] : [])),
  ];
  const ours = found.filter(
    (name): name is string =>
      name !== undefined && job.datasources.some((datasource) => name.startsWith(`${datasource}.`)),
  );
  return [...new Set([...job.datasources, ...ours])];
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

/** The lock under which a job's hooks run, and all between them. */
export const hooksLock = (config: Config, job: JobConfig): string => groupLock(config, job, '(hooks)');

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
