import type { Config } from '../../config/types.ts';
import { DguardError } from '../../errors.ts';

/** What a check or a diagnosis is about. */
export interface Chosen {
  readonly datasources: readonly string[];
  readonly destinations: readonly string[];
}

/**
 * Names of datasources, destinations and jobs, a job standing for all of its own; none: everything. A name that
 * several things have means all of them; one with a slash is a folder that holds backups. Errors: unknown_name.
 */
export function chooseNames(config: Config, names: readonly string[], operation: string): Chosen {
  const { datasources, destinations, jobs } = config;
  if (names.length === 0)
    return { datasources: Object.keys(datasources), destinations: Object.keys(destinations) };
  const sources = new Set<string>();
  const places = new Set<string>();
  for (const name of names) {
    const job = Object.hasOwn(jobs, name) ? jobs[name] : undefined;
    const isSource = Object.hasOwn(datasources, name);
    const isPlace = Object.hasOwn(destinations, name) || name.includes('/');
    if (!job && !isSource && !isPlace) {
      throw new DguardError(
        'unknown_name',
        `the configuration has no datasource, destination or job ${name}`,
        {
          operation,
          subject: name,
          hint: `datasources: ${Object.keys(datasources).join(', ')}; destinations: ${Object.keys(destinations).join(', ')}; jobs: ${Object.keys(jobs).join(', ')}`,
        },
      );
    }
    if (isSource) sources.add(name);
    if (isPlace) places.add(name);
    for (const datasource of job?.datasources ?? []) sources.add(datasource);
    for (const destination of job?.destinations ?? []) places.add(destination.name);
  }
  return { datasources: [...sources], destinations: [...places] };
}
