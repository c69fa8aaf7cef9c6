import type { PolicyBackup } from './retention-types.ts';

/** Clocks differ: up to this far ahead of now a backup counts as taken now. */
const MAX_AHEAD_MS = 3_600_000;

/** Whether a backup is dated so far ahead that it is shown, but never the newest and never removed. */
export function isAhead(backup: PolicyBackup, now: Date): boolean {
  return backup.createdAt.getTime() > now.getTime() + MAX_AHEAD_MS;
}

/** Newest first; of one moment in a fixed order, so that the order of the input has no say. */
export function newestFirst(backups: readonly PolicyBackup[]): PolicyBackup[] {
  return [...backups].sort(
    (a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0),
  );
}

/** Whether the policy's rules and caps decide over this backup; all others have rules of their own. */
export function inRotation(backup: PolicyBackup, now: Date): boolean {
  return backup.type !== 'snapshot' && !isAhead(backup, now) && (backup.good || backup.state === 'partial');
}

/**
 * The backup that spans of time are measured from: the newest good one of the rotation. Never now, or all
 * would age away once backups stop coming; a partial one only where nothing is good.
 */
export function newestOf(rotation: readonly PolicyBackup[]): PolicyBackup | undefined {
  return rotation.find(({ good }) => good) ?? rotation[0];
}
