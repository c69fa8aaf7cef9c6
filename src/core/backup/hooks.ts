import { runChild } from '../../child/read.ts';
import type { HookCommand } from '../../config/types/jobs.ts';
import { abortError, DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';

/**
 * Runs a job's hooks of one kind, in order. Facts come by environment variables, never in the command.
 * Errors: hook_failed with the end of what the command said; that of an abort.
 */
export async function runHooks(
  kind: string,
  commands: readonly HookCommand[],
  facts: Readonly<Record<string, string>>,
  runtime: Runtime,
): Promise<void> {
  for (const command of commands) {
    const argv = typeof command === 'string' ? ['sh', '-c', command] : [...command];
    const result = await runChild(argv, {
      env: { ...runtime.env, ...facts, DGUARD_HOOK: kind },
      signal: runtime.signal,
    });
    if (result.failed && runtime.signal.aborted) throw endOf(kind, facts, runtime.signal);
    if (result.failed) {
      throw new DguardError('hook_failed', `the ${kind} hook failed: ${result.message}`, {
        operation: `hook ${kind}`,
        subject: facts['DGUARD_JOB'] ?? '',
        hint: 'run the command by hand; it gets DGUARD_JOB, DGUARD_RUN_ID and DGUARD_TYPE, and after the run DGUARD_STATUS',
      });
    }
  }
}

/** Why a hook was ended: an interrupt is one; of a time that is over it says who used it up. */
function endOf(kind: string, facts: Readonly<Record<string, string>>, signal: AbortSignal): DguardError {
  const reason = abortError(signal);
  if (reason.code !== 'timeout') return reason;
  return new DguardError('timeout', `the ${kind} hook did not end: ${reason.message}`, {
    operation: `hook ${kind}`,
    subject: facts['DGUARD_JOB'] ?? '',
    hint: 'run the command by hand, or raise `timeout`',
  });
}
