import { setTimeout as sleep } from 'node:timers/promises';
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
    const again = attempt < job.retries && error !== undefined && isWorthARetry(error);
    if (!again || runtime.signal.aborted) return { ...outcome!, copies: failed };
    const message = `failed: ${error.message}; attempt ${attempt + 2} of ${job.retries + 1} follows`;
    runtime.emit({ type: 'log', level: 'warning', job: job.name, subject, message });
    await sleep(RETRY_MS * 2 ** attempt, undefined, { signal: runtime.signal }).catch(() => undefined);
  }
}

/** What may be over in a moment; a wrong password or a missing folder is not. */
function isWorthARetry(error: DguardError): boolean {
  return ['source_failed', 'storage_failed', 'timeout', 'offline', 'internal'].includes(error.code);
}
