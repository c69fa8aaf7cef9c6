import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, DguardError } from '../../errors.ts';
import { formatDuration } from '../../plan/duration.ts';
import type { Runtime } from '../../runtime.ts';

/** How long work that was given up may tidy behind itself. */
const GRACE_MS = 1_500;

/**
 * Runs `work` for at most `limitMs`: then it is aborted, given a moment to tidy, and left to itself, as a call
 * into a mount or a server that hangs may never return. Errors: `timeout`, those of `work`, the outer abort's.
 */
export async function withTimeLimit<T>(
  subject: string,
  limitMs: number,
  runtime: Runtime,
  work: (runtime: Runtime) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const error = new DguardError('timeout', `timed out: no answer within ${formatDuration(limitMs)}`, {
    operation: 'check',
    subject,
    hint: 'see whether it is there and not overloaded, look at firewalls, or give it longer: --timeout',
  });
  const timer = setTimeout(() => limit.abort(error), limitMs);
  const signal = AbortSignal.any([runtime.signal, limit.signal]);
  const aborted = new Promise<never>((_, reject) => {
    const give = () => reject(abortError(signal));
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
  aborted.catch(() => undefined);
  const working = work({ ...runtime, signal });
  working.catch(() => undefined);
  try {
    return await Promise.race([working, aborted]);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    await Promise.race([working.catch(() => undefined), sleep(GRACE_MS, undefined, { ref: false })]);
    throw abortError(signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Several at once, never more than `atOnce`; results in the order of the items. The first error throws. */
export async function inParallel<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.map((item, at) => ({ item, at }));
  await Promise.all(
    Array.from({ length: Math.min(atOnce, items.length) }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        results[next.at] = await work(next.item);
    }),
  );
  return results;
}
