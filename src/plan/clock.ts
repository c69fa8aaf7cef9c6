/** A clock may be off by this much before backup and prune refuse to trust it. */
export const CLOCK_TOLERANCE_MS = 60 * 60 * 1000;

/** What to do about a doubt of `doubtClock`. */
export const CLOCK_HINT =
  'set the clock right (timedatectl); was it wrong when that backup was made, delete it (dguard list, dguard delete ID); or take it as it is: --ignore-clock';

/**
 * Why the clock cannot be trusted, in words, or undefined: now lies more than an hour behind the newest
 * manifest, or is more than an hour off the destination's own clock. What is dated further ahead than that
 * by a manifest of the future counts too: `newest` leaves nothing out.
 */
export function doubtClock(now: Date, newest: Date | undefined, storageNow?: Date): string | undefined {
  if (newest && newest.getTime() - now.getTime() > CLOCK_TOLERANCE_MS) {
    return `the clock says ${now.toISOString()}, but the newest backup is of ${newest.toISOString()}`;
  }
  if (storageNow && Math.abs(storageNow.getTime() - now.getTime()) > CLOCK_TOLERANCE_MS) {
    return `the clock says ${now.toISOString()}, the destination's says ${storageNow.toISOString()}`;
  }
  return undefined;
}

/** A backup dated over an hour ahead: shown, never the newest, never pruned. */
export function isFromTheFuture(createdAt: Date, now: Date): boolean {
  return createdAt.getTime() - now.getTime() > CLOCK_TOLERANCE_MS;
}
