import { closeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { DONE, ENDED, OPENED, OVER, STOP, TAKEN, type WalkMessage } from './walk-messages.ts';

/** How long a thread has to end by itself (it may wait for a disk) before it is ended. */
const END_MS = 2_000;

/** What the reading thread sent, in order; the end and the failure of both are the last of it. */
export function createInbox(opener: Worker, reader: Worker, counters: Int32Array, signal: AbortSignal) {
  const messages: WalkMessage[] = [];
  const over = new Set<Worker>();
  let failure: unknown;
  let wake: (() => void) | undefined;
  const changed = () => {
    wake?.();
    wake = undefined;
  };
  reader.on('message', (message: WalkMessage) => {
    messages.push(message);
    changed();
  });
  for (const thread of [opener, reader]) {
    thread.on('error', (error) => {
      failure ??= error;
      changed();
    });
    thread.on('exit', () => {
      over.add(thread);
      if (thread === reader || counters[ENDED] === 0) failure ??= new Error('it ended too early');
      changed();
    });
  }
  signal.addEventListener('abort', changed);
  const change = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });

  async function end(thread: Worker): Promise<void> {
    const timer = setTimeout(() => void thread.terminate(), END_MS);
    while (!over.has(thread)) await change();
    clearTimeout(timer);
  }

  return {
    async next(): Promise<WalkMessage> {
      for (;;) {
        throwIfAborted(signal);
        const message = messages.shift();
        if (message !== undefined) return message;
        if (failure !== undefined) {
          throw new DguardError('internal', 'a thread that reads the files broke', {
            operation: 'backup',
            cause: failure,
          });
        }
        await change();
      }
    },
    /** Stops the threads, waits for their end and closes the files that nobody took over. */
    async ended(): Promise<void> {
      tell(STOP, DONE, OPENED, TAKEN);
      await end(opener);
      tell(OVER, OVER);
      await end(reader);
      signal.removeEventListener('abort', changed);
      for (const message of messages) if (message.kind === 'large') closeSync(message.file.fd);
    },
  };

  function tell(flag: number, ...waiting: number[]): void {
    Atomics.store(counters, flag, 1);
    for (const counter of waiting) Atomics.notify(counters, counter);
  }
}
