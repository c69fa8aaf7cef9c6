import type { JobConfig } from '../../config/types/jobs.ts';
import type { Config } from '../../config/types.ts';
import { groupLock, hooksLock } from '../../core/groups.ts';
import { breakLock, listLocks, lockHolder } from '../../core/lock.ts';
import { ownerState, ownerText } from '../../core/owner.ts';
import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { confirm } from '../confirm.ts';
import type { Context } from '../context.ts';
import { chooseJobs } from '../jobs.ts';
import { jsonDocument } from '../render/outcome.ts';

interface Options {
  readonly force?: boolean;
  readonly yes?: boolean;
}

/** Removes the locks of a job's groups at this host; one whose owner runs only with `--force`. */
export async function unlockCommand(context: Context, name: string, options: Options): Promise<number> {
  const config = await context.config();
  const [job] = chooseJobs(config, [name], false, 'unlock');
  const { runtime } = context;
  const unlocked: object[] = [];
  for (const lock of await locksOf(config, job!, runtime)) {
    const holder = await lockHolder(lock, runtime);
    if (!holder) continue;
    const state = ownerState(holder, runtime.host);
    const about = `${lock}: ${ownerText(holder)} (${holder.operation} since ${holder.taken_at}), ${state === 'alive' ? 'which runs' : state === 'dead' ? 'which is gone' : 'of which this host knows nothing'}`;
    if (!context.options.json) context.print(about);
    if (state === 'alive' && !options.force) {
      throw new DguardError('locked', `${ownerText(holder)} runs`, {
        operation: 'unlock',
        subject: lock,
        hint: `end it first (kill ${holder.pid}), or remove its lock all the same: --force`,
      });
    }
    if (state !== 'dead' && !options.yes) await confirm(context, 'unlock', `Remove the lock ${lock}?`);
    if (await breakLock(lock, runtime)) unlocked.push({ ...holder, state });
  }
  if (context.options.json) context.print(jsonDocument('unlock', 0, { unlocked }, []));
  else
    context.print(
      unlocked.length === 0 ? `nothing is locked of ${name}` : `${unlocked.length} locks removed`,
    );
  return 0;
}

/** The locks that the job's runs take: of each datasource, and of each database that one is held of. */
async function locksOf(config: Config, job: JobConfig, runtime: Runtime): Promise<string[]> {
  const own = job.datasources.map((datasource) => groupLock(config, job, datasource));
  const held = (await listLocks(runtime)).map(({ name }) => name);
  const ofDatabases = own.flatMap((lock) => {
    const at = lock.lastIndexOf('@');
    return held.filter((name) => name.startsWith(`${lock.slice(0, at)}.`) && name.endsWith(lock.slice(at)));
  });
  return [...new Set([hooksLock(config, job), ...own, ...ofDatabases])];
}
