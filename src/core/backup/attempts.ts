import { setTimeout as sleep } from 'node:timers/promises';
import type { JobConfig } from '../../config/types/jobs.ts';
import type { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { backupDatasource } from './datasource.ts';
import type { BackupOutcome, BackupRequest } from './run.ts';

/** Before the second attempt; doubled before each one after it. */
const RETRY_MS = 5_000;

/** One pass to all destinations, or one pass to each in order until one succeeds; again where the job says so. */
export async function withRetries(request: BackupRequest, runtime: Runtime): Promise<BackupOutcome> {
  const { job, destinations, name: subject } = request;
  for (let attempt = 0; ; attempt++) {
    let outcome: BackupOutcome | undefined;
    const failed: BackupOutcome['copies'][number][] = [];
    for (const to of job.strategy === 'priority' ? destinations.map((each) => [each]) : [destinations]) {
      outcome = await backupDatasource({ ...request, destinations: to }, runtime);
      if (outcome.status !== 'failed' || runtime.signal.aborted) break;
      failed.push(...outcome.copies);
    }
    const { status, error } = outcome!;
    if (status !== 'failed') return { ...outcome!, copies: [...failed, ...outcome!.copies] };
    const again = error !== undefined && (await isTriedAgain({ job, subject, attempt, error }, runtime));
    if (!again) return { ...outcome!, copies: failed };
  }
}

/** Whether the job says to try again what failed for the `attempt`th time, from 0: if so it is said, and waited for. */
export async function isTriedAgain(
  { job, subject, attempt, error }: FailedAttempt,
  runtime: Runtime,
): Promise<boolean> {
  if (attempt >= job.retries || !isWorthARetry(error) || runtime.signal.aborted) return false;
  const message = `failed: ${error.message}; attempt ${attempt + 2} of ${job.retries + 1} follows`;
  runtime.emit({ type: 'log', level: 'warning', job: job.name, subject, message });
  await sleep(RETRY_MS * 2 ** attempt, undefined, { signal: runtime.signal }).catch(() => undefined);
  return true;
}

interface FailedAttempt {
  readonly job: JobConfig;
  readonly subject: string;
  readonly attempt: number;
  readonly error: DguardError;
}

/**
 * What may be over in a moment; a wrong password or a missing folder is not. A server that is away is met first by who
 * looks for interrupted restores of it: `target_failed`.
 */
function isWorthARetry({ code, lasting }: DguardError): boolean {
  const passing = ['source_failed', 'target_failed', 'storage_failed', 'timeout', 'offline', 'internal'];
  return passing.includes(code) && !lasting;
}
