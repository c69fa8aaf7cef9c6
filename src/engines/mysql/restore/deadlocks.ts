import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../../../errors.ts';
import { serverErrorNumber } from '../server/failures.ts';

/** ER_LOCK_DEADLOCK: the statement was undone as a whole. */
const DEADLOCK = 1213;
const MAX_TRIES = 5;
const FIRST_PAUSE_MS = 20;

/**
 * Runs a statement again that the server chose as the victim of a deadlock, up to five times in all. Between them it
 * waits 20, 40, 80, 160 ms, less a random part of up to half, so that two that met do not meet again. Throws what the
 * last try failed with, or the abort.
 */
export async function retryDeadlocks(run: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (serverErrorNumber(error) !== DEADLOCK || tries === MAX_TRIES) throw error;
    }
    const pauseMs = FIRST_PAUSE_MS * 2 ** (tries - 1) * (1 - Math.random() / 2);
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
    throwIfAborted(signal);
  }
}
