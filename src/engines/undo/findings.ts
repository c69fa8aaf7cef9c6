import { displayPath } from '../../archive/paths.ts';
import type { Finding } from '../health.ts';
import { findUnits } from './find.ts';
import { unitState } from './unit.ts';

/** Restores of a path (a byte string) that were cut short. */
export function unfinishedSwaps(path: string, job: string | undefined): Finding[] {
  return findUnits(path)
    .filter((unit) => unitState(unit) !== 'kept')
    .map((unit) => {
      const state = unitState(unit);
      const isMoving = state === 'swapping' || state === 'undoing';
      return {
        severity: isMoving ? 'problem' : 'warning',
        topic: 'leftovers',
        subject: displayPath(unit.members[0]!.folder),
        message: isMoving
          ? `a restore of ${unit.backupId} was cut short while it replaced ${displayPath(path)}: the next backup or restore takes it back`
          : `a restore of ${unit.backupId} left what it had prepared, or is going on`,
        ...(job === undefined ? {} : { fix: { by: 'shell', lines: [`dguard restore ${job} --recover`] } }),
      };
    });
}
