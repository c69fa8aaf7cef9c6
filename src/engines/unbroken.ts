import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 1000;

/**
 * What has begun is ended, or put back, over connections that an interrupt does not break. So that a server that does
 * not answer any more keeps no interrupted command: from the interrupt on it is asked again and again, over another
 * connection, and `giveUp` is called when that fails. Returns what ends this.
 */
export function giveUpWhenGone(
  signal: AbortSignal,
  ask: () => Promise<unknown>,
  giveUp: () => void,
): () => void {
  let ended = false;
  const watch = async () => {
    while (!ended) {
      try {
        await ask();
      } catch {
        if (!ended) giveUp();
        return;
      }
      await sleep(LOOK_MS, undefined, { ref: false });
    }
  };
  const begin = () => void watch();
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return () => {
    ended = true;
    signal.removeEventListener('abort', begin);
  };
}
