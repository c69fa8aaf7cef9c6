import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../server/session.ts';

/** Who may stop what a session does, and what ends its statement. */
export interface Interrupt {
  readonly signal: AbortSignal;
  readonly stop: () => Promise<void>;
}

/** How often the statements of an interrupted piece of work are ended, until it has ended itself. */
const STOP_MS = 100;

/**
 * Statements of a session that an interrupt does not break. Transactions of others may keep one waiting: an interrupt
 * ends it, and nothing that comes after this work.
 */
export async function runInterruptibly(
  session: Session,
  { signal, stop }: Interrupt,
  work: () => Promise<void>,
): Promise<void> {
  let ended = false;
  let stopping: Promise<void> | undefined;
  const stopAll = async () => {
    while (!ended) {
      await stop();
      await sleep(STOP_MS);
    }
  };
  const abort = () => {
    stopping = stopAll();
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    await work();
  } finally {
    ended = true;
    signal.removeEventListener('abort', abort);
    if (stopping !== undefined) {
      await stopping;
      // One that came too late would end the next statement.
      await session.run('DO 0').catch(() => {});
    }
  }
}
