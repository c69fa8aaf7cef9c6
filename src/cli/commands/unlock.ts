import { locksOfJob } from '../../core/job-locks.ts';
import { breakLock, type LockHolder, lockHolder, lockState, lockText } from '../../core/lock.ts';
import { isOfThisNamespace, ownerText } from '../../core/owner.ts';
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
  for (const lock of await locksOfJob(config, job!, runtime)) {
    const holder = await lockHolder(lock, runtime);
    if (!holder) continue;
    const state = await lockState(holder, runtime);
    const about = `${lock}: ${lockText(holder, runtime)}, ${state === 'alive' ? 'which runs' : state === 'dead' ? 'which is gone' : 'of which cannot be seen from here whether it runs'}`;
    if (!context.options.json) context.print(about);
    if (state === 'alive' && !options.force) {
      throw new DguardError('locked', `${ownerText(holder)} runs`, {
        operation: 'unlock',
        subject: lock,
        hint: `end it first (${howToEnd(holder, runtime)}), or remove its lock all the same: --force`,
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

const howToEnd = (holder: LockHolder, { host }: Runtime): string =>
  isOfThisNamespace(holder, host) ? `kill ${holder.pid}` : 'in its container, or with it';
