import { setTimeout as sleep } from 'node:timers/promises';

/** Opens a session of any server for one piece of work, and closes it whatever happens. */
export async function withSession<Session extends { close(): Promise<void> }, T>(
  open: () => Promise<Session>,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await open();
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

const MAX_LOOKS = 100;
const LOOK_MS = 100;

/** Looks, a tenth of a second apart, until something is so; ten seconds at most. Returns whether it came to be. */
export async function lookUntil(isSo: () => Promise<boolean>, maxLooks = MAX_LOOKS): Promise<boolean> {
  for (let looks = 1; ; looks++) {
    if (await isSo()) return true;
    if (looks >= maxLooks) return false;
    await sleep(LOOK_MS);
  }
}
