import type { JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import type { Runtime } from '../runtime.ts';
import { groupLock, hooksLock } from './groups.ts';
import { listLocks } from './lock.ts';

/** The locks that the job's runs take: of each datasource, and of each database that one is held of. */
export async function locksOfJob(config: Config, job: JobConfig, runtime: Runtime): Promise<string[]> {
  const own = job.datasources.map((datasource) => groupLock(config, job, datasource));
  const held = (await listLocks(runtime)).map(({ name }) => name);
  const ofDatabases = own.flatMap((lock) => {
    const at = lock.lastIndexOf('@');
    return held.filter((name) => name.startsWith(`${lock.slice(0, at)}.`) && name.endsWith(lock.slice(at)));
  });
  return [...new Set([hooksLock(config, job), ...own, ...ofDatabases])];
}
