import type { JobConfig } from '../../config/types/jobs.ts';
import type { Config } from '../../config/types.ts';
import { createEngine } from '../../engines/registry.ts';
import { DguardError, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { hasSeveral } from '../groups.ts';
import { isTriedAgain } from './attempts.ts';

/** One backup that a job makes. */
export interface Work {
  /** The datasource's name in the configuration. */
  readonly datasource: string;
  /** What its backup is called: the datasource's name, or `{datasource}.{database}`. */
  readonly name: string;
  readonly database?: string;
  /** Of a datasource with several databases: how many it has, chosen or not. */
  readonly databasesCount?: number;
  /** Why its databases could not be listed. */
  readonly error?: DguardError;
}

/**
 * The backups of a job: one of each datasource, of one with several databases one of each of them.
 * `chosen`: of the databases these alone, configured or not.
 */
export async function listWork(
  config: Config,
  job: JobConfig,
  chosen: readonly string[] | undefined,
  runtime: Runtime,
): Promise<readonly Work[]> {
  const work: Work[] = [];
  for (const datasource of job.datasources)
    work.push(...(await workOf(config, job, datasource, chosen, runtime)));
  return work;
}

async function workOf(
  config: Config,
  job: JobConfig,
  datasource: string,
  chosen: readonly string[] | undefined,
  runtime: Runtime,
): Promise<readonly Work[]> {
  const options = config.datasources[datasource]!;
  for (let attempt = 0; ; attempt++) {
    try {
      const engine = await createEngine(options.type, datasource);
      if (!engine.databases) return [{ datasource, name: datasource }];
      const databases = await engine.databases({
        name: datasource,
        options,
        signal: runtime.signal,
        tempDir: runtime.tempDir,
        host: runtime.host,
        now: runtime.now,
        env: runtime.env,
        warn: ({ message }) =>
          runtime.emit({ type: 'log', level: 'warning', job: job.name, subject: datasource, message }),
      });
      const several = hasSeveral(config, datasource);
      if (!several && chosen === undefined && databases.length > 1) throw unnamed(datasource, databases);
      return (chosen ?? databases).map((database) =>
        several
          ? { datasource, name: `${datasource}.${database}`, database, databasesCount: databases.length }
          : { datasource, name: datasource, database },
      );
    } catch (thrown) {
      const error = toDguardError(thrown, 'source_failed', { operation: 'backup', subject: datasource });
      if (await isTriedAgain({ job, subject: datasource, attempt, error }, runtime)) continue;
      return [{ datasource, name: datasource, error }];
    }
  }
}

/** Each of them would be a backup of the same name, in one history. */
function unnamed(datasource: string, databases: readonly string[]): DguardError {
  const some = databases.length > 10 ? `${databases.slice(0, 10).join(', ')}, …` : databases.join(', ');
  return new DguardError('config_invalid', `neither its uri nor database names one, and there are: ${some}`, {
    operation: 'backup',
    subject: datasource,
    hint: 'write database: NAME, a list of names, or all beside the uri of the datasource',
  });
}
